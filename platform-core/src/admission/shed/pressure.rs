//! Pressure: what is short, and how much of the work has to go because of it?

use std::{
    fmt,
    sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::flow::MOST;

/// What may be short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Source {
    /// Requests wait for a slot: what comes less what goes on ([`Flow`](super::Flow)).
    QueueWait,
    /// Tasks that are ready wait for a thread.
    SchedulingDelay,
    /// Memory of the container, else of this process.
    Memory,
    /// Processor time of this process.
    Cpu,
}

impl Source {
    /// Every source.
    pub const ALL: [Source; 4] = [Source::QueueWait, Source::SchedulingDelay, Source::Memory, Source::Cpu];

    /// The word in files and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Source::QueueWait => "queue_wait",
            Source::SchedulingDelay => "scheduling_delay",
            Source::Memory => "memory",
            Source::Cpu => "cpu",
        }
    }

    /// The share that has to go at such a reading: nothing up to the first number, nearly all at the second.
    fn share(self, reading: f64) -> f64 {
        let (from, to) = match self {
            Source::QueueWait => (0.0, 1.0),
            Source::SchedulingDelay => DELAY,
            Source::Memory => MEMORY,
            Source::Cpu => CPU,
        };
        ((reading - from) / (to - from)).clamp(0.0, MOST)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is short in this process. Each source says by itself; the largest counts.
#[derive(Debug)]
pub struct Pressure {
    used: AtomicU8,
    /// Shares as the bits of an `f32`, in the order of the sources.
    shares: [AtomicU32; 4],
    /// The largest of those that are not about one class of requests only.
    common: AtomicU32,
}

impl Pressure {
    /// Nothing is short; only `sources` will ever count.
    pub fn new(sources: &[Source]) -> Self {
        let used = sources.iter().fold(0, |used, source| used | bit(*source));
        Pressure { used: AtomicU8::new(used), shares: Default::default(), common: AtomicU32::new(0) }
    }

    /// Does this source count?
    pub fn uses(&self, source: Source) -> bool {
        self.used.load(Relaxed) & bit(source) != 0
    }

    /// A source's new reading: seconds of delay, parts of what there is.
    pub fn read(&self, source: Source, reading: f64) {
        let share = if self.uses(source) { source.share(reading) } else { 0.0 };
        self.shares[source as usize].store((share as f32).to_bits(), Relaxed);
        let common = Source::ALL[1..].iter().map(|source| self.share_of(*source)).fold(0.0, f64::max);
        self.common.store((common as f32).to_bits(), Relaxed);
    }

    /// The share of all work that should go because of it.
    pub fn share_of(&self, source: Source) -> f64 {
        f64::from(f32::from_bits(self.shares[source as usize].load(Relaxed)))
    }

    /// The same for whatever all classes share: threads, memory, processors.
    #[inline]
    pub fn common(&self) -> f64 {
        f64::from(f32::from_bits(self.common.load(Relaxed)))
    }

    /// Is nothing short that all classes share?
    #[inline]
    pub fn is_calm(&self) -> bool {
        self.common.load(Relaxed) == 0
    }

    /// What is shortest, of what all classes share.
    pub fn worst(&self) -> Source {
        let later = &Source::ALL[2..];
        later.iter().fold(Source::SchedulingDelay, |worst, source| {
            if self.share_of(*source) > self.share_of(worst) { *source } else { worst }
        })
    }
}

fn bit(source: Source) -> u8 {
    1 << source as u8
}

/// The least of the last readings: a burst passes, and what stands is a queue (CoDel).
#[derive(Debug, Default)]
pub struct Standing {
    latest: [Option<Duration>; LOOKS],
    next: usize,
}

impl Standing {
    /// One more reading; the least of the last ten, nothing before there are as many.
    pub fn add(&mut self, reading: Duration) -> Duration {
        self.latest[self.next] = Some(reading);
        self.next = (self.next + 1) % LOOKS;
        self.latest
            .iter()
            .copied()
            .collect::<Option<Vec<_>>>()
            .and_then(|all| all.into_iter().min())
            .unwrap_or_default()
    }
}

/// Half a second of looks, twenty a second: longer than any pause that a healthy process knows.
const LOOKS: usize = 10;

/// DAGOR calls 20 ms of waiting an overload; at ten times that nobody is served in time.
const DELAY: (f64, f64) = (0.020, 0.200);
/// Above 95 % the kernel or an allocator kills; caches and a spike fit below 85 %.
const MEMORY: (f64, f64) = (0.85, 0.97);
/// go-zero's and Sentinel's 90 %.
const CPU: (f64, f64) = (0.90, 1.05);

/// A busy processor is well used and no overload, until what is ready waits so long for it.
pub const CPU_COUNTS_FROM: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_has_its_scale_and_the_largest_share_counts() {
        let pressure = Pressure::new(&Source::ALL);
        assert!(pressure.is_calm());
        for (source, reading, share) in [
            (Source::SchedulingDelay, 0.019, 0.0),
            (Source::SchedulingDelay, 0.110, 0.5),
            (Source::SchedulingDelay, 9.0, MOST),
            (Source::Memory, 0.85, 0.0),
            (Source::Memory, 0.91, 0.5),
            (Source::Cpu, 0.90, 0.0),
            (Source::Cpu, 0.975, 0.5),
        ] {
            pressure.read(source, reading);
            assert!((pressure.share_of(source) - share).abs() < 1e-6, "{source} {reading}");
        }
        pressure.read(Source::SchedulingDelay, 0.0);
        assert!((pressure.common() - 0.5).abs() < 1e-6);
        pressure.read(Source::Memory, 0.96);
        assert_eq!(pressure.worst(), Source::Memory);
        pressure.read(Source::Memory, 0.1);
        pressure.read(Source::Cpu, 0.1);
        assert!(pressure.is_calm());
    }

    #[test]
    fn what_waits_for_one_class_is_not_everybodys_pressure() {
        let pressure = Pressure::new(&Source::ALL);
        pressure.read(Source::QueueWait, 0.7);
        assert!(pressure.is_calm());
    }

    #[test]
    fn a_source_that_is_not_listed_never_counts() {
        let pressure = Pressure::new(&[Source::Memory]);
        pressure.read(Source::Cpu, 1.0);
        assert!(pressure.is_calm() && !pressure.uses(Source::Cpu));
    }

    #[test]
    fn a_pause_is_no_standing_delay() {
        let ms = Duration::from_millis;
        let mut standing = Standing::default();
        assert!((0..9).all(|_| standing.add(ms(80)).is_zero()), "not before there are ten");
        assert_eq!(standing.add(ms(70)), ms(70));
        assert_eq!(standing.add(ms(1)), ms(1));
        assert!((0..9).all(|_| standing.add(ms(500)) == ms(1)));
        assert_eq!(standing.add(ms(500)), ms(500));
    }
}
