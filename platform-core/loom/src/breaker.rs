//! The word of a breaker: who trips it, who becomes the probe, and whose report counts.

#[expect(dead_code, reason = "the engine uses all of it, the model not")]
#[path = "../../src/admission/breaker/word.rs"]
mod word;

use loom::{sync::Arc, thread};
use word::{Hand, Phase, Word};

/// A closed word, and one that opened at generation 1 until 10.
fn closed() -> Arc<Word> {
    Arc::new(Word::new())
}

fn open() -> Arc<Word> {
    let word = closed();
    word.trip(0, 10).expect("generation 0 lives");
    word
}

/// Claims as the engine does: looks again when it was overtaken. The generation of the probe.
fn ask(word: &Word, now: u64) -> Option<u32> {
    loop {
        let seen = word.see();
        match seen.phase() {
            Phase::Open if now >= seen.at() => {}
            Phase::HalfOpen => {}
            _ => return None,
        }
        if let Some(claimed) = word.claim(seen, now) {
            return Some(claimed.generation());
        }
    }
}

#[test]
fn of_two_reports_that_are_enough_one_opens_it() {
    loom::model(|| {
        let word = closed();
        let other = Arc::clone(&word);
        let there = thread::spawn(move || other.trip(0, 10).is_some());
        let here = word.trip(0, 20).is_some();
        let there = there.join().unwrap();
        assert!(here != there);
        let seen = word.see();
        assert_eq!((seen.phase(), seen.generation()), (Phase::Open, 1));
        assert_eq!(seen.at(), if here { 20 } else { 10 });
    });
}

#[test]
fn of_three_who_ask_at_the_moment_one_is_the_probe() {
    loom::model(|| {
        let word = open();
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let word = Arc::clone(&word);
                thread::spawn(move || ask(&word, 10).is_some())
            })
            .collect();
        let here = ask(&word, 10).is_some();
        let probes = threads.into_iter().map(|thread| thread.join().unwrap()).filter(|probe| *probe);
        assert_eq!(probes.count() + usize::from(here), 1);
    });
}

#[test]
fn a_report_of_before_changes_nothing_while_the_probe_is_under_way() {
    loom::model(|| {
        let word = closed();
        // Two reports of generation 0, each of them enough, and a call that may become the probe.
        let other = Arc::clone(&word);
        let late = thread::spawn(move || other.trip(0, 10).is_some());
        let other = Arc::clone(&word);
        let asking =
            thread::spawn(move || ask(&other, 10).map(|generation| (generation, other.ramp(generation, 11))));
        let here = word.trip(0, 10).is_some();
        let (late, probe) = (late.join().unwrap(), asking.join().unwrap());
        assert!(here != late);
        let seen = word.see();
        match probe {
            // It asked while the word was closed.
            None => assert_eq!((seen.phase(), seen.generation()), (Phase::Open, 1)),
            Some((generation, ramp)) => {
                assert_eq!(generation, 1);
                assert!(ramp.is_some(), "nobody but the probe decides its generation");
                assert_eq!((seen.phase(), seen.generation()), (Phase::Ramp, 2));
            }
        }
    });
}

#[test]
fn a_probe_that_says_nothing_makes_room_for_one() {
    loom::model(|| {
        let word = open();
        let first = ask(&word, 10).expect("nobody else asks");
        let other = Arc::clone(&word);
        let second = thread::spawn(move || ask(&other, 11));
        assert!(word.let_go(first).is_some());
        let third = ask(&word, 12);
        let second = second.join().unwrap();
        assert!(second.is_none() || third.is_none(), "two probes at once");
        let seen = word.see();
        match second.or(third) {
            Some(_) => assert_eq!(seen.phase(), Phase::Probing),
            None => assert_eq!(seen.phase(), Phase::HalfOpen),
        }
    });
}

#[test]
fn a_probe_that_was_given_up_decides_nothing() {
    loom::model(|| {
        let word = open();
        let lost = ask(&word, 10).expect("nobody else asks");
        let other = Arc::clone(&word);
        let late = thread::spawn(move || other.trip(lost, 99).is_some());
        let next = word.claim(word.see(), 50);
        let late = late.join().unwrap();
        let seen = word.see();
        match next.filter(|next| next.phase() == Phase::Probing) {
            Some(next) if !late => assert!(seen == next, "the late word reached the next probe"),
            // The late word was in time: it opened the breaker, and the claim either saw that or failed.
            Some(next) => assert!(seen == next && next.generation() == 2),
            None => assert_eq!((late, seen.phase(), seen.at()), (true, Phase::Open, 99)),
        }
    });
}

#[test]
fn a_hand_is_not_overruled_by_a_report() {
    loom::model(|| {
        let word = closed();
        let other = Arc::clone(&word);
        let report = thread::spawn(move || other.trip(0, 10).is_some());
        assert!(word.force(Hand::Closed).is_some());
        report.join().unwrap();
        let seen = word.see();
        assert_eq!((seen.hand(), seen.phase()), (Hand::Closed, Phase::Closed));
    });
}

#[test]
fn new_values_are_seen_by_the_generation_that_counts_by_them() {
    use loom::sync::atomic::{AtomicU64, Ordering::Relaxed};
    loom::model(|| {
        let word = closed();
        let tick = Arc::new(AtomicU64::new(1000));
        let (other, length) = (Arc::clone(&word), Arc::clone(&tick));
        let report = thread::spawn(move || (other.see().generation(), length.load(Relaxed)));
        tick.store(100, Relaxed);
        word.forget();
        let (generation, length) = report.join().unwrap();
        assert!(generation == 0 || length == 100);
    });
}
