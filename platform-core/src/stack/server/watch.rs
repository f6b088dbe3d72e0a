//! Watch: reads what is short, as long as the server runs.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    ServerGuards,
    metrics::{ClassLabels, DELAY, IN_FLIGHT, PRESSURE, SourceLabels},
};
use crate::{
    admission::shed::{CPU_COUNTS_FROM, Machine, Source, Standing},
    telemetry::Metrics,
    tick::Tick,
};

impl ServerGuards {
    /// Reads scheduling delay, memory and processors, and tells gauges, until it is dropped. Without it only what
    /// waits for a slot is pressure.
    pub async fn watch(self: Arc<Self>, metrics: Metrics) {
        let machine = Machine::here();
        let delay = metrics.histogram(&DELAY).with(&());
        let streams = metrics.gauge(&IN_FLIGHT).with(&ClassLabels(Arc::from(STREAM)));
        let pressures = Source::ALL.map(|source| metrics.gauge(&PRESSURE).with(&SourceLabels(source)));
        let mut standing = Standing::default();
        let mut cpu = Cpu { at: Instant::now(), used: machine.cpu_time() };
        for look in 1_u32.. {
            let asked = Instant::now();
            sleep(EVERY).await;
            let late = asked.elapsed().saturating_sub(EVERY + TIMER);
            delay.observe(late, None);
            let stands = standing.add(late);
            self.pressure.read(Source::SchedulingDelay, stands.as_secs_f64());
            if look.is_multiple_of(OFTEN) {
                let memory = machine.memory().unwrap_or(0.0);
                self.pressure.read(Source::Memory, memory);
                let busy = cpu.busy(machine.cpu_time());
                let counts = stands >= CPU_COUNTS_FROM;
                self.pressure.read(Source::Cpu, if counts { busy } else { 0.0 });
            }
            let now = Tick::now();
            let mut waits = 0.0_f64;
            for class in &self.classes {
                waits = waits.max(class.looks.share_at(now));
                class.meters.limit.set(f64::from(class.line.limit().limit()));
                class.meters.in_flight.set(f64::from(class.line.limit().in_flight()));
            }
            self.pressure.read(Source::QueueWait, waits);
            streams.set(f64::from(self.streams.load(std::sync::atomic::Ordering::Relaxed)));
            for (source, gauge) in Source::ALL.iter().zip(&pressures) {
                gauge.set(self.pressure.share_of(*source));
            }
        }
    }
}

/// Processor time at the last look.
struct Cpu {
    at: Instant,
    used: Option<f64>,
}

impl Cpu {
    /// The part of the processors that was busy since then.
    fn busy(&mut self, used: Option<f64>) -> f64 {
        let now = Instant::now();
        let before = std::mem::replace(self, Cpu { at: now, used });
        let elapsed = (now - before.at).as_secs_f64();
        match (before.used, used) {
            (Some(before), Some(used)) if elapsed > 0.0 => ((used - before) / elapsed).max(0.0),
            _ => 0.0,
        }
    }
}

/// The class of replies that are made while they are sent.
pub(super) const STREAM: &str = "stream";
/// Twenty looks a second cost nothing, and ten of them are a delay that stands.
const EVERY: Duration = Duration::from_millis(50);
/// tokio's timers know whole milliseconds.
const TIMER: Duration = Duration::from_millis(1);
/// Files of the kernel are read once a second.
const OFTEN: u32 = 20;
