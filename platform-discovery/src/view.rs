//! What does an operator see of the targets?

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use platform_core::{Outcome, config::Mode};
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    endpoint::{Endpoint, Protocol, State},
    watch::Watch,
};

/// One target as `/platform/targets` shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TargetView {
    /// What logs and metrics call it.
    pub target: String,
    /// As it is written in the configuration.
    pub uri: String,
    /// Where its endpoints come from.
    pub source: String,
    /// Grows with every change of the set.
    pub set: u64,
    /// How long ago the set was known to be true; absent before the first answer.
    pub age_ms: Option<u64>,
    /// Why the source cannot answer now.
    pub failing: Option<String>,
    /// Records that made no sense and were left out.
    pub skipped: usize,
    /// Endpoints that are missing and still believed in.
    pub held: usize,
    /// Why the source's last answer is not believed yet.
    pub suspect: Option<String>,
    /// The set was read from disk, and no answer has confirmed it.
    pub saved: bool,
    /// Why all are asked although many are sick; absent if it is not so.
    pub panic: Option<String>,
    /// Zones of these endpoints in which nobody is asked, because an operator wants them to be empty.
    pub evacuated: Vec<String>,
    /// The endpoints.
    pub endpoints: Vec<EndpointView>,
}

/// One endpoint of a target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EndpointView {
    /// What it is called among its equals.
    pub instance: String,
    /// Where it is called.
    pub address: SocketAddr,
    /// Where its operators look.
    pub admin: Option<SocketAddr>,
    /// Whether they have to speak TLS there.
    pub admin_tls: bool,
    /// What it speaks.
    pub protocol: Protocol,
    /// Whether it takes new calls.
    pub state: State,
    /// Where it runs.
    pub zone: String,
    /// Which version it runs.
    pub version: String,
    /// Which of the versions that run side by side.
    pub variant: String,
    /// Its share of the traffic relative to the others.
    pub weight: u32,
    /// The team that is called at night.
    pub owner: String,
    /// Calls of this process that it has not finished.
    pub in_flight: u32,
    /// Requests that it has under way from all its callers, by its own word; absent if it has not said so lately.
    pub under_way: Option<u32>,
    /// How long its answers take, as far as this process knows: up at once, down slowly, and a failure counts as a slow
    /// answer. Absent before the first.
    pub latency_ms: Option<f64>,
    /// Answers as asked, since this process knows it.
    pub successes: u64,
    /// Failures, the same.
    pub failures: u64,
    /// What the last failure was; absent if there was none.
    pub last_failure: Option<&'static str>,
    /// The share of its weight that it gets while it is new; absent when it gets all.
    pub warming: Option<f64>,
    /// A connection to it is being made, or tried again; others are asked meanwhile.
    pub connecting: bool,
    /// What it says of itself, where somebody listens: `serving`, `not_serving`, or `awaited` while it has said nothing
    /// yet; absent where nobody does.
    pub health: Option<&'static str>,
    /// It is left out for a while.
    pub ejected: bool,
    /// Why it is, or should be or would be, in words and numbers; absent if it is well.
    pub sick: Option<String>,
}

/// What a balancer tells about those it chooses from, whatever it keeps for each.
pub(crate) trait Members: Send + Sync {
    /// Shows each of them.
    fn each(&self, now: Instant, show: &mut dyn FnMut(&str, SocketAddr, Seen));

    /// Why all are asked although many are sick; nothing if it is not so.
    fn panic(&self) -> Option<String>;

    /// Looks again at whom to consider.
    fn refresh(&self);

    /// Leaves endpoints out in this mode from now on; `None` is as configured. Returns what is in force.
    fn eject_as(&self, laid: Option<Mode>) -> Mode;
}

/// What one balancer knows of one endpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) in_flight: u32,
    pub(crate) told: Option<u32>,
    pub(crate) latency: Option<Duration>,
    pub(crate) successes: u32,
    pub(crate) failures: u32,
    pub(crate) last_failure: Option<Outcome>,
    pub(crate) warming: Option<f64>,
    pub(crate) connecting: bool,
    pub(crate) health: Option<&'static str>,
    pub(crate) is_out: bool,
    pub(crate) sick: Option<String>,
}

impl Seen {
    /// What several balancers of one target know together: clients that are set differently have one each.
    fn and(&mut self, other: &Seen) {
        self.in_flight += other.in_flight;
        self.told = self.told.max(other.told);
        self.latency = self.latency.max(other.latency);
        self.successes = self.successes.saturating_add(other.successes);
        self.failures = self.failures.saturating_add(other.failures);
        self.last_failure = self.last_failure.or(other.last_failure);
        self.warming = match (self.warming, other.warming) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        self.connecting |= other.connecting;
        self.health = self.health.or(other.health);
        self.is_out |= other.is_out;
        if self.sick.is_none() {
            self.sick.clone_from(&other.sick);
        }
    }
}

/// How many of a target are left out, and how many of the others are not connected, by the balancer that leaves out
/// most.
pub(crate) fn left_out(watch: &Watch, now: Instant) -> (usize, usize) {
    let out = |balancer: &Arc<dyn Members>| {
        let (mut ejected, mut connecting) = (0, 0);
        balancer.each(now, &mut |_, _, seen| {
            ejected += usize::from(seen.is_out);
            connecting += usize::from(seen.connecting && !seen.is_out);
        });
        (ejected, connecting)
    };
    watch.balancers().iter().map(out).max_by_key(|(one, other)| one + other).unwrap_or_default()
}

impl TargetView {
    pub(crate) fn of(watch: &Watch, evacuated: &BTreeSet<String>, now: Instant) -> Self {
        let belief = watch.belief();
        let mut known: HashMap<(String, SocketAddr), Seen> = HashMap::new();
        for balancer in watch.balancers() {
            balancer.each(now, &mut |instance, address, seen| {
                known.entry((instance.to_owned(), address)).or_default().and(&seen);
            });
        }
        let endpoints = belief.set.endpoints().iter().map(|endpoint| {
            let seen = known.remove(&(endpoint.instance.clone(), endpoint.address)).unwrap_or_default();
            EndpointView::of(endpoint, &seen)
        });
        let there = |zone: &&String| belief.set.endpoints().iter().any(|endpoint| endpoint.zone == **zone);
        TargetView {
            target: watch.target.name().to_string(),
            uri: watch.target.to_string(),
            source: watch.source.clone(),
            set: belief.set.version(),
            age_ms: belief.age(now).map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            failing: belief.failing.as_ref().map(|error| format!("{error:?}")),
            skipped: belief.skipped,
            held: belief.held,
            suspect: belief.doubt.map(|doubt| doubt.explain(now)),
            saved: belief.recalled.is_some(),
            panic: watch.balancers().iter().find_map(|balancer| balancer.panic()),
            evacuated: evacuated.iter().filter(there).cloned().collect(),
            endpoints: endpoints.collect(),
        }
    }
}

impl EndpointView {
    fn of(endpoint: &Endpoint, seen: &Seen) -> Self {
        EndpointView {
            instance: endpoint.instance.clone(),
            address: endpoint.address,
            admin: endpoint.admin,
            admin_tls: endpoint.admin_tls,
            protocol: endpoint.protocol,
            state: endpoint.state,
            zone: endpoint.zone.clone(),
            version: endpoint.version.clone(),
            variant: endpoint.variant.clone(),
            weight: endpoint.weight,
            owner: endpoint.owner.clone(),
            in_flight: seen.in_flight,
            under_way: seen.told,
            // A tenth of a millisecond is as much as anybody reads.
            latency_ms: seen.latency.map(|latency| (latency.as_secs_f64() * 1e4).round() / 10.0),
            successes: u64::from(seen.successes),
            failures: u64::from(seen.failures),
            last_failure: seen.last_failure.map(Outcome::label),
            warming: seen.warming.map(|share| (share * 100.0).round() / 100.0),
            connecting: seen.connecting,
            health: seen.health,
            ejected: seen.is_out,
            sick: seen.sick.clone(),
        }
    }
}
