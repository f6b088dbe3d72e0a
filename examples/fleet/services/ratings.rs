//! Ratings: what people thought of it.
//!
//! Each instance keeps the votes it was given in memory, on top of those that every film begins with: a database
//! would be another company's example.

use std::{
    collections::HashMap,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use platform_core::{App, Result};
use platform_http::Problem;
use serde::{Deserialize, Serialize};

use crate::films::FILMS;

pub(super) async fn main(arguments: Vec<String>) -> Result<ExitCode> {
    let app = App::builder("ratings")
        .owner("team-audience")
        .why("remembers what people thought of a film")
        .arguments(arguments)
        .start_process()
        .await?;
    let routes = Router::new().route("/films/{id}/rating", get(show).post(rate)).with_state(Votes::default());
    platform_http::serve(app, routes).await
}

/// All votes, by film.
#[derive(Clone)]
struct Votes(Arc<Mutex<HashMap<&'static str, Tally>>>);

#[derive(Clone, Copy)]
struct Tally {
    stars: u64,
    votes: u64,
}

/// What a film's votes come to.
#[derive(Serialize)]
struct Rating {
    stars: f64,
    votes: u64,
}

/// One person's vote.
#[derive(Deserialize)]
struct Vote {
    stars: u64,
}

/// `GET /films/{id}/rating`
async fn show(State(votes): State<Votes>, Path(id): Path<String>) -> Result<Json<Rating>, Problem> {
    Ok(Json(votes.change(&id, |tally| Rating::from(*tally))?))
}

/// `POST /films/{id}/rating {"stars": 4}`
async fn rate(
    State(votes): State<Votes>,
    Path(id): Path<String>,
    Json(vote): Json<Vote>,
) -> Result<(StatusCode, Json<Rating>), Problem> {
    if !(1..=5).contains(&vote.stars) {
        return Err(Problem::invalid(format!("{} stars: give 1 to 5", vote.stars)));
    }
    let rating = votes.change(&id, |tally| {
        tally.stars += vote.stars;
        tally.votes += 1;
        Rating::from(*tally)
    })?;
    Ok((StatusCode::CREATED, Json(rating)))
}

impl Votes {
    fn change<T>(&self, id: &str, change: impl FnOnce(&mut Tally) -> T) -> Result<T, Problem> {
        let mut votes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tally =
            votes.get_mut(id).ok_or_else(|| Problem::not_found(format!("there is no film {id:?}")))?;
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
