//! Ratings: what people thought of it.
//!
//! Each instance keeps the votes it was given in memory, on top of those that every film begins with: a database
//! would be another company's example.

use std::{
    collections::HashMap,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use platform_core::{App, Error, ErrorKind, Result, ops::Slo};
use platform_grpc::{OrStatus as _, Services, serve};
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
    let services = Services::new().service(RatingsServer::new(Votes::default())).descriptors(DESCRIPTORS);
    serve(app, services).await
}

/// All votes, by film.
#[derive(Clone)]
struct Votes(Arc<Mutex<HashMap<&'static str, Tally>>>);

#[derive(Clone, Copy)]
struct Tally {
    stars: u64,
    votes: u64,
}

#[tonic::async_trait]
impl Ratings for Votes {
    async fn get(&self, request: Request<Film>) -> Result<Response<Rating>, Status> {
        let Film { id } = request.into_inner();
        Ok(Response::new(self.change(&id, |tally| Rating::from(*tally)).or_status()?))
    }

    async fn rate(&self, request: Request<Vote>) -> Result<Response<Rating>, Status> {
        let Vote { film, stars } = request.into_inner();
        if !(1..=5).contains(&stars) {
            return Err(Error::new(ErrorKind::Invalid, format!("{stars} stars: give 1 to 5"))).or_status();
        }
        let rating = self.change(&film, |tally| {
            tally.stars += u64::from(stars);
            tally.votes += 1;
            Rating::from(*tally)
        });
        Ok(Response::new(rating.or_status()?))
    }
}

impl Votes {
    fn change<T>(&self, id: &str, change: impl FnOnce(&mut Tally) -> T) -> Result<T> {
        let mut votes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown = || Error::new(ErrorKind::NotFound, format!("there is no film {id:?}"));
        let tally = votes.get_mut(id).ok_or_else(unknown)?;
        Ok(change(tally))
    }
}

impl Default for Votes {
    /// Old films had more time to be rated, and the audience is kind to short ones.
    fn default() -> Self {
        let first = FILMS.iter().map(|film| {
            let votes = u64::from(2030 - film.year) * 7;
            let kindness = u64::from(150 - film.minutes.min(150));
            (film.id, Tally { stars: votes * 3 + votes * kindness / 60, votes })
        });
        Votes(Arc::new(Mutex::new(first.collect())))
    }
}

impl From<Tally> for Rating {
    fn from(Tally { stars, votes }: Tally) -> Self {
        // One digit is what people compare.
        Rating { stars: (stars as f64 * 10.0 / votes.max(1) as f64).round() / 10.0, votes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vote_counts_and_every_film_begins_with_a_rating_that_can_be() {
        let votes = Votes::default();
        for film in &FILMS {
            let rating = votes.change(film.id, |tally| Rating::from(*tally)).unwrap();
            assert!((1.0..=5.0).contains(&rating.stars) && rating.votes > 0, "{film:?} {}", rating.stars);
        }
        let before = votes.change("quay-nine", |tally| tally.votes).unwrap();
        votes.change("quay-nine", |tally| tally.votes += 1).unwrap();
        assert_eq!(votes.change("quay-nine", |tally| tally.votes).unwrap(), before + 1);
        assert!(votes.change("nobody-made-this", |_| ()).is_err());
    }
}
