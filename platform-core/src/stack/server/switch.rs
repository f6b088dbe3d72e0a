//! What of a server's guards may be switched while it runs?
//!
//! Their modes. A switch is for all classes of requests; its way back knows what each of them had.

use std::sync::{
    Arc, Mutex, PoisonError, Weak,
    atomic::{AtomicU8, Ordering::Relaxed},
};

use super::{Class, Guarding, ServerGuards};
use crate::{app::App, config::Mode};

/// How a guard stood before it was switched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Before {
    guard: Guarding,
    /// One, or of each class one.
    modes: Box<[Mode]>,
}

impl ServerGuards {
    /// How much a guard may do now; of the concurrency limits, that of requests without a class.
    pub fn mode(&self, guard: Guarding) -> Mode {
        match guard {
            Guarding::Concurrency => self.classes[0].limits(),
            _ => read(&self.modes[guard as usize]),
        }
    }

    /// How much it may do from now on, in every class; requests that are under way go on.
    pub fn set_mode(&self, guard: Guarding, mode: Mode) -> Before {
        let modes = self.places(guard).map(|place| read_and_set(place, mode)).collect();
        self.settle();
        Before { guard, modes }
    }

    /// As it was.
    pub fn restore(&self, before: &Before) {
        for (place, mode) in self.places(before.guard).zip(&before.modes) {
            place.store(*mode as u8, Relaxed);
        }
        self.settle();
    }

    fn places(&self, guard: Guarding) -> Box<dyn Iterator<Item = &AtomicU8> + '_> {
        match guard {
            Guarding::Concurrency => Box::new(self.classes.iter().map(|class| &class.limits)),
            _ => Box::new(std::iter::once(&self.modes[guard as usize])),
        }
    }

    /// Which requests need no closer look.
    pub(super) fn settle(&self) {
        let unlimited = !self.mode(Guarding::RateLimit).is_on();
        for class in &self.classes {
            class.plain.store(unlimited && class.limits().is_on(), Relaxed);
        }
    }
}

impl Class {
    /// How much its limit may do.
    pub(super) fn limits(&self) -> Mode {
        read(&self.limits)
    }
}

fn read(place: &AtomicU8) -> Mode {
    Mode::of_number(place.load(Relaxed))
}

fn read_and_set(place: &AtomicU8, to: Mode) -> Mode {
    Mode::of_number(place.swap(to as u8, Relaxed))
}

/// The guards of the servers of one process, for who operates it.
#[derive(Default)]
pub struct Servers(Mutex<Vec<Weak<ServerGuards>>>);

impl Servers {
    /// Those of this process.
    pub fn of(app: &App) -> Arc<Servers> {
        app.once("", || Ok(Servers::default())).expect("making an empty list cannot fail")
    }

    /// One more, for as long as it lives.
    pub fn add(&self, guards: &Arc<ServerGuards>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|one| one.strong_count() > 0);
        known.push(Arc::downgrade(guards));
    }

    /// Those that serve.
    pub fn guards(&self) -> Vec<Arc<ServerGuards>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().filter_map(Weak::upgrade).collect()
    }
}

impl std::fmt::Debug for Servers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Servers").field(&self.guards().len()).finish()
    }
}
