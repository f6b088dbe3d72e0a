//! What happens when instances come and go?
//!
//! One at a time, as a rolling update does: stopped with SIGTERM, or killed if that was asked for, started again, and
//! the next one only when it is back and ready.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::instance::{Instance, Manner, Phase};
use crate::company::Role;

/// What was done so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kills(Arc<Mutex<Done>>);

#[derive(Debug, Default)]
struct Done {
    /// Who was stopped, in order; the last may still be on its way back.
    victims: Vec<Role>,
    /// How long each was gone from the choice, from the signal to ready.
    gone: Vec<Duration>,
}

impl Kills {
    /// Stops an instance every `every`, one of each service before a second of any.
    pub(crate) async fn go_round(self, instances: Vec<Instance>, every: Duration, manner: Manner) {
        let mut ticks = interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // What a browser has under way at an edge is lost with the edge, whoever runs it: a vote may have been counted.
        // Whoever is called by us is another matter.
        let spared = |instance: &Instance| manner == Manner::Killed && !instance.post.role.is_called();
        let instances: Vec<Instance> = instances.into_iter().filter(|instance| !spared(instance)).collect();
        let order = interleaved(&instances.iter().map(|instance| instance.post.role).collect::<Vec<_>>());
        for instance in order.into_iter().cycle().map(|index| &instances[index]) {
            ticks.tick().await;
            let state = instance.state();
            if state.phase != Phase::Ready {
                // It died by itself; its keeper sees to it, and one less is enough.
                instance.ready_after(state.life.saturating_sub(1)).await;
                continue;
            }
            let asked = Instant::now();
            self.done().victims.push(instance.post.role);
            instance.restart(manner);
            instance.ready_after(state.life).await;
            self.done().gone.push(asked.elapsed());
        }
    }

    /// Who was stopped so far.
    pub(crate) fn victims(&self) -> Vec<Role> {
        self.done().victims.clone()
    }

    /// The longest that one was gone.
    pub(crate) fn longest(&self) -> Option<Duration> {
        self.done().gone.iter().max().copied()
    }

    fn done(&self) -> MutexGuard<'_, Done> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first of each service, then the second of each, and so on.
fn interleaved(roles: &[Role]) -> Vec<usize> {
    let rank = |index: usize| roles[..index].iter().filter(|role| **role == roles[index]).count();
    let mut order: Vec<usize> = (0..roles.len()).collect();
    order.sort_by_key(|index| (rank(*index), *index));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_is_hit_before_any_is_hit_twice() {
        use Role::{Catalog, Edge, Ratings};
        let roles = [Edge, Edge, Catalog, Catalog, Catalog, Ratings];
        assert_eq!(interleaved(&roles), [0, 2, 5, 1, 3, 4]);
        assert!(interleaved(&[]).is_empty());
    }
}
