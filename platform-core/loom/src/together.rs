//! Settings that are read together: never half of one change and half of another.

#[path = "../../src/config/together.rs"]
mod together;

use loom::{sync::Arc, thread};
use together::Together;

fn doubled([one, two]: [u64; 2]) -> u64 {
    assert_eq!(two, 2 * one);
    one
}

#[test]
fn two_changes_under_a_reader_are_seen_whole_and_in_their_order() {
    loom::model(|| {
        let numbers = Arc::new(Together::new([1, 2]));
        let writer = thread::spawn({
            let numbers = Arc::clone(&numbers);
            move || {
                numbers.swap([2, 4]);
                numbers.swap([3, 6]);
            }
        });
        let first = doubled(numbers.read());
        let second = doubled(numbers.read());
        assert!(first <= second && second <= 3);
        writer.join().unwrap();
        assert_eq!(doubled(numbers.read()), 3);
    });
}

#[test]
fn two_who_change_come_one_after_the_other() {
    loom::model(|| {
        let numbers = Arc::new(Together::new([1, 2]));
        let other = thread::spawn({
            let numbers = Arc::clone(&numbers);
            move || doubled(numbers.swap([2, 4]))
        });
        let mine = doubled(numbers.swap([3, 6]));
        let theirs = other.join().unwrap();
        let now = doubled(numbers.read());
        // Each has replaced what the one before had written.
        assert!(matches!((mine, theirs, now), (2, 1, 3) | (1, 3, 2)));
    });
}
