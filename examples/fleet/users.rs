//! Who watches?
//!
//! Users arrive at a fixed rate and do not wait for one another: a slow answer does not slow the next arrival, as
//! it would not in the world. Waiting is counted from the moment a user should have been served, so a driver that
//! falls behind cannot hide it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use platform_core::{App, Error, Result, config::Config};
use platform_http::{Client, client::Preset};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{films::FILMS, followers::Followers, operator::histogram::Histogram, reasons::Reasons};

/// The users of the company.
#[derive(Clone, Debug)]
pub(crate) struct Users {
    app: App,
    edge: Client,
    tally: Arc<Mutex<Tally>>,
}

/// What users met with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Requests that ended well or badly.
    pub(crate) requests: u64,
    /// Those that ended badly.
    pub(crate) failed: u64,
    pub(crate) waited: Histogram,
    pub(crate) slowest: Duration,
    /// How they failed.
    pub(crate) reasons: Reasons,
    /// The id of the first request that failed.
    pub(crate) first_failed: Option<String>,
    /// The ids of home pages that went well, the last few: each touched three services.
    pub(crate) good: Vec<String>,
}

/// One thing that a user does.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Visit {
    Home { user: u64 },
    Film { id: &'static str },
    Search { word: &'static str },
    Rate { id: &'static str, stars: u64 },
}

/// How one request ended.
struct Ended {
    id: Option<String>,
    failure: Option<String>,
}

impl Users {
    /// Users who find the edge through the registry of this configuration.
    ///
    /// # Errors
    /// What the platform refuses.
    pub(crate) async fn new(config: Config) -> Result<Self> {
        let app = App::builder("users").config(config).start().await?;
        // Browsers know nothing of the platform: nothing of it goes out, nothing is repeated for them.
        let edge = Client::builder(&app, "edge").preset(Preset::External).build()?;
        Ok(Users { app, edge, tally: Arc::default() })
    }

    /// Those among them who keep a stream open.
    ///
    /// # Errors
    /// What the platform refuses.
    pub(crate) fn followers(&self) -> Result<Followers> {
        Followers::new(&self.app)
    }

    /// What they met with so far.
    pub(crate) fn tally(&self) -> Tally {
        self.lock().clone()
    }

    /// Sends `rps` requests a second until `stop`, and waits for the last answers.
    pub(crate) async fn arrive(self, rps: u32, mut stop: watch::Receiver<bool>) {
        let mut random = fastrand::Rng::with_seed(SEED);
        let mut under_way = JoinSet::new();
        let started = Instant::now();
        for number in 0_u64.. {
            let due = started + Duration::from_nanos(number * NANOS / u64::from(rps));
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                () = sleep_until(due) => {}
            }
            while under_way.try_join_next().is_some() {}
            let visit = Visit::random(&mut random);
            if under_way.len() < MOST_UNDER_WAY {
                under_way.spawn(self.clone().visit(visit, due));
            } else {
                let failure = Some(format!("not sent: {MOST_UNDER_WAY} requests wait already"));
                self.lock().count(&visit, due.elapsed(), Ended { id: None, failure });
            }
        }
        // Each ends by its own timeout at the latest.
        while under_way.join_next().await.is_some() {}
    }

    /// Ends what the users need of the platform.
    ///
    /// # Errors
    /// As `App::finish`.
    pub(crate) async fn finish(self) -> Result<()> {
        drop(self.edge);
        self.app.finish().await
    }

    async fn visit(self, visit: Visit, due: Instant) {
        let ended = self.ask(&visit).await;
        self.lock().count(&visit, due.elapsed(), ended);
    }

    async fn ask(&self, visit: &Visit) -> Ended {
        let request = match visit {
            Visit::Home { user } => self.edge.get("/").query("user", user),
            Visit::Film { id } => self.edge.get(format!("/films/{id}")),
            Visit::Search { word } => self.edge.get("/search").query("q", word),
            Visit::Rate { id, stars } => {
                self.edge.post(format!("/films/{id}/rating")).json(&serde_json::json!({ "stars": stars }))
            }
        };
        let lost = |error: Error| Some(format!("{visit}: {}, {}", error.kind(), error.detail()));
        let reply = match request.timeout(PATIENCE).send().await {
            Ok(reply) => reply,
            Err(error) => return Ended { id: None, failure: lost(error) },
        };
        let id = reply.headers().get("x-request-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        let status = reply.status();
        let failure = match reply.bytes().await {
            Err(error) => lost(error),
            Ok(_) if status.is_success() => None,
            // Users only ask for what there is, so every other status is a failure.
            Ok(body) => Some(format!("{visit} answered {status}{}", reason(&body))),
        };
        Ended { id, failure }
    }

    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    fn count(&mut self, visit: &Visit, waited: Duration, ended: Ended) {
        self.requests += 1;
        self.waited.observe(waited);
        self.slowest = self.slowest.max(waited);
        if let Some(failure) = ended.failure {
            self.failed += 1;
            self.reasons.count(failure);
            self.first_failed = self.first_failed.take().or(ended.id);
        } else if let (Visit::Home { .. }, Some(id)) = (visit, ended.id) {
            if self.good.len() == REMEMBERED {
                self.good.remove(0);
            }
            self.good.push(id);
        }
    }
}

impl Visit {
    /// Mostly looking, sometimes searching, seldom saying something; and everybody watches the same few films.
    fn random(random: &mut fastrand::Rng) -> Self {
        let popular = |random: &mut fastrand::Rng| {
            let index = random.usize(..FILMS.len()).min(random.usize(..FILMS.len()));
            FILMS[index].id
        };
        match random.u32(..100) {
            0..40 => Visit::Home { user: random.u64(..1_000) },
            40..80 => Visit::Film { id: popular(random) },
            80..95 => Visit::Search { word: WORDS[random.usize(..WORDS.len())] },
            _ => Visit::Rate { id: popular(random), stars: random.u64(1..=5) },
        }
    }
}

/// Like the routes of the edge, so that failures of a kind are counted together.
impl fmt::Display for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Visit::Home { .. } => "GET /",
            Visit::Film { .. } => "GET /films/{id}",
            Visit::Search { .. } => "GET /search",
            Visit::Rate { .. } => "POST /films/{id}/rating",
        })
    }
}

/// The word of a problem document.
fn reason(body: &[u8]) -> String {
    let problem = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
    problem["reason"].as_str().map(|reason| format!(" ({reason})")).unwrap_or_default()
}

const NANOS: u64 = 1_000_000_000;
/// The same users every time, so that two runs can be compared.
const SEED: u64 = 41;
/// A person gives up after this.
const PATIENCE: Duration = Duration::from_secs(10);
/// Beyond this the machine is lost, and more would only take its memory.
const MOST_UNDER_WAY: usize = 20_000;
/// The last home pages; one of them is shown at the end.
const REMEMBERED: usize = 16;
/// What people look for; the last finds nothing, as happens.
const WORDS: [&str; 8] = ["harbour", "comedy", "winter", "the last", "romance", "moon", "key", "walrus"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_do_a_bit_of_everything_and_the_same_every_time() {
        let visits = || {
            let mut random = fastrand::Rng::with_seed(SEED);
            (0..1_000).map(|_| Visit::random(&mut random)).collect::<Vec<_>>()
        };
        let all = visits();
        assert_eq!(all, visits());
        let share = |of: fn(&Visit) -> bool| all.iter().filter(|visit| of(visit)).count();
        assert!((350..450).contains(&share(|visit| matches!(visit, Visit::Home { .. }))));
        assert!((350..450).contains(&share(|visit| matches!(visit, Visit::Film { .. }))));
        assert!((100..200).contains(&share(|visit| matches!(visit, Visit::Search { .. }))));
        assert!((20..80).contains(&share(|visit| matches!(visit, Visit::Rate { .. }))));
        let films = |of: &'static str| all.iter().filter(|visit| **visit == Visit::Film { id: of }).count();
        assert!(films(FILMS[0].id) > 3 * films(FILMS[35].id), "some films are watched more");
    }

    #[test]
    fn every_end_is_counted_once_and_the_first_failure_is_remembered() {
        let mut tally = Tally::default();
        let ms = Duration::from_millis;
        let (home, search) = (Visit::Home { user: 1 }, Visit::Search { word: "moon" });
        for (visit, waited, id, failure) in [
            (&home, 2, "a", None),
            (&search, 4, "b", None),
            (&home, 900, "c", Some("502")),
            (&home, 3, "d", Some("502")),
        ] {
            let ended = Ended { id: Some(id.to_owned()), failure: failure.map(str::to_owned) };
            tally.count(visit, ms(waited), ended);
        }
        assert_eq!((tally.requests, tally.failed, tally.slowest), (4, 2, ms(900)));
        assert_eq!(tally.reasons, Reasons::from([("502", 2)]));
        assert_eq!(tally.first_failed.as_deref(), Some("c"));
        assert_eq!(tally.good, ["a"]);
    }

    #[test]
    fn a_problem_is_named_by_its_word() {
        assert_eq!(reason(br#"{"status":502,"reason":"unreachable"}"#), " (unreachable)");
        assert_eq!(reason(b"<html>"), "");
        assert_eq!(reason(b"[]"), "");
    }
}
