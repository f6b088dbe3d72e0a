//! Ratings: what people thought of it.
//!
//! Each instance keeps the votes it was given in memory, on top of those that every film begins with: a database
//! would be another company's example.

use std::{collections::HashMap, pin::Pin, process::ExitCode, sync::Arc};

use futures_util::{Stream, stream};
use platform_core::{
    App, Error, ErrorKind, Result,
    lifecycle::{Phase, Phases},
    ops::Slo,
};
use platform_grpc::{OrStatus as _, Services, serve};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::film::{
    DESCRIPTORS, Film, Rating, Vote,
    ratings_server::{Ratings, RatingsServer},
};
use crate::films::FILMS;

pub(super) async fn main(arguments: Vec<String>) -> Result<ExitCode> {
    let app = App::builder("ratings")
        .owner("team-audience")
        .reports_to("product")
        .why("remembers what people thought of a film")
        .slo(Slo::availability(0.999))
        .arguments(arguments)
        .start_process()
        .await?;
    let ratings = Votes { films: Films::default(), phases: app.phases().clone() };
    let services = Services::new().service(RatingsServer::new(ratings)).descriptors(DESCRIPTORS);
    serve(app, services).await
}

/// What this instance was told, and until when it tells it.
struct Votes {
    films: Films,
    phases: Phases,
}

/// All votes, by film; whoever follows a film is told of each.
#[derive(Clone)]
struct Films(Arc<HashMap<&'static str, watch::Sender<Tally>>>);

#[derive(Clone, Copy)]
struct Tally {
    stars: u64,
    votes: u64,
}

#[tonic::async_trait]
impl Ratings for Votes {
    async fn get(&self, request: Request<Film>) -> Result<Response<Rating>, Status> {
        let Film { id } = request.into_inner();
        let tally = self.films.of(&id).or_status()?;
        let rating = Rating::from(*tally.borrow());
        Ok(Response::new(rating))
    }

    async fn rate(&self, request: Request<Vote>) -> Result<Response<Rating>, Status> {
        let Vote { film, stars } = request.into_inner();
        if !(1..=5).contains(&stars) {
            return Err(Error::new(ErrorKind::Invalid, format!("{stars} stars: give 1 to 5"))).or_status();
        }
        Ok(Response::new(count(self.films.of(&film).or_status()?, stars)))
    }

    type FollowStream = Pin<Box<dyn Stream<Item = Result<Rating, Status>> + Send>>;

    async fn follow(&self, request: Request<Film>) -> Result<Response<Self::FollowStream>, Status> {
        let mut tally = self.films.of(&request.into_inner().id).or_status()?.subscribe();
        // The first word is how it stands now.
        tally.mark_changed();
        let phases = self.phases.clone();
        let ratings = stream::unfold((tally, phases), async |(mut tally, phases)| {
            // Nobody ends such a stream but the one who writes it, and a stop should not have to cut it.
            let changed = tokio::select! {
                changed = tally.changed() => changed.is_ok(),
                () = phases.reached(Phase::Draining) => false,
            };
            let rating = Rating::from(*tally.borrow_and_update());
            changed.then_some((Ok(rating), (tally, phases)))
        });
        Ok(Response::new(Box::pin(ratings)))
    }
}

impl Films {
    fn of(&self, id: &str) -> Result<&watch::Sender<Tally>> {
        self.0.get(id).ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no film {id:?}")))
    }
}

impl Default for Films {
    /// Old films had more time to be rated, and the audience is kind to short ones.
    fn default() -> Self {
        let first = FILMS.iter().map(|film| {
            let votes = u64::from(2030 - film.year) * 7;
            let kindness = u64::from(150 - film.minutes.min(150));
            (film.id, watch::Sender::new(Tally { stars: votes * 3 + votes * kindness / 60, votes }))
        });
        Films(Arc::new(first.collect()))
    }
}

impl From<Tally> for Rating {
    fn from(Tally { stars, votes }: Tally) -> Self {
        // One digit is what people compare.
        Rating { stars: (stars as f64 * 10.0 / votes.max(1) as f64).round() / 10.0, votes }
    }
}

/// One more vote, and what they come to then.
fn count(film: &watch::Sender<Tally>, stars: u32) -> Rating {
    let mut rating = Rating::default();
    film.send_modify(|tally| {
        tally.stars += u64::from(stars);
        tally.votes += 1;
        // In here: a moment later others have voted too.
        rating = Rating::from(*tally);
    });
    rating
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vote_counts_and_every_film_begins_with_a_rating_that_can_be() {
        let films = Films::default();
        for film in &FILMS {
            let rating = Rating::from(*films.of(film.id).unwrap().borrow());
            assert!((1.0..=5.0).contains(&rating.stars) && rating.votes > 0, "{film:?} {}", rating.stars);
        }
        let film = films.of("quay-nine").unwrap();
        let (before, mut follower) = (film.borrow().votes, film.subscribe());
        assert_eq!(count(film, 4).votes, before + 1);
        assert!(follower.has_changed().unwrap() && follower.borrow_and_update().votes == before + 1);
        assert!(films.of("nobody-made-this").is_err());
    }

    #[test]
    fn of_those_who_vote_at_once_each_hears_what_its_own_vote_made() {
        let films = Films::default();
        let film = films.of("quay-nine").unwrap();
        let before = film.borrow().votes;
        let vote = || (0..1_000).map(|_| count(film, 4).votes).collect::<Vec<_>>();
        let mut heard: Vec<u64> = std::thread::scope(|scope| {
            let voters = [(); 4].map(|()| scope.spawn(vote));
            voters.into_iter().flat_map(|voter| voter.join().unwrap()).collect()
        });
        heard.sort_unstable();
        assert_eq!(heard, (before + 1..=before + 4_000).collect::<Vec<_>>());
    }
}
