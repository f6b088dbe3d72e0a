//! What travels with a request?
//!
//! The deadline, the importance, on whose behalf, which trace: what every service on the path must know and
//! no handler should pass on by hand. A [`Context`] travels *in* the request
//! ([`Call::context`](crate::call::Call::context)); layers never ask a global. For business code there is one
//! bridge, [`scope`]: the server puts the context beside the handler, and a client reads it there when its
//! request has none.
//!
//! A context only narrows. A child's deadline is never later, its criticality never higher, its fault scope
//! never wider; that is a property test (`tests/context.rs`).

mod carrier;
mod criticality;
mod deadline;
mod fault_scope;
mod item;
mod loan;
mod notes;
mod scope;
mod tenant;
mod trace;
pub mod wire;

use std::sync::Arc;

use crate::tick::Tick;

pub use carrier::Carrier;
pub use criticality::Criticality;
pub use deadline::Deadline;
pub use fault_scope::FaultScope;
pub use item::Item;
pub(crate) use loan::Loan;
pub use notes::Notes;
pub use scope::{current, enter, inherit, note, scope, spawn, spawn_detached, with_current};
pub use tenant::Tenant;
pub use trace::{SpanId, TraceId, TraceParent};

/// What travels with a request: immutable to layers, cheap to clone.
///
/// What changes on every attempt is inline; what is rare is shared behind one pointer, so that narrowing a
/// deadline allocates nothing.
#[derive(Clone, Debug)]
pub struct Context {
    plain: Plain,
    notes: Option<Arc<Notes>>,
    rest: Option<Arc<Rest>>,
}

/// The part that is copied as it is, in one piece: each call copies it once or twice.
#[derive(Clone, Copy, Debug)]
struct Plain {
    now: Tick,
    deadline: Option<Deadline>,
    trace: TraceParent,
    attempt: u16,
    criticality: Criticality,
    chain_stop: bool,
    debug: bool,
}

/// The rare part: written at the edge, shared by every child.
#[derive(Clone, Debug, Default)]
struct Rest {
    tenant: Option<Tenant>,
    cohort: Option<u8>,
    request_id: Option<Arc<str>>,
    tracestate: Option<Arc<str>>,
    route_override: Option<Arc<str>>,
    arms: Option<Arc<str>>,
    faults: FaultScope,
    /// Baggage members that are a team's own: name and percent-encoded value, as they came.
    members: Vec<(Arc<str>, Arc<str>)>,
}

impl Context {
    /// The beginning of a new trace, without a deadline.
    pub fn root(now: impl Into<Tick>) -> Self {
        Context::with_trace(now, TraceParent::random())
    }

    /// The beginning of work that belongs to `trace`.
    pub fn with_trace(now: impl Into<Tick>, trace: TraceParent) -> Self {
        let plain = Plain {
            now: now.into(),
            deadline: None,
            trace,
            attempt: 0,
            criticality: Criticality::default(),
            chain_stop: false,
            debug: false,
        };
        Context { plain, notes: None, rest: None }
    }

    /// What a call made while serving this request begins with: the same, at `now`, as a first attempt.
    #[must_use]
    pub fn child(&self, now: impl Into<Tick>) -> Self {
        let plain = Plain { now: now.into(), attempt: 0, ..self.plain };
        Context { plain, notes: self.notes.clone(), rest: self.rest.clone() }
    }

    /// The clock reading that this attempt began with. Layers on the way down use it instead of their own.
    pub fn now(&self) -> Tick {
        self.plain.now
    }

    /// When nobody waits any longer.
    pub fn deadline(&self) -> Option<Deadline> {
        self.plain.deadline
    }

    /// Which trace, and which span in it.
    pub fn trace(&self) -> TraceParent {
        self.plain.trace
    }

    /// 0 for the first attempt, 1 for the first repeat.
    pub fn attempt(&self) -> u16 {
        self.plain.attempt
    }

    /// How important.
    pub fn criticality(&self) -> Criticality {
        self.plain.criticality
    }

    /// Is this a repeat, or made while serving one? Then nothing is repeated but what was never sent.
    pub fn stops_chain(&self) -> bool {
        self.plain.chain_stop
    }

    /// Was everything about this request asked to be kept?
    pub fn is_debug(&self) -> bool {
        self.plain.debug
    }

    /// On whose behalf.
    pub fn tenant(&self) -> Option<&Tenant> {
        self.rest.as_ref()?.tenant.as_ref()
    }

    /// A number from 0 to 127 that stays with one user: the tenant's hash, else the trace's.
    pub fn cohort(&self) -> u8 {
        let rest = self.rest.as_deref();
        match rest {
            Some(Rest { cohort: Some(cohort), .. }) => *cohort,
            Some(Rest { tenant: Some(tenant), .. }) => cohort_of(tenant.as_str().as_bytes()),
            _ => cohort_of(&self.plain.trace.trace_id().to_bytes()),
        }
    }

    /// The id that the caller gave this request; without one the trace id serves.
    pub fn request_id(&self) -> Option<&str> {
        self.rest.as_ref()?.request_id.as_deref()
    }

    /// Does it say of any target which version to prefer?
    // Asked of every call, and almost none does.
    #[inline]
    pub fn asks_for_a_route(&self) -> bool {
        self.rest.as_ref().is_some_and(|rest| rest.route_override.is_some())
    }

    /// Which version of a target to prefer, as it came: `checkout:pr-123`.
    pub fn route_override(&self, target: &str) -> Option<&str> {
        preferred(self.rest.as_ref()?.route_override.as_deref()?, target)
    }

    /// Which injected faults this request has consented to.
    pub fn faults(&self) -> &FaultScope {
        const NONE: &FaultScope = &FaultScope::NONE;
        self.rest.as_ref().map_or(NONE, |rest| &rest.faults)
    }

    /// A team's own travelling value.
    pub fn item<T: Item>(&self) -> Option<T> {
        let rest = self.rest.as_ref()?;
        let (_, value) = rest.members.iter().find(|(key, _)| &**key == T::KEY)?;
        T::decode(&wire::percent_decode(value)?)
    }

    /// What is remembered about the request being served.
    pub fn notes(&self) -> Option<&Arc<Notes>> {
        self.notes.as_ref()
    }

    /// Ends no later than `deadline`.
    pub fn narrow(&mut self, deadline: Deadline) {
        if self.plain.deadline.is_none_or(|known| deadline < known) {
            self.plain.deadline = Some(deadline);
        }
    }

    /// This important: where a request enters, before anything has heard of it. From there on it is only
    /// [lowered](Self::lower).
    pub fn enter_as(&mut self, criticality: Criticality) {
        self.plain.criticality = criticality;
    }

    /// At most this important.
    pub fn lower(&mut self, criticality: Criticality) {
        self.plain.criticality = self.plain.criticality.min(criticality);
    }

    /// From here on, only what was never sent is repeated.
    pub fn stop_chain(&mut self) {
        self.plain.chain_stop = true;
    }

    /// The clock was read again: when a call begins, and after a real wait.
    pub fn set_now(&mut self, now: impl Into<Tick>) {
        self.plain.now = now.into();
    }

    /// Begins attempt number `attempt` at `now`, under a span of its own.
    pub fn begin_attempt(&mut self, attempt: u16, now: impl Into<Tick>) {
        self.plain.attempt = attempt;
        self.plain.now = now.into();
        self.plain.trace = self.plain.trace.child();
    }

    /// Records from here on, or not. The head of a request decides once.
    pub fn set_trace(&mut self, trace: TraceParent) {
        self.plain.trace = trace;
    }

    /// Names the tenant, if nobody upstream has: an identity layer's business.
    pub fn set_tenant(&mut self, tenant: Tenant) {
        let rest = self.rest_mut();
        if rest.tenant.is_none() {
            rest.tenant = Some(tenant);
        }
    }

    /// Consents to no more faults than `scope` holds.
    pub fn narrow_faults(&mut self, scope: &FaultScope) {
        if !self.faults().is_empty() {
            let narrowed = self.faults().narrowed_to(scope);
            self.rest_mut().faults = narrowed;
        }
    }

    /// Carries a team's own value from here on.
    pub fn carry<T: Item>(&mut self, item: &T) {
        let value = Arc::from(wire::percent_encode(&item.encode()));
        let members = &mut self.rest_mut().members;
        members.retain(|(key, _)| &**key != T::KEY);
        members.push((Arc::from(T::KEY), value));
    }

    /// Gives the request a place to remember things in.
    pub fn set_notes(&mut self, notes: Arc<Notes>) {
        self.notes = Some(notes);
    }

    fn without_deadline(mut self) -> Self {
        self.plain.deadline = None;
        self
    }

    fn rest_mut(&mut self) -> &mut Rest {
        Arc::make_mut(self.rest.get_or_insert_default())
    }
}

/// Of entries such as `checkout:pr-123|orders:1.4`, what is preferred of `target`.
fn preferred<'a>(entries: &'a str, target: &str) -> Option<&'a str> {
    entries.split('|').find_map(|entry| entry.strip_prefix(target)?.strip_prefix(':'))
}

/// FNV-1a, folded to 7 bits: stable across versions and processes, which `std`'s hasher is not.
fn cohort_of(bytes: &[u8]) -> u8 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    ((hash ^ (hash >> 32)) & 0x7f) as u8
}
