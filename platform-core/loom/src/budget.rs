//! The ledger of the budget for repeats: never more out than was put in, and never less.

#[path = "../../src/recovery/ledger.rs"]
mod ledger;

use ledger::{Ledger, MILLION, Moment, Terms};
use loom::{sync::Arc, thread};

/// Two slots are enough to have a past and to come round to it.
type Small = Ledger<2>;

/// A tick is a bucket, and the first is later than everything.
fn at(tick: u32) -> Moment {
    Moment::new(FIRST + tick, 1)
}

fn granted(ledger: &Small, tick: u32, terms: &Terms) -> u64 {
    u64::from(ledger.withdraw(at(tick), terms).is_ok())
}

/// One withdrawal per deposit, nothing else.
const EVEN: Terms = Terms { ratio: MILLION, reserve: 0, idle: u32::MAX };

const FIRST: u32 = 1000;

#[test]
fn two_that_want_the_last_one_are_told_yes_and_no() {
    loom::model(|| {
        let ledger = Arc::new(Small::new());
        ledger.deposit(at(0));
        let other = thread::spawn({
            let ledger = Arc::clone(&ledger);
            move || granted(&ledger, 0, &EVEN)
        });
        assert_eq!(granted(&ledger, 0, &EVEN) + other.join().unwrap(), 1);
    });
}

#[test]
fn a_bucket_that_ends_takes_its_withdrawals_along() {
    // One has been withdrawn in the bucket that ends. Whoever moves on, two of three are left, for three who ask.
    // Without a bound this takes minutes (and holds); most of what goes wrong needs one or two interruptions.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let ledger = Arc::new(Small::new());
        for _ in 0..3 {
            ledger.deposit(at(0));
        }
        assert_eq!(granted(&ledger, 0, &EVEN), 1);
        let others = [0, 1].map(|tick| {
            let ledger = Arc::clone(&ledger);
            thread::spawn(move || granted(&ledger, tick, &EVEN))
        });
        let mine = granted(&ledger, 1, &EVEN);
        let all: u64 = mine + others.map(|other| other.join().unwrap()).into_iter().sum::<u64>();
        assert_eq!(all, 2);
        let sums = ledger.sums(at(1));
        assert_eq!((sums.deposits, sums.withdrawals), (3, 3));
    });
}

#[test]
fn deposits_that_open_a_bucket_together_are_all_counted() {
    loom::model(|| {
        let ledger = Arc::new(Small::new());
        ledger.deposit(at(0));
        let others = [2, 2].map(|tick| {
            let ledger = Arc::clone(&ledger);
            thread::spawn(move || ledger.deposit(at(tick)))
        });
        let _ = ledger.withdraw(at(2), &EVEN);
        for other in others {
            other.join().unwrap();
        }
        let sums = ledger.sums(at(2));
        assert_eq!(sums.deposits, 2);
        assert!(sums.withdrawals <= 2);
    });
}

#[test]
fn a_deposit_and_a_withdrawal_never_make_two() {
    loom::model(|| {
        let ledger = Arc::new(Small::new());
        let payer = thread::spawn({
            let ledger = Arc::clone(&ledger);
            move || ledger.deposit(at(0))
        });
        let other = thread::spawn({
            let ledger = Arc::clone(&ledger);
            move || granted(&ledger, 1, &EVEN)
        });
        let early = granted(&ledger, 0, &EVEN) + other.join().unwrap();
        payer.join().unwrap();
        assert!(early <= 1);
        assert_eq!(early + granted(&ledger, 1, &EVEN), 1);
    });
}

#[test]
fn the_reserve_of_the_idle_is_given_once() {
    loom::model(|| {
        let ledger = Arc::new(Small::new());
        let terms = Terms { ratio: 0, reserve: 0, idle: 100 };
        let others = [0, 1].map(|tick| {
            let ledger = Arc::clone(&ledger);
            thread::spawn(move || granted(&ledger, tick, &terms))
        });
        let all: u64 = others.map(|other| other.join().unwrap()).into_iter().sum();
        assert_eq!(all, 1);
    });
}
