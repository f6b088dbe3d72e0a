//! Watch: what is on the screen while users come.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::{
    dependency::Dependency,
    fleet::Fleet,
    histogram::Histogram,
    kill::Kills,
    scrape::{Totals, Window},
    screen::{Row, View, per_second},
};
use crate::{company::Role, flags::Flags, followers::Followers, users::Users};

/// Reads, and shows.
#[derive(Debug)]
pub(crate) struct Watch {
    flags: Flags,
    users: Users,
    followers: Followers,
    kills: Option<Kills>,
    began: Instant,
    window: Window<Moment>,
}

/// What everybody had counted at one moment.
#[derive(Debug)]
struct Moment {
    services: Totals,
    waited: Histogram,
    ratings: u64,
}

impl Watch {
    /// From now on.
    pub(crate) fn new(flags: &Flags, users: Users, followers: Followers, kills: Option<Kills>) -> Self {
        let mut window = Window::new();
        let began = Instant::now();
        window.slide(began, Moment { services: Totals::new(), waited: Histogram::default(), ratings: 0 });
        Watch { flags: flags.clone(), users, followers, kills, began, window }
    }

    /// Shows the fleet until its time is over; without one, for ever.
    pub(crate) async fn until_the_end(&mut self, fleet: &mut Fleet) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (began, length) = (self.began, self.flags.length);
        let end = async {
            match length {
                Some(length) => sleep_until(began + length).await,
                None => std::future::pending().await,
            }
        };
        let mut end = std::pin::pin!(end);
        let mut tick = 0;
        loop {
            tokio::select! {
                biased;
                () = &mut end => return,
                () = fleet.next_event() => {}
                _ = ticks.tick() => {
                    self.look(fleet, tick).await;
                    tick += 1;
                }
            }
        }
    }

    async fn look(&mut self, fleet: &mut Fleet, tick: u64) {
        fleet.read().await;
        let view = self.view(fleet);
        if fleet.screen.is_live() || (tick > 0 && tick.is_multiple_of(PLAIN_EVERY)) {
            fleet.screen.show(&view);
        }
        if tick.is_multiple_of(TRIM_EVERY) {
            fleet.folder.trim_logs();
        }
    }

    fn view(&mut self, fleet: &Fleet) -> View {
        let (services, tally, heard) = (fleet.ledger.totals(), self.users.tally(), self.followers.heard());
        let now = Moment { services: services.clone(), waited: tally.waited.clone(), ratings: heard.ratings };
        let (earliest, length) = self.window.slide(Instant::now(), now);
        let mut rows: Vec<Row> = Role::ALL
            .into_iter()
            .map(|role| {
                let counts = services.get(&role).cloned().unwrap_or_default();
                let then = earliest.services.get(&role);
                let lately = then
                    .map_or_else(|| counts.durations.clone(), |then| counts.durations.since(&then.durations));
                let row = Row::new(role.name(), &lately, counts.errors, length);
                Row { instances: Some(fleet.strength(role)), ..row }
            })
            .collect();
        rows.push(Row {
            name: "followers",
            instances: Some((heard.open, Followers::COUNT)),
            rate: per_second(heard.ratings - earliest.ratings, length),
            errors: heard.broken,
            ..Row::default()
        });
        rows.push(Row::new("users", &tally.waited.since(&earliest.waited), tally.failed, length));
        View {
            elapsed: self.began.elapsed(),
            length: self.flags.length,
            rps: self.flags.rps,
            rows,
            dependencies: dependencies(&services),
            kills: self.kills.as_ref().map(|kills| kills.victims().len()),
            deaths: fleet.deaths,
            open: fleet.open(),
        }
    }

    /// How long users have been coming.
    pub(crate) fn lasted(&self) -> Duration {
        self.began.elapsed()
    }
}

/// Everybody who is called, as all callers see them; also those that nobody has told of yet.
fn dependencies(services: &Totals) -> Vec<(&'static str, Dependency)> {
    let called = Role::ALL.into_iter().filter(|role| role.is_called());
    called
        .map(|role| {
            let mut sum = Dependency::default();
            for counts in services.values() {
                counts.dependencies.get(role.name()).into_iter().for_each(|one| sum.add(one));
            }
            (role.name(), sum)
        })
        .collect()
}

const TICK: Duration = Duration::from_secs(1);
/// Ticks between two plain lines.
const PLAIN_EVERY: u64 = 5;
/// Ticks between two looks at how long the logs are.
const TRIM_EVERY: u64 = 30;
