//! What a breaker does with calls, call by call.

mod crowd;

use tokio::time::Instant;

use super::*;
use crate::config::Ratio;

const MS: Duration = Duration::from_millis(1);

/// A breaker and its time.
struct Bench {
    breaker: Breaker,
    now: Instant,
}

impl Bench {
    fn new(config: Config) -> Self {
        let now = Instant::now();
        Bench { breaker: Breaker::new(config, now, Meters::default()), now }
    }

    fn ask(&self) -> Option<Ticket> {
        match self.breaker.ask(&Context::root(self.now)) {
            Answer::Go(ticket) => Some(ticket),
            Answer::No(_) => None,
            Answer::Wait => unreachable!("nobody waits for a breaker"),
        }
    }

    fn refusal(&self) -> Refusal {
        match self.breaker.ask(&Context::root(self.now)) {
            Answer::No(refusal) => refusal,
            answer => panic!("{answer:?}"),
        }
    }

    fn report(&self, ticket: Ticket, outcome: Outcome) {
        self.breaker.report(ticket, &Verdict::new(outcome, self.now));
    }

    /// A call that takes so long. Does it go on?
    fn call(&mut self, outcome: Outcome, took: Duration) -> bool {
        let ticket = self.ask();
        self.now += took;
        if let Some(ticket) = ticket {
            self.report(ticket, outcome);
        }
        ticket.is_some()
    }

    fn calls(&mut self, outcome: Outcome, count: u32) {
        for _ in 0..count {
            self.call(outcome, MS);
        }
    }

    fn state(&self) -> State {
        self.breaker.state(self.now)
    }

    fn is_open(&self) -> bool {
        matches!(self.state(), State::Open { .. })
    }

    /// Until the pause is over; how long that was.
    fn sit_out(&mut self) -> Duration {
        let State::Open { again_in, .. } = self.state() else { panic!("{:?}", self.state()) };
        self.now += again_in;
        again_in
    }

    fn opened(config: Config) -> Self {
        let mut bench = Bench::new(config);
        bench.calls(Outcome::ServerFault, config.consecutive);
        assert!(bench.is_open());
        bench
    }

    fn shown(&self) -> (f64, [u64; 4]) {
        let Meters { state, closed, half_open, open, ramp } = &self.breaker.meters;
        (state.value(), [open, half_open, ramp, closed].map(|counter| counter.value()))
    }
}

/// Only the ratios.
fn ratios() -> Config {
    Config { consecutive: u32::MAX, ..Config::default() }
}

#[test]
fn which_outcomes_open_it_when_they_come_in_a_row() {
    use Outcome::*;
    let table = [
        (Success, false, false),
        (CallerFault, false, false),
        (ServerFault, false, true),
        (Overload, false, false),
        (Overload, true, true),
        (Timeout, false, true),
        (Unreachable, false, true),
        (Local, true, false),
        (Abandoned, true, false),
    ];
    for (outcome, count_overload, opens) in table {
        let mut bench = Bench::new(Config { count_overload, ..Config::default() });
        bench.calls(outcome, 6);
        assert_eq!(bench.state(), State::Closed, "{outcome:?}");
        bench.calls(outcome, 100);
        assert_eq!(bench.is_open(), opens, "{outcome:?}");
    }
}

/// A target that is beyond its limit refuses most calls, and some of those that it lets in are too late: it is there, and
/// whoever cut it off would keep refusing for seconds after it is well.
#[test]
fn a_target_that_says_that_it_has_too_much_to_do_is_not_cut_off_for_those_that_are_too_late() {
    let opens = |overloads, config| {
        let mut bench = Bench::new(config);
        (0..50).any(|_| {
            let counts = [(Outcome::Overload, overloads), (Outcome::Timeout, 6), (Outcome::Success, 2)];
            counts.into_iter().any(|(outcome, count)| {
                bench.calls(outcome, count);
                bench.is_open()
            })
        })
    };
    assert!(!opens(8, Config::default()));
    assert!(opens(2, ratios()), "one that refuses little, and is too late with most");
    assert!(opens(8, Config { count_overload: true, ..ratios() }));
    let mut bench = Bench::new(Config { min_calls: u32::MAX, ..Config::default() });
    for _ in 0..50 {
        bench.calls(Outcome::Timeout, 6);
        bench.calls(Outcome::Overload, 1);
    }
    assert_eq!(bench.state(), State::Closed, "a refusal ends a row");
}

/// What was let in before the first refusals is late altogether, one call after the other.
#[test]
fn calls_that_are_late_where_others_are_refused_are_no_row() {
    for refuses in [true, false] {
        let mut bench = Bench::new(Config { min_calls: u32::MAX, ..Config::default() });
        let mut under_way = Vec::new();
        for _ in 0..20 {
            under_way.push(bench.ask().unwrap());
            bench.now += 30 * MS;
        }
        if refuses {
            bench.calls(Outcome::Overload, 1);
        }
        for ticket in under_way {
            bench.now += 30 * MS;
            bench.report(ticket, Outcome::Timeout);
        }
        assert_eq!(bench.is_open(), !refuses);
        if refuses {
            bench.now += MS;
            bench.calls(Outcome::Timeout, 7);
            assert!(bench.is_open(), "it refuses nobody any more");
        }
    }
}

#[test]
fn an_instance_that_is_killed_with_many_calls_opens_nothing_and_a_target_that_is_gone_opens_it() {
    let mut bench = Bench::new(Config { min_calls: u32::MAX, ..Config::default() });
    let under_way: Vec<Ticket> = (0..50).map(|_| bench.ask().unwrap()).collect();
    bench.now += 40 * MS;
    under_way.into_iter().for_each(|ticket| bench.report(ticket, Outcome::Unreachable));
    assert_eq!(bench.state(), State::Closed);
    bench.calls(Outcome::Unreachable, 5);
    assert_eq!(bench.state(), State::Closed, "six events");
    bench.calls(Outcome::Unreachable, 1);
    assert!(bench.is_open());
}

#[test]
fn silence_is_found_though_all_calls_overlap() {
    let mut bench = Bench::new(Config { min_calls: u32::MAX, slow_after: None, ..Config::default() });
    // A call each 5 ms, each cut after a second.
    let under_way: Vec<(Instant, Ticket)> =
        (0..200).map(|n| (bench.now + (1000 + 5 * n) * MS, bench.ask().unwrap())).collect();
    let begun = bench.now;
    for (end, ticket) in under_way {
        bench.now = end;
        bench.report(ticket, Outcome::Timeout);
        if bench.is_open() {
            break;
        }
    }
    assert_eq!(bench.now - begun, 1120 * MS, "six times 20 ms after the first");
}

#[test]
fn a_success_ends_a_row_and_what_says_nothing_does_not() {
    let mut bench = Bench::new(Config { min_calls: u32::MAX, ..Config::default() });
    for _ in 0..10 {
        bench.calls(Outcome::ServerFault, 6);
        bench.calls(Outcome::Success, 1);
    }
    assert_eq!(bench.state(), State::Closed);
    bench.calls(Outcome::ServerFault, 6);
    bench.calls(Outcome::Abandoned, 3);
    bench.calls(Outcome::Local, 3);
    assert_eq!(bench.state(), State::Closed);
    bench.calls(Outcome::ServerFault, 1);
    assert!(bench.is_open());
}

#[test]
fn the_share_of_failures_counts_from_twenty_calls_on() {
    let mut bench = Bench::new(ratios());
    for _ in 0..9 {
        bench.calls(Outcome::Success, 1);
        bench.calls(Outcome::Timeout, 1);
    }
    bench.calls(Outcome::Success, 1);
    assert_eq!(bench.state(), State::Closed, "19 calls, 9 failures");
    bench.calls(Outcome::Timeout, 1);
    let State::Open { why, .. } = bench.state() else { panic!("{:?}", bench.state()) };
    let Config { window, failure_ratio: limit, .. } = ratios();
    assert_eq!(why.cause, Some(Cause::Share { failures: 10, calls: 20, window, limit }));
}

#[test]
fn slow_calls_open_it_also_when_they_succeed() {
    let slow = Duration::from_secs(2);
    let config = Config { window: Duration::from_secs(600), ..ratios() };
    let table = [
        (config, slow - MS, false),
        (config, slow, true),
        (Config { slow_after: None, ..config }, slow * 10, false),
    ];
    for (config, took, opens) in table {
        let mut bench = Bench::new(config);
        for _ in 0..19 {
            bench.call(Outcome::Success, took);
        }
        assert_eq!(bench.state(), State::Closed);
        bench.call(Outcome::CallerFault, took);
        assert_eq!(bench.is_open(), opens, "{took:?}");
    }
}

/// A window of the last *n calls* has to see as many failures as there were successes.
#[test]
fn what_was_good_for_long_is_held_against_no_failure_of_now() {
    for before in [100_u32, 10_000, 100_000] {
        // In a row: seven, whatever was before.
        let mut bench = Bench::new(Config::default());
        bench.calls(Outcome::Success, before);
        bench.calls(Outcome::ServerFault, 6);
        assert_eq!(bench.state(), State::Closed);
        bench.calls(Outcome::ServerFault, 1);
        assert!(bench.is_open(), "{before}");

        // By share: when half of the window has passed, at any rate of calls.
        let mut bench = Bench::new(ratios());
        let rate = Duration::from_secs(100) / before.max(200);
        for _ in 0..before {
            bench.call(Outcome::Success, rate);
        }
        let began = bench.now;
        while !bench.is_open() {
            bench.call(Outcome::ServerFault, rate);
            assert!(bench.now - began <= Duration::from_millis(6500), "{before}");
        }
        assert!(bench.now - began >= Duration::from_secs(4), "{before}");
    }
}

#[test]
fn a_failure_of_long_ago_is_forgotten() {
    let mut bench = Bench::new(ratios());
    bench.calls(Outcome::ServerFault, 19);
    bench.now += Duration::from_secs(3600 * 24 * 40);
    bench.calls(Outcome::ServerFault, 19);
    assert_eq!(bench.state(), State::Closed);
    bench.calls(Outcome::ServerFault, 1);
    assert!(bench.is_open());
}

#[test]
fn it_opens_asks_once_ramps_up_and_closes() {
    let mut bench = Bench::opened(Config::default());
    let refusal = bench.refusal();
    let State::Open { again_in, .. } = bench.state() else { panic!() };
    assert_eq!(refusal.after, Some(again_in));
    assert!(again_in >= Duration::from_millis(500) && again_in <= Duration::from_secs(1));
    assert!(refusal.why.starts_with("open since 0ms after 7 failures in a row (breaker.consecutive = 7)"));
    bench.sit_out();
    assert!(matches!(bench.state(), State::HalfOpen { probing: false, .. }));
    let probe = bench.ask().unwrap();
    assert!(bench.ask().is_none());
    assert!(bench.refusal().why.contains("one call is under way"));
    bench.report(probe, Outcome::Success);
    for percent in [10, 20, 40, 80] {
        assert!(matches!(bench.state(), State::Ramp { share, .. } if u32::from(share) == percent));
        let admitted = (0..100).filter(|_| bench.call(Outcome::Success, Duration::ZERO)).count();
        assert_eq!(admitted, percent as usize);
        bench.now += Duration::from_secs(1);
    }
    assert!(bench.call(Outcome::Success, MS));
    assert_eq!((bench.state(), bench.shown()), (State::Closed, (0.0, [1, 1, 1, 1])));
    bench.calls(Outcome::ServerFault, 6);
    assert_eq!(bench.state(), State::Closed, "what was before is forgotten");
}

#[test]
fn a_probe_that_fails_or_is_slow_opens_it_for_twice_as_long() {
    let mut bench = Bench::opened(Config::default());
    for whole in [1, 2, 4, 8, 16, 32, 60, 60] {
        let (whole, paused) = (Duration::from_secs(whole), bench.sit_out());
        assert!(paused >= whole / 2 && paused <= whole, "{paused:?} of {whole:?}");
        let slow = if whole.as_secs() % 3 == 0 { Outcome::Success } else { Outcome::Unreachable };
        assert!(bench.call(slow, Duration::from_secs(2)));
    }
    let State::Open { why, .. } = bench.state() else { panic!("{:?}", bench.state()) };
    assert_eq!((why.tries, why.cause), (8, Some(Cause::Row { failures: 7, limit: 7 })));
}

#[test]
fn a_target_that_fails_again_in_the_ramp_is_left_alone_for_longer() {
    let mut bench = Bench::opened(Config::default());
    bench.sit_out();
    bench.call(Outcome::Success, MS);
    bench.now += Duration::from_secs(3);
    let mut failed = 0;
    while !bench.is_open() {
        failed += u32::from(bench.call(Outcome::ServerFault, MS));
    }
    assert_eq!(failed, 3);
    assert!(bench.sit_out() >= Duration::from_secs(1));
    assert_eq!(bench.shown(), (2.0, [2, 1, 1, 0]));
}

#[test]
fn a_call_of_before_neither_opens_it_again_nor_closes_it() {
    for outcome in [Outcome::ServerFault, Outcome::Success, Outcome::Abandoned] {
        let mut bench = Bench::new(Config::default());
        let early: Vec<_> = (0..10).map(|_| bench.ask().unwrap()).collect();
        bench.calls(Outcome::ServerFault, 7);
        let mut early = early.into_iter();
        bench.report(early.next().unwrap(), outcome);
        assert!(bench.is_open());
        bench.sit_out();
        let probe = bench.ask().unwrap();
        for ticket in early.by_ref().take(4) {
            bench.report(ticket, outcome);
        }
        assert!(matches!(bench.state(), State::HalfOpen { probing: true, .. }), "{outcome:?}");
        bench.report(probe, Outcome::Success);
        early.for_each(|ticket| bench.report(ticket, outcome));
        assert!(matches!(bench.state(), State::Ramp { .. }), "{outcome:?}");
    }
}

#[test]
fn a_probe_that_says_nothing_frees_its_place() {
    for outcome in [Outcome::Abandoned, Outcome::Local, Outcome::Overload] {
        let mut bench = Bench::opened(Config::default());
        bench.sit_out();
        for _ in 0..5 {
            let probe = bench.ask().unwrap();
            assert!(bench.ask().is_none());
            bench.report(probe, outcome);
            assert!(matches!(bench.state(), State::HalfOpen { probing: false, .. }));
        }
        assert_eq!(bench.shown(), (1.0, [1, 1, 0, 0]));
    }
}

#[test]
fn a_probe_that_never_comes_back_is_given_up() {
    let mut bench = Bench::opened(Config::default());
    bench.sit_out();
    let lost = bench.ask().unwrap();
    bench.now += Duration::from_secs(60) - MS;
    assert!(bench.ask().is_none());
    bench.now += MS;
    let probe = bench.ask().unwrap();
    bench.report(lost, Outcome::Success);
    assert!(matches!(bench.state(), State::HalfOpen { probing: true, .. }));
    bench.report(probe, Outcome::Success);
    assert!(matches!(bench.state(), State::Ramp { .. }));
}

#[test]
fn a_hand_overrules_the_evidence_and_leaves_none() {
    let mut bench = Bench::new(Config::default());
    bench.breaker.force(Some(Forced::Open));
    assert_eq!((bench.refusal().after, bench.shown().0), (None, 2.0));
    bench.breaker.force(Some(Forced::Closed));
    bench.calls(Outcome::ServerFault, 100);
    assert!(bench.ask().is_some());
    bench.breaker.force(None);
    bench.calls(Outcome::ServerFault, 6);
    bench.breaker.force(None);
    assert_eq!(bench.state(), State::Closed);
    bench.calls(Outcome::ServerFault, 1);
    assert!(bench.is_open(), "a hand that was lifted twice took nothing away");
}

#[test]
fn new_values_count_from_now_on() {
    let mut bench = Bench::new(Config::default());
    bench.calls(Outcome::ServerFault, 2);
    bench.breaker.configure(Config { consecutive: 3, ..Config::default() });
    bench.calls(Outcome::ServerFault, 1);
    assert!(bench.is_open());
    let short = Config { window: Duration::from_secs(1), ..ratios() };
    let mut bench = Bench::new(ratios());
    bench.calls(Outcome::ServerFault, 19);
    bench.breaker.configure(short);
    bench.calls(Outcome::ServerFault, 19);
    assert_eq!(bench.state(), State::Closed, "another window begins empty");
    bench.breaker.configure(Config { slow_after: Some(MS), slow_ratio: Ratio::of(0.01), ..short });
    bench.calls(Outcome::Success, 1);
    assert!(matches!(bench.state(), State::Open { .. }));
}
