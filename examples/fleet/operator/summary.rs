//! How was it?

use std::time::Duration;

use super::{
    Manner,
    histogram::{Quantile, short},
    scrape::Totals,
    screen::{cells, per_second, seconds},
    trace::Told,
};
use crate::{
    company::Role,
    fault::{self, Fault},
    followers::Heard,
    outage::Outage,
    users::Tally,
};

/// Everything that is said at the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    pub(crate) users: Tally,
    /// What those heard who kept a stream open.
    pub(crate) heard: Heard,
    /// How long users arrived.
    pub(crate) lasted: Duration,
    pub(crate) services: Totals,
    /// What went wrong on purpose, in the order of asking.
    pub(crate) faults: Vec<Fault>,
    /// When the registry was away.
    pub(crate) outage: Option<Outage>,
    /// Instances that were stopped and started, in order; `None` if that was not asked for.
    pub(crate) kills: Option<Vec<Role>>,
    /// How.
    pub(crate) kill_with: Manner,
    /// The longest that one was away.
    pub(crate) longest_away: Option<Duration>,
    /// Processes that ended by themselves.
    pub(crate) deaths: usize,
    /// Stops that were not clean: who, and how it ended.
    pub(crate) unclean: Vec<String>,
    /// One request: its id, its trace, and what every service said about it.
    pub(crate) followed: Option<Followed>,
}

/// One request through all services it touched.
#[derive(Clone, Debug)]
pub(crate) struct Followed {
    pub(crate) request_id: String,
    pub(crate) trace_id: String,
    pub(crate) lines: Vec<Told>,
}

impl Summary {
    /// 0 only if no request failed for a user, and no stream broke whose instance was not killed without a word.
    pub(crate) fn exit_code(&self) -> u8 {
        let cut = self.kill_with == Manner::Killed && self.kills.is_some();
        u8::from(self.users.failed > 0 || (self.heard.broken > 0 && !cut && self.deaths == 0))
    }

    /// What is printed.
    pub(crate) fn text(&self) -> String {
        let mut lines = vec![String::new(), self.users_line()];
        lines.extend(self.users.reasons.most());
        lines.push(self.heard_line());
        lines.extend(self.heard.reasons.most());
        lines.extend(self.kills_line());
        lines.extend(self.outage.map(outage_line));
        lines.extend(self.faults.iter().enumerate().map(|(place, fault)| self.fault_line(place, fault)));
        lines.extend(self.degraded_line());
        if self.deaths > 0 {
            lines.push(format!("Died by themselves and started again: {}.", self.deaths));
        }
        lines.extend(self.unclean.iter().map(|how| format!("Not stopped clean: {how}")));
        lines.push(String::new());
        let heading = ["service", "", "requests", "errors", "p50", "p99"].map(str::to_owned);
        lines.push(cells(&heading));
        for (role, counts) in &self.services {
            let quantile =
                |q| counts.durations.quantile(q).map_or_else(|| "-".to_owned(), |q: Quantile| q.to_string());
            lines.push(cells(&[
                role.name().to_owned(),
                String::new(),
                counts.requests.to_string(),
                counts.errors.to_string(),
                quantile(0.5),
                quantile(0.99),
            ]));
        }
        lines.extend(self.followed.iter().flat_map(Followed::lines));
        lines.join("\n")
    }

    fn users_line(&self) -> String {
        let Tally { requests, failed, waited, slowest, .. } = &self.users;
        let mut line = format!("Users: {requests} requests in {}, {failed} failed", seconds(self.lasted));
        if let (Some(p50), Some(p99)) = (waited.quantile(0.5), waited.quantile(0.99)) {
            let rate = per_second(*requests, self.lasted);
            line += &format!("; {rate:.1} a second, p50 {p50}, p99 {p99}, slowest {}", short(*slowest));
        }
        line + "."
    }

    /// `Followers: 640 ratings over 12 streams; 4 ended and were opened again, 0 broken.`
    fn heard_line(&self) -> String {
        let Heard { open, ratings, ended, broken, .. } = &self.heard;
        format!(
            "Followers: {ratings} ratings over {open} streams; {ended} ended and were opened again, {broken} broken."
        )
    }

    /// `Fault: ratings error=100%: 812 calls aborted.`
    fn fault_line(&self, place: usize, fault: &Fault) -> String {
        let name = fault::name(place);
        let count = |kind: &str| -> u64 {
            let key = (name.clone(), kind.to_owned());
            self.services.values().filter_map(|counts| counts.injected.get(&key)).sum()
        };
        let kinds = [("delay", "delayed"), ("abort", "aborted"), ("overflow", "spared, too many at once")];
        let told = kinds.iter().map(|(kind, word)| (count(kind), word)).filter(|(count, _)| *count > 0);
        let told: Vec<String> = told.map(|(count, word)| format!("{count} {word}")).collect();
        let told = if told.is_empty() { "none".to_owned() } else { told.join(", ") };
        format!("Fault: {fault} for {}, calls hit: {told}.", seconds(fault.length))
    }

    fn degraded_line(&self) -> Option<String> {
        let all = self.services.values().flat_map(|counts| &counts.dependencies);
        let each = all.filter(|(_, one)| one.degraded > 0);
        let each: Vec<String> =
            each.map(|(target, one)| format!("{} without {target}", one.degraded)).collect();
        (!each.is_empty()).then(|| format!("Degraded replies: {}.", each.join(", ")))
    }

    fn kills_line(&self) -> Option<String> {
        let kills = self.kills.as_ref()?;
        let mut line = format!("Kills: {}", kills.len());
        if !kills.is_empty() {
            let times = |role: &Role| kills.iter().filter(|victim| *victim == role).count();
            let each = Role::ALL.iter().map(|role| format!("{} {}", role.name(), times(role)));
            line += &format!(" ({})", each.collect::<Vec<_>>().join(", "));
        }
        if let Some(longest) = self.longest_away {
            line += &format!("; away for {} at most", seconds(longest));
        }
        Some(line + ".")
    }
}

impl Followed {
    fn lines(&self) -> Vec<String> {
        let services = self.lines.len();
        let heading = format!(
            "One request: {}, seen by {services} services under trace {}",
            self.request_id, self.trace_id
        );
        let lines = self.lines.iter().map(|told| format!("  {}", told.show()));
        [String::new(), heading].into_iter().chain(lines).collect()
    }
}

fn outage_line(outage: Outage) -> String {
    format!("Registry: killed after {}, away for {}.", seconds(outage.at), seconds(outage.length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::openmetrics::Counts;

    fn tally<const N: usize>(waited_ms: &[u64], failed: [(&str, u64); N]) -> Tally {
        let mut tally = Tally { requests: waited_ms.len() as u64, ..Tally::default() };
        for waited in waited_ms {
            tally.waited.observe(Duration::from_millis(*waited));
            tally.slowest = tally.slowest.max(Duration::from_millis(*waited));
        }
        tally.reasons = failed.into();
        tally.failed = failed.iter().map(|(_, count)| count).sum();
        tally
    }

    #[test]
    fn a_good_run_is_told_in_a_screen() {
        let counts = Counts::read(
            "http_server_request_duration_seconds_count 40\nhttp_server_request_duration_seconds_bucket{le=\"0.005\"} 40\n",
        );
        let summary = Summary {
            users: tally(&[2, 2, 2, 40], []),
            lasted: Duration::from_secs(20),
            services: [(Role::Edge, counts), (Role::Catalog, Counts::default())].into(),
            kills: Some(vec![Role::Edge, Role::Catalog, Role::Edge]),
            longest_away: Some(Duration::from_millis(740)),
            ..Summary::default()
        };
        assert_eq!(
            summary.text(),
            "
Users: 4 requests in 20.0s, 0 failed; 0.2 a second, p50 2ms, p99 40ms, slowest 40ms.
Followers: 0 ratings over 0 streams; 0 ended and were opened again, 0 broken.
Kills: 3 (edge 2, catalog 1, ratings 0, recommendations 0); away for 740ms at most.

  service                   requests   errors       p50       p99
  edge                            40        0      <5ms      <5ms
  catalog                          0        0         -         -"
        );
        assert_eq!(summary.exit_code(), 0);
    }

    #[test]
    fn what_was_done_on_purpose_is_told_with_what_it_did() {
        let faults = ["ratings:error=100%", "catalog:delay=500ms,share=20%,for=4s"];
        let edge = Counts::read(
            "platform_faults_injected_total{fault=\"fleet-1\",kind=\"abort\"} 12
platform_faults_injected_total{fault=\"fleet-1\",kind=\"delay\"} 0
platform_faults_injected_total{fault=\"fleet-1\",kind=\"overflow\"} 3
platform_server_degraded_requests_total{target=\"ratings\"} 640
platform_server_degraded_requests_total{target=\"recommendations\"} 2
platform_retry_budget_ratio{target=\"catalog\"} 1\n",
        );
        let summary = Summary {
            services: [(Role::Edge, edge)].into(),
            outage: Some(Outage { at: Duration::from_secs(5), length: Duration::from_secs(30) }),
            faults: faults.map(|text| Fault::parse(text).unwrap()).into(),
            ..Summary::default()
        };
        let expected = "
Registry: killed after 5s, away for 30.0s.
Fault: ratings error=100% for 10.0s, calls hit: 12 aborted, 3 spared, too many at once.
Fault: catalog delay=500ms,share=20% for 4s, calls hit: none.
Degraded replies: 640 without ratings, 2 without recommendations.
";
        let text = summary.text();
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn a_bad_run_says_how_it_was_bad() {
        let summary = Summary {
            users: tally(&[2, 900], [("no_endpoints", 1), ("timeout", 7)]),
            lasted: Duration::from_secs(1),
            heard: Heard { open: 12, ratings: 640, ended: 4, broken: 1, reasons: [("gone", 1)].into() },
            deaths: 2,
            unclean: vec!["edge-1: exit status: 1".into()],
            ..Summary::default()
        };
        let text = summary.text();
        let expected = [
            "8 failed",
            "  7 x timeout\n  1 x no_endpoints\n",
            "Followers: 640 ratings over 12 streams; 4 ended and were opened again, 1 broken.\n  1 x gone\n",
            "Died by themselves and started again: 2.",
            "Not stopped clean: edge-1",
        ];
        assert!(expected.iter().all(|part| text.contains(part)), "{text}");
        assert_eq!(summary.exit_code(), 1);
        // A stream that breaks is a failure too, unless its instance had no time to end it.
        let broken = Summary { users: Tally::default(), deaths: 0, kills: Some(Vec::new()), ..summary };
        assert_eq!(broken.exit_code(), 1);
        assert_eq!(Summary { kill_with: Manner::Killed, ..broken }.exit_code(), 0);
    }

    #[test]
    fn nobody_came_and_nothing_was_divided_by_zero() {
        let text = Summary::default().text();
        assert!(text.starts_with("\nUsers: 0 requests in 0us, 0 failed.\n"), "{text}");
        let text = Summary { users: tally(&[2], []), ..Summary::default() }.text();
        assert!(text.starts_with("\nUsers: 1 requests in 0us, 0 failed; 0.0 a second,"), "{text}");
    }
}
