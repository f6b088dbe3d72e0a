//! What callers felt, in numbers.

use std::time::Duration;

use super::{
    client::{Client, Felt},
    town::Town,
};

/// The calls of one run.
pub(crate) struct Told {
    pub(crate) calls: u64,
    pub(crate) failed: u64,
    pub(crate) refused: u64,
    pub(crate) attempts: u64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) p999: Duration,
}

impl Told {
    pub(crate) fn of(felt: &[Felt], town: &Town) -> Self {
        // A failure is no answer, however soon it comes: whoever waits for the page waits until the deadline.
        let mut took: Vec<Duration> =
            felt.iter().map(|felt| if felt.good { felt.took } else { felt.took.max(DEADLINE) }).collect();
        took.sort_unstable();
        let at =
            |share: f64| took.get(((took.len() as f64 * share) as usize).min(took.len().saturating_sub(1)));
        let count = |of: fn(&Felt) -> bool| felt.iter().filter(|felt| of(felt)).count() as u64;
        Told {
            calls: felt.len() as u64,
            failed: count(|felt| !felt.good),
            refused: count(|felt| felt.refused),
            attempts: town.requests(),
            p50: at(0.5).copied().unwrap_or_default(),
            p99: at(0.99).copied().unwrap_or_default(),
            p999: at(0.999).copied().unwrap_or_default(),
        }
    }

    pub(crate) fn errors(&self) -> f64 {
        self.failed as f64 / self.calls.max(1) as f64
    }

    pub(crate) fn per_call(&self) -> f64 {
        self.attempts as f64 / self.calls.max(1) as f64
    }

    pub(crate) fn row(&self, storm: &str, what: &str, arm: &str, seed: u64, more: &str) -> Vec<String> {
        vec![
            storm.to_owned(),
            what.to_owned(),
            arm.to_owned(),
            seed.to_string(),
            format!("{:.3}", 100.0 * self.errors()),
            format!("{:.3}", self.per_call()),
            format!("{:.1}", self.p50.as_secs_f64() * 1e3),
            format!("{:.1}", self.p99.as_secs_f64() * 1e3),
            format!("{:.1}", self.p999.as_secs_f64() * 1e3),
            more.to_owned(),
        ]
    }
}

/// How often a client's balancer left somebody out.
pub(crate) fn ejections(client: &Client) -> u64 {
    let text = client.metrics.encode();
    let counts = text.lines().filter(|line| line.starts_with("platform_balance_ejections_total{"));
    counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// Which guards of the clients refused how much.
pub(crate) fn refusals(clients: &[Client]) -> String {
    let mut by_guard = std::collections::BTreeMap::<String, u64>::new();
    for client in clients {
        let text = client.metrics.encode();
        for line in text.lines().filter(|line| line.starts_with("platform_client_refusals_total{")) {
            let guard = line.split("guard=\"").nth(1).and_then(|rest| rest.split('"').next());
            let count = line.rsplit(' ').next().and_then(|count| count.parse::<u64>().ok());
            if let (Some(guard), Some(count), true) = (guard, count, line.contains("mode=\"enforce\"")) {
                *by_guard.entry(guard.to_owned()).or_default() += count;
            }
        }
    }
    let told = by_guard.into_iter().filter(|(_, count)| *count > 0);
    told.map(|(guard, count)| format!(", {guard} {count}")).collect()
}

/// How long a caller waits.
const DEADLINE: Duration = Duration::from_secs(1);
