//! The engine by tables and properties: time and dice are arguments.

use proptest::prelude::*;

use super::*;

/// Endpoints as the engine sees them, and a clock.
struct Bench {
    rules: Rules,
    cases: Vec<Case>,
    tallies: Vec<Tally>,
    last: Outcome,
    now: Instant,
    panic: bool,
}

impl Bench {
    fn of(endpoints: usize) -> Self {
        let rules = Rules {
            consecutive: 5,
            base: Duration::from_secs(30),
            max: Duration::from_secs(300),
            max_share: 0.5,
            panic: 0.5,
            enforce: true,
        };
        let now = Instant::now();
        Bench {
            rules,
            cases: (0..endpoints).map(|_| Case::new(now)).collect(),
            tallies: vec![Tally::default(); endpoints],
            last: Outcome::ServerFault,
            now,
            panic: false,
        }
    }

    fn fail(&mut self, index: usize, times: u32) {
        let tally = &mut self.tallies[index];
        tally.failures = tally.failures.wrapping_add(times);
        tally.streak = tally.streak.max(0) + times as i32;
    }

    fn succeed(&mut self, index: usize, times: u32) {
        let tally = &mut self.tallies[index];
        tally.successes = tally.successes.wrapping_add(times);
        tally.streak = (tally.streak.min(0) - times as i32).max(-64);
    }

    fn wait(&mut self, seconds: u64) -> &mut Self {
        self.now += Duration::from_secs(seconds);
        self
    }

    /// A look; dice that leave the whole time.
    fn rule(&mut self) -> Ruling {
        let last_failure = self.last;
        let mut rows: Vec<Row<'_>> = self
            .cases
            .iter_mut()
            .zip(&self.tallies)
            .map(|(case, tally)| Row { case, tally: *tally, last_failure })
            .collect();
        let ruling = rule(&self.rules, &mut rows, self.panic, self.now, || u64::MAX);
        self.panic = ruling.panic;
        for change in &ruling.changes {
            if let Change::Back { index, probe: true } = change {
                self.tallies[*index].streak = 0;
            }
        }
        ruling
    }

    fn out(&self) -> Vec<usize> {
        (0..self.cases.len()).filter(|index| self.cases[*index].is_out()).collect()
    }
}

fn outs(ruling: &Ruling) -> Vec<(usize, &'static str, u64)> {
    let each = ruling.changes.iter().filter_map(|change| match change {
        Change::Out { index, why, time } => {
            Some((*index, why.label(), time.as_millis().div_ceil(1000) as u64))
        }
        Change::Back { .. } => None,
    });
    each.collect()
}

#[test]
fn five_failures_in_a_row_are_enough_and_four_are_not() {
    let mut bench = Bench::of(3);
    bench.fail(1, 4);
    assert_eq!(bench.rule().changes, []);
    bench.fail(1, 1);
    assert_eq!(outs(&bench.rule()), [(1, "consecutive", 30)]);
    assert_eq!(
        bench.cases[1].tell(bench.now, true).unwrap(),
        "5 consecutive failures, the last one server, back in 30 s"
    );
}

#[test]
fn a_success_now_and_then_does_not_save_whoever_fails_most() {
    let mut bench = Bench::of(2);
    for _ in 0..3 {
        bench.fail(0, 2);
        bench.succeed(0, 1);
        bench.succeed(1, 3);
    }
    assert_eq!(outs(&bench.rule()), [], "nine answers are few");
    bench.fail(0, 1);
    assert_eq!(outs(&bench.rule()), [(0, "share", 30)]);
}

#[test]
fn where_all_fail_alike_nobody_is_blamed_for_a_share() {
    let mut bench = Bench::of(3);
    for _ in 0..20 {
        for index in 0..3 {
            bench.fail(index, 2);
            bench.succeed(index, 1);
        }
    }
    assert_eq!(outs(&bench.rule()), []);
}

#[test]
fn a_burst_is_not_hidden_by_the_good_minutes_before_it() {
    let mut bench = Bench::of(5);
    for _ in 0..60 {
        (0..5).for_each(|index| bench.succeed(index, 100));
        assert_eq!(bench.wait(1).rule().changes, []);
    }
    // Old answers leave the window bucket by bucket, and none is counted twice.
    let counts = bench.cases[0].counts();
    assert!((2_700..=3_000).contains(&counts.answers()), "{counts:?}");
    bench.fail(2, 5);
    assert_eq!(outs(&bench.rule()), [(2, "consecutive", 30)]);
}

/// What fails a third of its calls, by the number of endpoints and of answers of each: who is out?
#[test]
fn a_grey_one_is_found_where_there_is_enough_to_compare() {
    for endpoints in [2, 3, 5, 10] {
        for (answers, found) in [(9, false), (60, false), (120, true), (900, true)] {
            let mut bench = Bench::of(endpoints);
            for index in 0..endpoints {
                let failures = if index == 0 { answers / 3 } else { 0 };
                (0..failures).for_each(|_| {
                    bench.fail(0, 1);
                    bench.succeed(0, 1);
                });
                bench.succeed(index, answers - 2 * failures);
            }
            let found_now = outs(&bench.rule());
            assert_eq!(
                found_now == [(0, "rate", 30)],
                found,
                "{endpoints} endpoints, {answers}: {found_now:?}"
            );
            assert!(found || found_now.is_empty());
        }
    }
}

#[test]
fn a_single_failure_of_a_hundred_is_no_outlier_however_good_the_others_are() {
    let mut bench = Bench::of(10);
    for index in 0..10 {
        bench.succeed(index, 99);
        if index == 4 {
            bench.fail(index, 1);
        } else {
            bench.succeed(index, 1);
        }
    }
    assert_eq!(bench.rule().changes, []);
}

/// How many of how many may be out, and when all are asked again.
#[test]
fn few_endpoints_are_not_left_alone() {
    let table = [
        // endpoints, sick, out, panic
        (1, 1, 0, false),
        (2, 1, 1, false),
        (2, 2, 1, true),
        (3, 1, 1, false),
        (3, 2, 1, true),
        (3, 3, 1, true),
        (4, 2, 2, false),
        (5, 2, 2, false),
        (5, 3, 2, true),
        (10, 5, 5, false),
        (10, 6, 5, true),
        (10, 10, 5, true),
        (12, 4, 4, false),
    ];
    for (endpoints, sick, out, panic) in table {
        let mut bench = Bench::of(endpoints);
        (0..sick).for_each(|index| bench.fail(index, 5));
        let ruling = bench.rule();
        assert_eq!((bench.out().len(), ruling.panic), (out, panic), "{sick} of {endpoints}");
        if panic {
            let held = bench.cases.iter().filter_map(|case| case.tell(bench.now, true));
            assert!(held.into_iter().any(|told| told.ends_with("because too many are out")));
        }
    }
}

#[test]
fn all_are_asked_again_until_enough_are_well() {
    let mut bench = Bench::of(4);
    (0..4).for_each(|index| bench.fail(index, 5));
    assert!(bench.rule().panic);
    assert!(bench.wait(1).rule().panic, "and nobody else goes while it lasts");
    assert_eq!(bench.out().len(), 2);
    // They answer again: whoever is asked need not wait for the end of its time, nor be tried.
    for index in 0..4 {
        bench.succeed(index, 5);
    }
    let ruling = bench.wait(1).rule();
    assert!(!ruling.panic);
    let backs = ruling.changes.iter().filter(|change| matches!(change, Change::Back { probe: false, .. }));
    assert_eq!((backs.count(), bench.out().len(), ruling.sick), (2, 0, 0));
}

#[test]
fn it_comes_back_through_a_probe_and_stays_away_longer_each_time() {
    let mut bench = Bench::of(3);
    bench.fail(0, 5);
    let mut away = Vec::new();
    for _ in 0..12 {
        let ruling = bench.rule();
        let [(0, reason, seconds)] = outs(&ruling)[..] else { panic!("{ruling:?}") };
        away.push(seconds);
        assert_eq!(reason, if away.len() == 1 { "consecutive" } else { "probe" });
        let ruling = bench.wait(seconds).rule();
        assert_eq!(ruling.changes, [Change::Back { index: 0, probe: true }]);
        bench.fail(0, 1);
    }
    assert_eq!(away, [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]);
}

#[test]
fn a_good_probe_ends_the_trial_and_healthy_time_makes_up_for_the_past() {
    let mut bench = Bench::of(3);
    bench.fail(0, 5);
    bench.rule();
    bench.wait(30).rule();
    bench.succeed(0, 1);
    bench.rule();
    bench.fail(0, 4);
    assert_eq!(outs(&bench.rule()), [], "it is judged as any other");
    bench.fail(0, 1);
    assert_eq!(outs(&bench.rule()), [(0, "consecutive", 60)], "and its past counts");
    bench.wait(60).rule();
    bench.succeed(0, 5);
    // One is made up for within each half minute.
    for _ in 0..60 {
        bench.wait(1).rule();
    }
    bench.fail(0, 5);
    assert_eq!(outs(&bench.rule()), [(0, "consecutive", 30)]);
}

#[test]
fn the_dice_leave_half_of_the_time_or_more() {
    for (dice, seconds) in [(0, 15.0), (u64::MAX / 2, 22.5), (u64::MAX, 30.0)] {
        let mut case = Case::new(Instant::now());
        let bench = Bench::of(1);
        let why = Why::Share { failures: 1, answers: 1 };
        let time = case.go(&bench.rules, why, bench.now, dice).as_secs_f64();
        assert!((time - seconds).abs() < 1e-6, "{time}");
    }
}

#[test]
fn who_is_only_observed_is_not_tried_and_not_away() {
    let mut bench = Bench::of(3);
    bench.rules.enforce = false;
    bench.fail(0, 5);
    assert_eq!(outs(&bench.rule()), [(0, "consecutive", 30)]);
    assert!(bench.cases[0].tell(bench.now, false).unwrap().ends_with("it would be back in 30 s"));
    assert_eq!(bench.wait(30).rule().changes.first(), Some(&Change::Back { index: 0, probe: false }));
}

proptest! {
    /// Whatever is answered in whatever order: some are always asked, no more are out than may be, and whoever is out
    /// comes back.
    #[test]
    fn somebody_is_always_asked(
        endpoints in 1_usize..12,
        steps in prop::collection::vec((0_usize..12, 0_u32..8, any::<bool>(), 0_u64..40), 1..80),
        max_share in 0.0_f64..=1.0, panic in 0.0_f64..=1.0
    ) {
        let mut bench = Bench::of(endpoints);
        (bench.rules.max_share, bench.rules.panic) = (max_share, panic);
        for (index, times, is_failure, wait) in steps {
            let index = index % endpoints;
            if is_failure { bench.fail(index, times) } else { bench.succeed(index, times) }
            let was = bench.out();
            let ruling = bench.wait(wait).rule();
            let out = bench.out();
            prop_assert!(out.len() < endpoints);
            let most = ((max_share * endpoints as f64) as usize).max(1);
            prop_assert!(out.len() <= most);
            prop_assert!(ruling.sick >= out.len() && ruling.sick <= endpoints);
            for change in &ruling.changes {
                match change {
                    Change::Out { index, time, .. } => {
                        prop_assert!(out.contains(index));
                        prop_assert!(*time >= bench.rules.base / 2 && *time <= bench.rules.max);
                    }
                    Change::Back { index, .. } => prop_assert!(was.contains(index)),
                }
            }
        }
        // Nobody calls any more, and the longest time passes.
        bench.wait(301).rule();
        bench.tallies.iter_mut().for_each(|tally| tally.streak = 0);
        bench.wait(301).rule();
        bench.wait(301).rule();
        prop_assert_eq!(bench.out(), Vec::<usize>::new());
    }
}
