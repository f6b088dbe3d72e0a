//! How busy is this server?
//!
//! Callers that choose among instances do better if each says with its replies how many requests it had under way,
//! and how long such a request lately took (Prequal, NSDI 2024, without its probes). Relaxed atomics: a report that
//! is a request behind chooses as well.

use std::{
    cell::RefCell,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use http::HeaderValue;

use crate::wire::LoadReport;

/// What is under way, and what it takes by how much is under way.
///
/// On a cache line of its own: every request writes it twice.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Load {
    in_flight: AtomicU32,
    /// The median by the power of two of what was under way, as a step of a scale; 0 where nothing ended yet.
    medians: [AtomicU32; CLASSES],
}

impl Load {
    /// One more; how many there were before it.
    pub(super) fn arrive(&self) -> u32 {
        self.in_flight.fetch_add(1, Relaxed)
    }

    /// One less.
    pub(super) fn leave(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// One that was answered well took so long, beside `rif` others when it arrived.
    ///
    /// The median goes one step towards each sample, so that half of the samples push it either way where it is
    /// right, and after a change it is there within a few dozen replies.
    pub(super) fn took(&self, rif: u32, duration: Duration) {
        let median = &self.medians[class(rif)];
        let (seen, now) = (step(duration), median.load(Relaxed));
        let next = match now {
            0 => seen,
            _ if seen > now => now + 1,
            _ if seen < now => now - 1,
            _ => return,
        };
        median.store(next, Relaxed);
    }

    /// How many are under way.
    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// What is told with a reply to a request that arrived beside `rif` others; nothing before there is anything to
    /// tell.
    pub(super) fn report(&self, rif: u32, form: Form) -> Option<HeaderValue> {
        // What was never as busy was less busy before.
        let median = self.medians[..=class(rif)].iter().rev().map(|median| median.load(Relaxed));
        let median = median.into_iter().find(|median| *median != 0)?;
        Some(WRITTEN.with_borrow_mut(|written| {
            let slot = &mut written[(rif as usize * 3 + median as usize) % MEMORY];
            match slot {
                Some((key, value)) if *key == (form, rif, median) => value.clone(),
                _ => {
                    let report = LoadReport { rif, latency: length(median) };
                    let value = match form {
                        Form::Head => report.to_header(),
                        Form::Trailers => report.to_trailer(),
                    };
                    *slot = Some(((form, rif, median), value.clone()));
                    value
                }
            }
        }))
    }
}

/// Where a report is written, and so how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Head,
    Trailers,
}

/// The power of two: 0, 1, 2 to 3, 4 to 7 …
fn class(rif: u32) -> usize {
    ((u32::BITS - rif.leading_zeros()) as usize).min(CLASSES - 1)
}

/// A scale of eight steps to a doubling, from 8 µs on; 1 is the shortest.
fn step(duration: Duration) -> u32 {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).clamp(8, LONGEST);
    let doubling = micros.ilog2();
    // The three bits behind the first.
    let eighth = u32::try_from((micros >> (doubling - 3)) & 7).expect("three bits");
    1 + (doubling - 3) * 8 + eighth
}

/// The shortest of a step.
fn length(step: u32) -> Duration {
    let (doubling, eighth) = ((step - 1) / 8, (step - 1) % 8);
    Duration::from_micros(u64::from(8 + eighth) << doubling)
}

/// The last class is everything from 16,384 on.
const CLASSES: usize = 16;
/// A day, in microseconds.
const LONGEST: u64 = 86_400_000_000;
/// A steady server says one of a few dozen things again and again; each is written once.
const MEMORY: usize = 64;

type Written = [Option<((Form, u32, u32), HeaderValue)>; MEMORY];

thread_local! {
    static WRITTEN: RefCell<Written> = const { RefCell::new([const { None }; MEMORY]) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said(load: &Load, rif: u32) -> (u32, f64) {
        let head = load.report(rif, Form::Head).expect("something to tell");
        let report = LoadReport::parse(&head).expect("a report");
        let trailer = load.report(rif, Form::Trailers).expect("the same");
        let told = LoadReport::parse_trailer(&trailer).expect("a report");
        assert!(told.rif == rif && told.latency.abs_diff(report.latency) < Duration::from_micros(11));
        (report.rif, report.latency.as_secs_f64() * 1e3)
    }

    #[test]
    fn there_is_nothing_to_tell_before_anything_has_ended() {
        let load = Load::default();
        assert_eq!((load.arrive(), load.arrive()), (0, 1));
        assert_eq!(load.report(1, Form::Head), None);
        load.leave();
        assert_eq!(load.arrive(), 1);
    }

    #[test]
    fn the_median_is_told_by_how_much_was_under_way() {
        let load = Load::default();
        for round in 0..1_000_u64 {
            // A third is slow; the median is not.
            let quiet = if round % 3 == 0 { 500 } else { 10 };
            load.took(0, Duration::from_millis(quiet));
            load.took(100, Duration::from_millis(200));
        }
        let (rif, latency) = said(&load, 0);
        assert!(rif == 0 && (9.0..=11.5).contains(&latency), "{latency}");
        let (rif, latency) = said(&load, 64);
        assert!(rif == 64 && (180.0..=200.0).contains(&latency), "{latency}");
        assert!(said(&load, 5_000).1 > 180.0, "busier than ever: the busiest that is known");
        assert!(said(&load, 5).1 < 12.0, "and in between the quieter one");
    }

    #[test]
    fn a_change_is_believed_within_a_few_dozen_replies() {
        let load = Load::default();
        (0..1_000).for_each(|_| load.took(0, Duration::from_millis(10)));
        (0..40).for_each(|_| load.took(0, Duration::from_millis(200)));
        assert!(said(&load, 0).1 > 150.0);
    }

    proptest! {
        #[test]
        fn a_step_is_an_eighth_of_a_doubling(micros in 8_u64..LONGEST) {
            let told = length(step(Duration::from_micros(micros)));
            let told = u64::try_from(told.as_micros()).unwrap();
            prop_assert!(told <= micros && micros - told <= told / 8, "{} {}", micros, told);
        }
    }
}
