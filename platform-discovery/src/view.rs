//! What does an operator see of the targets?

use std::{collections::HashMap, net::SocketAddr};

use serde::Serialize;
use tokio::time::Instant;

use crate::{
    endpoint::{Protocol, State},
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
}

/// What a balancer tells about those it chooses from, whatever it keeps for each.
pub(crate) trait Members: Send + Sync {
    /// Adds what is in flight, by instance and address.
    fn in_flight(&self, add: &mut dyn FnMut(&str, SocketAddr, u32));
}

impl TargetView {
    pub(crate) fn of(watch: &Watch, now: Instant) -> Self {
        let belief = watch.belief();
        let mut in_flight: HashMap<(String, SocketAddr), u32> = HashMap::new();
        for balancer in watch.balancers() {
            balancer.in_flight(&mut |instance, address, calls| {
                *in_flight.entry((instance.to_owned(), address)).or_default() += calls;
            });
        }
        let endpoints = belief.set.endpoints().iter().map(|endpoint| EndpointView {
            instance: endpoint.instance.clone(),
            address: endpoint.address,
            admin: endpoint.admin,
            protocol: endpoint.protocol,
            state: endpoint.state,
            zone: endpoint.zone.clone(),
            version: endpoint.version.clone(),
            variant: endpoint.variant.clone(),
            weight: endpoint.weight,
            owner: endpoint.owner.clone(),
            in_flight: in_flight.get(&(endpoint.instance.clone(), endpoint.address)).copied().unwrap_or(0),
        });
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
            endpoints: endpoints.collect(),
        }
    }
}
