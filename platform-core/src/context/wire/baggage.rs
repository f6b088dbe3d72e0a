//! Baggage: members in, members out.

use std::sync::Arc;

use super::{
    names::{ARM, COHORT, CRITICALITY, DEBUG, FAULT, MEMBER_PREFIX, ROUTE, TENANT},
    read::{Field, Rejected, Trust},
};
use crate::context::{Context, Criticality, FaultScope, Tenant};

/// All baggage headers of a request, judged together.
#[derive(Default)]
pub(super) struct Baggage<'a> {
    members: Vec<(&'a str, &'a str)>,
    bytes: usize,
    count: usize,
    oversized: bool,
    malformed: bool,
}

impl<'a> Baggage<'a> {
    /// Adds the members of one header.
    pub(super) fn add(&mut self, header: &'a [u8]) {
        self.bytes += header.len();
        let Ok(header) = std::str::from_utf8(header) else {
            self.malformed = true;
            return;
        };
        if self.bytes > MAX_BYTES {
            self.oversized = true;
            return;
        }
        for member in header.split(',').map(str::trim).filter(|member| !member.is_empty()) {
            self.count += 1;
            if self.count > MAX_MEMBERS {
                self.oversized = true;
                return;
            }
            match member.split_once('=').map(|(key, value)| (key.trim(), value.trim())) {
                Some((key, value)) if is_key(key) && is_value(value) => self.members.push((key, value)),
                _ => self.malformed = true,
            }
        }
    }

    /// Puts what is trusted into `context`.
    pub(super) fn fill(self, context: &mut Context, trust: Trust, rejected: &mut Rejected) {
        if self.malformed || self.oversized {
            rejected.add(Field::Baggage);
        }
        if self.oversized {
            return;
        }
        for (key, value) in self.members {
            if let Some(name) = key.strip_prefix(MEMBER_PREFIX) {
                // What belongs to us is honoured from inside only; what we do not know goes on untouched.
                let known = trust.internal && platform_member(key, value, context, trust, rejected);
                if known || !trust.internal || name.is_empty() {
                    continue;
                }
            }
            context.rest_mut().members.push((Arc::from(key), Arc::from(value)));
        }
    }
}

/// Reads one member of ours; false if it is none that this version knows.
fn platform_member(
    key: &str,
    value: &str,
    context: &mut Context,
    trust: Trust,
    rejected: &mut Rejected,
) -> bool {
    let value = value.split(';').next().unwrap_or_default().trim_end();
    match key {
        CRITICALITY => match Criticality::parse(value) {
            Some(criticality) => context.plain.criticality = criticality,
            None => rejected.add(Field::Criticality),
        },
        TENANT => match Tenant::parse(value) {
            Some(tenant) => context.rest_mut().tenant = Some(tenant),
            None => rejected.add(Field::Tenant),
        },
        COHORT => match value.parse() {
            Ok(cohort @ 0..=127_u8) => context.rest_mut().cohort = Some(cohort),
            _ => rejected.add(Field::Cohort),
        },
        ROUTE | FAULT | ARM | DEBUG if !trust.overrides => rejected.add(Field::Override),
        ROUTE => context.rest_mut().route_override = Some(Arc::from(value)),
        FAULT => context.rest_mut().faults = FaultScope::new(value),
        ARM => context.rest_mut().arms = Some(Arc::from(value)),
        DEBUG if value == "1" => context.plain.debug = true,
        DEBUG => rejected.add(Field::Override),
        _ => return false,
    }
    true
}

/// The header for `context`, or `None` if there is nothing to say. What would make it too large for the next
/// reader is left out, a team's own members first.
pub(super) fn header(context: &Context) -> Option<String> {
    let plain = context.plain.criticality == Criticality::default() && !context.plain.debug;
    if plain && context.rest.is_none() {
        return None;
    }
    let mut out = Writer::default();
    if context.plain.criticality != Criticality::default() {
        out.put(CRITICALITY, context.plain.criticality.as_str());
    }
    if context.plain.debug {
        out.put(DEBUG, "1");
    }
    if let Some(rest) = &context.rest {
        if let Some(tenant) = &rest.tenant {
            out.put(TENANT, tenant.as_str());
        }
        if let Some(cohort) = rest.cohort {
            out.put(COHORT, &cohort.to_string());
        }
        let texts = [(ROUTE, &rest.route_override), (ARM, &rest.arms)];
        for (key, text) in texts {
            if let Some(text) = text {
                out.put(key, text);
            }
        }
        if !rest.faults.is_empty() {
            out.put(FAULT, rest.faults.as_str());
        }
        for (key, value) in &rest.members {
            out.put(key, value);
        }
    }
    (!out.text.is_empty()).then_some(out.text)
}

#[derive(Default)]
struct Writer {
    text: String,
    members: usize,
}

impl Writer {
    fn put(&mut self, key: &str, value: &str) {
        let length = key.len() + value.len() + 2;
        if self.members == MAX_MEMBERS || self.text.len() + length > MAX_BYTES {
            return;
        }
        if self.members > 0 {
            self.text.push(',');
        }
        self.text.push_str(key);
        self.text.push('=');
        self.text.push_str(value);
        self.members += 1;
    }
}

/// A token of RFC 9110.
fn is_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Printable ASCII without what separates members: the W3C's baggage octets, and `;` and spaces for properties.
fn is_value(value: &str) -> bool {
    value.bytes().all(|b| matches!(b, 0x20..=0x7e) && !matches!(b, b'"' | b',' | b'\\'))
}

/// The W3C's floor for what everyone must accept, and our ceiling.
const MAX_MEMBERS: usize = 64;
/// Likewise, in bytes over all headers.
const MAX_BYTES: usize = 8192;
