//! A list that only grows, read for every request.
//!
//! What is in it stays where it is, so that a reader needs neither a lock nor a reference count: one look at one
//! slot. An `ArcSwap` of the whole list costs a hundred instructions a reading.

use std::{
    iter,
    sync::{Mutex, OnceLock, PoisonError},
};

/// A list that grows at its end and never otherwise changes.
pub(super) struct Grown<T> {
    /// Each twice as long as the one before it, and made when it is first needed.
    parts: [OnceLock<Box<[OnceLock<T>]>>; PARTS],
    /// How many there are; held while one is added.
    len: Mutex<usize>,
}

impl<T> Grown<T> {
    /// What is at `index`.
    pub(super) fn get(&self, index: usize) -> Option<&T> {
        let (part, place) = place(index);
        self.parts.get(part)?.get()?[place].get()
    }

    /// All, in the order in which they were added.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        (0..).map_while(|index| self.get(index))
    }

    /// The first for which `is` holds and its index; made and added if there is none yet.
    pub(super) fn find_or_add(&self, is: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> (usize, &T) {
        if let Some(found) = self.iter().enumerate().find(|(_, value)| is(value)) {
            return found;
        }
        self.add(is, make)
    }

    #[cold]
    fn add(&self, is: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> (usize, &T) {
        let mut len = self.len.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been first.
        if let Some(found) = self.iter().enumerate().find(|(_, value)| is(value)) {
            return found;
        }
        let index = *len;
        let (part, place) = place(index);
        let part =
            self.parts[part].get_or_init(|| iter::repeat_with(OnceLock::new).take(1 << part).collect());
        let value = part[place].get_or_init(make);
        *len += 1;
        (index, value)
    }
}

impl<T> Default for Grown<T> {
    fn default() -> Self {
        Grown { parts: [const { OnceLock::new() }; PARTS], len: Mutex::new(0) }
    }
}

/// Parts of 1, 2, 4 …: the place of 0 is (0, 0), that of 1 and 2 (1, 0) and (1, 1).
fn place(index: usize) -> (usize, usize) {
    let number = index.saturating_add(1);
    let part = number.ilog2() as usize;
    (part, number - (1 << part))
}

/// Together four billion values: nothing that is counted here comes near.
const PARTS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn what_was_added_is_where_it_was_added_and_only_once() {
        let list = Grown::default();
        for round in 0..2 {
            for number in 0..1_000 {
                let (index, value) = list.find_or_add(|known| *known == number * 7, || number * 7);
                assert_eq!((index, *value), (number, number * 7), "round {round}");
            }
        }
        assert_eq!(list.iter().count(), 1_000);
        assert_eq!(list.get(999), Some(&(999 * 7)));
        assert_eq!((list.get(1_000), list.get(usize::MAX)), (None, None));
    }

    #[test]
    fn threads_that_add_the_same_find_one() {
        let list = Grown::<usize>::default();
        let add_all = || -> Vec<usize> {
            (0..100).map(|number| list.find_or_add(|known| *known == number, || number).0).collect()
        };
        let found: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(add_all)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(list.iter().count(), 100);
        assert!(found.iter().all(|indices| *indices == found[0]));
    }
}
