//! How busy is this server?
//!
//! How many requests a server had under way, and how long such a request lately took, is told to callers beside its
//! replies, now and then (Prequal, NSDI 2024, without its probes). Relaxed atomics: a report that is a request behind
//! tells as much.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use http::HeaderValue;
use platform_core::Tick;

use crate::wire::LoadReport;

/// What is under way, and what it takes by how much is under way.
///
/// On a cache line of its own: every request writes it twice.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Load {
    in_flight: AtomicU32,
    made: Tick,
    /// When it is to be told again, in nanoseconds since it was made.
    due: AtomicU64,
    /// The median by the power of two of what was under way, as a step of a scale; 0 where nothing ended yet.
    medians: [AtomicU32; CLASSES],
}

impl Load {
    pub(super) fn new(now: Tick) -> Self {
        Load { in_flight: AtomicU32::new(0), made: now, due: AtomicU64::new(0), medians: Default::default() }
    }

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

    /// What is told with a reply to a request that arrived beside `rif` others, at `now`: nothing before there is
    /// anything to tell, and nothing if it was told within the last [`EVERY`].
    #[inline]
    pub(super) fn report(&self, rif: u32, form: Form, now: Tick) -> Option<HeaderValue> {
        let now = now.nanos_since(self.made);
        if now < self.due.load(Relaxed) {
            return None;
        }
        let report = self.written(rif, form)?;
        self.due.store(now + EVERY, Relaxed);
        Some(report)
    }

    /// The same, whenever it was told.
    #[inline(never)]
    pub(super) fn written(&self, rif: u32, form: Form) -> Option<HeaderValue> {
        // What was never as busy was less busy before.
        let median = self.medians[..=class(rif)].iter().rev().map(|median| median.load(Relaxed));
        let median = median.into_iter().find(|median| *median != 0)?;
        let report = LoadReport { rif, latency: length(median) };
        Some(match form {
            Form::Head => report.to_header(),
            Form::Trailers => report.to_trailer(),
        })
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
/// Nanoseconds between two reports. A report is believed for a second or two, so a hundred callers of one instance still
/// hear of it in time, and what nobody chooses by costs a busy server next to nothing.
const EVERY: u64 = 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said(load: &Load, rif: u32) -> (u32, f64) {
        let head = load.written(rif, Form::Head).expect("something to tell");
        let report = LoadReport::parse(&head).expect("a report");
        let trailer = load.written(rif, Form::Trailers).expect("the same");
        let told = LoadReport::parse_trailer(&trailer).expect("a report");
        assert!(told.rif == rif && told.latency.abs_diff(report.latency) < Duration::from_micros(11));
        (report.rif, report.latency.as_secs_f64() * 1e3)
    }

    #[test]
    fn there_is_nothing_to_tell_before_anything_has_ended() {
        let load = Load::new(Tick::now());
        assert_eq!((load.arrive(), load.arrive()), (0, 1));
        assert_eq!(load.report(1, Form::Head, Tick::now()), None);
        load.leave();
        assert_eq!(load.arrive(), 1);
    }

    #[test]
    fn it_is_told_now_and_then_in_whatever_form() {
        let begun = Tick::now();
        let load = Load::new(begun);
        let told = |form, after| load.report(0, form, begun.after(after).expect("a moment")).is_some();
        assert!(!told(Form::Head, Duration::ZERO), "what is not known yet is not waited for");
        load.took(0, Duration::from_millis(1));
        assert!(told(Form::Head, Duration::ZERO));
        let every = Duration::from_nanos(EVERY);
        assert!(!told(Form::Trailers, every.mul_f64(0.9)));
        assert!(told(Form::Trailers, every));
        assert!(!told(Form::Head, every.mul_f64(1.9)) && told(Form::Head, every * 2));
    }

    #[test]
    fn the_median_is_told_by_how_much_was_under_way() {
        let load = Load::new(Tick::now());
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
        let load = Load::new(Tick::now());
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
