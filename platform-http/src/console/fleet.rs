//! Fleet: every instance that is known, what each told last, and what they come to together.
//!
//! No clock and no network: who is there, what was heard and what time it is come in as arguments.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use platform_discovery::{Endpoint, State};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    pulse::Pulse,
    tally::{History, LINE, Tally},
};

/// Every instance that is known.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    members: BTreeMap<Key, Member>,
    /// Calls and failures of each second, by service and version.
    lines: BTreeMap<Kind, VecDeque<[u64; 2]>>,
}

/// An instance of a service, as its record names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) service: String,
    pub(super) instance: String,
}

/// Whom to ask, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    pub(super) key: Key,
    pub(super) admin: SocketAddr,
    pub(super) tls: bool,
}

/// What is shown together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    service: String,
    version: String,
    variant: String,
}

#[derive(Debug)]
struct Member {
    endpoint: Arc<Endpoint>,
    pulse: Option<Pulse>,
    history: History,
    heard: Option<Instant>,
    /// Calls and failures that no line has yet.
    fresh: [u64; 2],
    /// When it is asked next, unless it is being asked.
    next: Option<Instant>,
    silences: u32,
    why: String,
}

impl Fleet {
    /// From now on these are known, and nobody else.
    pub(super) fn know(&mut self, now: Instant, known: impl IntoIterator<Item = (Key, Arc<Endpoint>)>) {
        let mut gone: BTreeSet<Key> = self.members.keys().cloned().collect();
        for (key, endpoint) in known {
            gone.remove(&key);
            match self.members.get_mut(&key) {
                Some(member) if member.is_at(&endpoint) => member.endpoint = endpoint,
                // Another process under the same name is another instance.
                _ => drop(self.members.insert(key, Member::new(endpoint, now))),
            }
        }
        self.members.retain(|key, _| !gone.contains(key));
    }

    /// Whom to ask now, at most `room`, who waits longest first; `own` is not asked.
    pub(super) fn due(&mut self, now: Instant, room: usize, own: &Key) -> Vec<Due> {
        let ready = |key: &Key, member: &Member| {
            let (next, endpoint) = (member.next.filter(|next| *next <= now)?, &member.endpoint);
            Some((next, Due { key: key.clone(), admin: endpoint.admin?, tls: endpoint.admin_tls }))
        };
        let mut due: Vec<(Instant, Due)> = self
            .members
            .iter()
            .filter(|(key, _)| *key != own)
            .filter_map(|(key, member)| ready(key, member))
            .collect();
        due.sort_by_key(|(next, _)| *next);
        due.truncate(room);
        for (_, due) in &due {
            if let Some(member) = self.members.get_mut(&due.key) {
                member.next = None;
            }
        }
        due.into_iter().map(|(_, due)| due).collect()
    }

    /// What came of asking one, or why nothing did.
    pub(super) fn heard(&mut self, key: &Key, now: Instant, told: Result<Pulse, String>) {
        let period = period(self.members.len());
        // It may have gone while it was asked.
        let Some(member) = self.members.get_mut(key) else { return };
        let told = told.and_then(|pulse| {
            let other = || format!("another process answers there: {} {}", pulse.name, pulse.instance);
            if pulse.instance == key.instance { Ok(pulse) } else { Err(other()) }
        });
        match told {
            Ok(pulse) => {
                if let Some(before) = &member.pulse
                    && let Some(new) = pulse.served.since(&before.served)
                {
                    member.fresh[0] += new.calls();
                    member.fresh[1] += new.failed();
                }
                member.history.push(now, pulse.served.clone());
                (member.pulse, member.heard, member.silences) = (Some(pulse), Some(now), 0);
                member.next = Some(now + period);
            }
            Err(why) => {
                member.silences = member.silences.saturating_add(1);
                member.why = why;
                // Whoever is away must not hold the places of others.
                member.next = Some(now + period.saturating_mul(1 << member.silences.min(3)).min(AWAY));
            }
        }
    }

    /// A second is over.
    pub(super) fn end_second(&mut self) {
        let mut sums: BTreeMap<Kind, [u64; 2]> = BTreeMap::new();
        for (key, member) in &mut self.members {
            let sum = sums.entry(member.kind(key)).or_default();
            let [calls, failed] = std::mem::take(&mut member.fresh);
            *sum = [sum[0] + calls, sum[1] + failed];
        }
        self.lines.retain(|kind, _| sums.contains_key(kind));
        for (kind, sum) in sums {
            let line = self.lines.entry(kind).or_default();
            line.push_back(sum);
            while line.len() > LINE {
                line.pop_front();
            }
        }
    }

    /// Services that the known ones say they call.
    pub(super) fn called(&self) -> BTreeSet<String> {
        let pulses = self.members.values().filter_map(|member| member.pulse.as_ref());
        pulses.flat_map(|pulse| pulse.calls.iter().cloned()).collect()
    }

    /// What the page shows.
    pub(super) fn shown(&self, now: Instant) -> Value {
        let lately = period(self.members.len()) + LATE;
        let mut services: BTreeMap<&str, (Sum, BTreeMap<Kind, Sum>)> = BTreeMap::new();
        let mut all = Sum::default();
        for (key, member) in &self.members {
            let (service, kinds) = services.entry(&key.service).or_default();
            let kind = kinds.entry(member.kind(key)).or_default();
            let state = member.state(now, lately);
            for sum in [&mut all, service, &mut *kind] {
                sum.add(member, state);
            }
            kind.members.push(member.shown(key, state));
        }
        let services = services.into_iter().map(|(name, (sum, kinds))| {
            let kinds = kinds.into_iter().map(|(kind, sum)| {
                let mut shown = sum.shown();
                shown["line"] = json!(self.lines.get(&kind).unwrap_or(&VecDeque::new()));
                (shown["version"], shown["variant"]) = (json!(kind.version), json!(kind.variant));
                shown["members"] = json!(sum.members);
                shown
            });
            let kinds: Vec<Value> = kinds.collect();
            let mut shown = sum.shown();
            (shown["service"], shown["versions"]) = (json!(name), json!(kinds));
            shown
        });
        let services: Vec<Value> = services.collect();
        let mut shown = all.shown();
        shown["services"] = json!(services);
        shown
    }
}

impl Member {
    fn new(endpoint: Arc<Endpoint>, now: Instant) -> Self {
        Member {
            endpoint,
            pulse: None,
            history: History::default(),
            heard: None,
            fresh: [0; 2],
            next: Some(now),
            silences: 0,
            why: String::new(),
        }
    }

    /// Is that the same listener, spoken to in the same way?
    fn is_at(&self, endpoint: &Endpoint) -> bool {
        let of = |endpoint: &Endpoint| (endpoint.admin, endpoint.admin_tls);
        of(&self.endpoint) == of(endpoint)
    }

    fn kind(&self, key: &Key) -> Kind {
        let (version, variant) = match &self.pulse {
            Some(pulse) => (&pulse.version, &pulse.variant),
            None => (&self.endpoint.version, &self.endpoint.variant),
        };
        Kind { service: key.service.clone(), version: version.clone(), variant: variant.clone() }
    }

    /// In a word: its phase, or `draining` if its record says so first; `silent` if it does not answer, `asked` before
    /// its first answer, `unknown` where nobody says where to ask.
    fn state(&self, now: Instant, lately: Duration) -> &str {
        let fresh = self.heard.is_some_and(|heard| now - heard <= lately);
        match (&self.pulse, self.endpoint.admin) {
            (Some(pulse), _) if fresh && self.endpoint.state == State::Ready => &pulse.phase,
            (Some(_), _) if fresh => DRAINING,
            (_, None) => "unknown",
            _ if self.silences > 0 || self.heard.is_some() => SILENT,
            _ => "asked",
        }
    }

    fn shown(&self, key: &Key, state: &str) -> Value {
        let zone = self.pulse.as_ref().map_or(&self.endpoint.zone, |pulse| &pulse.zone);
        let (window, _) = self.history.window();
        let mut shown = json!({
            "instance": key.instance, "zone": zone, "state": state, "admin": self.endpoint.admin,
            "admin_tls": self.endpoint.admin_tls,
        });
        if state == SILENT {
            shown["why"] = json!(self.why);
        } else {
            (shown["calls"], shown["failed"]) = (json!(window.calls()), json!(window.failed()));
            shown["open"] = json!(self.pulse.as_ref().map(|pulse| &pulse.open));
        }
        shown
    }
}

/// What several instances come to.
#[derive(Debug, Default)]
struct Sum {
    tally: Tally,
    rate: f64,
    in_flight: u64,
    faults: u64,
    states: BTreeMap<String, u64>,
    /// By how many each target is not called.
    open: BTreeMap<String, u64>,
    owner: String,
    members: Vec<Value>,
}

impl Sum {
    fn add(&mut self, member: &Member, state: &str) {
        *self.states.entry(state.to_owned()).or_default() += 1;
        if self.owner.is_empty() {
            self.owner.clone_from(&member.endpoint.owner);
        }
        // What a silent one did is not known.
        let Some(pulse) = member.pulse.as_ref().filter(|_| state != SILENT) else { return };
        let (window, length) = member.history.window();
        self.rate += window.calls() as f64 / length.as_secs_f64().max(1.0);
        self.tally.merge(&window);
        self.in_flight = self.in_flight.saturating_add(pulse.in_flight);
        self.faults = self.faults.saturating_add(pulse.faults);
        for target in &pulse.open {
            *self.open.entry(target.clone()).or_default() += 1;
        }
    }

    fn shown(&self) -> Value {
        let mut shown = self.tally.shown(Duration::from_secs(1));
        shown["rate"] = json!((self.rate * 100.0).round() / 100.0);
        shown["in_flight"] = json!(self.in_flight);
        shown["faults"] = json!(self.faults);
        shown["states"] = json!(self.states);
        shown["open"] = json!(self.open);
        shown["owner"] = json!(self.owner);
        shown["instances"] = json!(self.states.values().sum::<u64>());
        shown
    }
}

/// How often each is asked: every second, less often where they are very many.
fn period(members: usize) -> Duration {
    Duration::from_secs(1).max(Duration::from_secs_f64(members as f64 / PER_SECOND))
}

const SILENT: &str = "silent";
const DRAINING: &str = "draining";
/// Questions a second, whatever the fleet's size.
const PER_SECOND: f64 = 500.0;
/// An answer that is so much older than it should be is none any more.
const LATE: Duration = Duration::from_secs(3);
/// The longest that somebody who is away is left alone: back within this, and noticed.
const AWAY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn key(service: &str, instance: &str) -> Key {
        Key { service: service.to_owned(), instance: instance.to_owned() }
    }

    fn endpoint(instance: &str, port: u16) -> Arc<Endpoint> {
        let mut endpoint = Endpoint::at(SocketAddr::from(([127, 0, 0, 1], port)));
        endpoint.instance = instance.to_owned();
        endpoint.admin = Some(SocketAddr::from(([127, 0, 0, 1], port + 1_000)));
        endpoint.version = "1".to_owned();
        Arc::new(endpoint)
    }

    /// `fast` requests of at most 10 ms and `slow` ones of at most 1 s.
    fn pulse(instance: &str, fast: u64, slow: u64) -> Pulse {
        let served = json!({
            "outcomes": { "ok": fast + slow }, "bounds": [10_000_000, 1_000_000_000], "buckets": [fast, slow, 0],
        });
        Pulse {
            instance: instance.to_owned(),
            version: "1".to_owned(),
            variant: "stable".to_owned(),
            phase: "ready".to_owned(),
            served: serde_json::from_value(served).unwrap(),
            ..Pulse::default()
        }
    }

    fn two() -> [(Key, Arc<Endpoint>); 2] {
        ["a", "b"].map(|name| (key("films", name), endpoint(name, if name == "a" { 1 } else { 2 })))
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn percentiles_are_those_of_all_requests_and_no_average() {
        let (start, mut fleet) = (Instant::now(), Fleet::default());
        fleet.know(start, two());
        for second in 0..4_u64 {
            let now = start + SECOND * u32::try_from(second).unwrap();
            // One is asked a hundred times as often as the other, and is fast.
            fleet.heard(&key("films", "a"), now, Ok(pulse("a", 1_000 * second, 0)));
            fleet.heard(&key("films", "b"), now, Ok(pulse("b", 0, 10 * second)));
            fleet.end_second();
        }
        let shown = fleet.shown(start + SECOND * 3);
        let films = &shown["services"][0];
        // The mean of 9.9 ms and 990 ms would be 500 ms.
        assert!(films["p50"]["ms"].as_f64() < Some(10.0), "{films:#}");
        let p99 = films["p99"]["ms"].as_f64().unwrap();
        assert!((9.0..=10.0).contains(&p99), "{films:#}");
        assert_eq!((&films["rate"], &films["calls"]), (&json!(1_010.0), &json!(3_030)), "{films:#}");
        let line = films["versions"][0]["line"].as_array().unwrap();
        assert_eq!(line[1..], [json!([1_010, 0]), json!([1_010, 0]), json!([1_010, 0])]);
        assert_eq!(films["states"], json!({ "ready": 2 }));
    }

    #[tokio::test(start_paused = true)]
    async fn who_vanishes_is_gone_at_once_and_who_is_silent_is_said_to_be() {
        let (start, mut fleet) = (Instant::now(), Fleet::default());
        let own = key("edge", "own");
        fleet.know(start, two());
        assert_eq!(fleet.due(start, 10, &own).len(), 2);
        assert_eq!(fleet.due(start, 10, &own), [], "both are being asked");
        fleet.heard(&key("films", "a"), start, Ok(pulse("a", 5, 0)));
        fleet.heard(&key("films", "b"), start, Err("refused".to_owned()));
        let shown = fleet.shown(start);
        assert_eq!(shown["states"], json!({ "ready": 1, "silent": 1 }));
        assert_eq!(shown["services"][0]["versions"][0]["members"][1]["why"], "refused");
        // The one that answers is asked each second, the other one less and less often.
        assert_eq!(
            fleet.due(start + SECOND, 10, &own),
            [Due { key: key("films", "a"), admin: "127.0.0.1:1001".parse().unwrap(), tls: false }]
        );
        assert_eq!(fleet.due(start + SECOND * 2, 10, &own).len(), 1);
        // An answer that never comes makes it silent as well.
        assert_eq!(fleet.shown(start + SECOND * 9)["states"], json!({ "silent": 2 }));

        fleet.know(start + SECOND * 9, two().into_iter().take(1));
        fleet.heard(&key("films", "b"), start + SECOND * 9, Ok(pulse("b", 1, 1)));
        assert_eq!(fleet.shown(start + SECOND * 9)["instances"], 1);
    }

    #[tokio::test(start_paused = true)]
    async fn another_process_at_the_address_is_not_taken_for_the_instance() {
        let (start, mut fleet) = (Instant::now(), Fleet::default());
        fleet.know(start, two());
        fleet.heard(&key("films", "a"), start, Ok(pulse("evil", 5, 0)));
        let shown = fleet.shown(start);
        let member = &shown["services"][0]["versions"][0]["members"][0];
        assert_eq!(member["state"], "silent", "{member}");
        assert!(member["why"].as_str().unwrap().contains("another process"), "{member}");
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_are_asked_than_there_is_room_and_nobody_is_forgotten() {
        let (start, mut fleet) = (Instant::now(), Fleet::default());
        let name = |number: u16| format!("i{number:03}");
        let all = (0..500).map(|number| (key("films", &name(number)), endpoint(&name(number), number + 1)));
        fleet.know(start, all);
        let (own, mut asked) = (key("films", "i007"), BTreeSet::new());
        for _ in 0..10 {
            let due = fleet.due(start, 64, &own);
            assert!(due.len() <= 64);
            asked.extend(due.into_iter().map(|due| due.key));
        }
        assert_eq!((asked.len(), asked.contains(&own)), (499, false));
        assert_eq!((period(500), period(2_000)), (SECOND, SECOND * 4));
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_that_drains_is_believed_before_its_process() {
        let (start, mut fleet) = (Instant::now(), Fleet::default());
        fleet.know(start, two());
        fleet.heard(&key("films", "a"), start, Ok(pulse("a", 5, 0)));
        let mut draining = two();
        let endpoint = Arc::make_mut(&mut draining[0].1);
        endpoint.state = State::Draining;
        fleet.know(start, draining);
        assert_eq!(fleet.shown(start)["states"], json!({ "asked": 1, "draining": 1 }));
    }
}
