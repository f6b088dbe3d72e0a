//! The catalog: what can be seen.

use std::{process::ExitCode, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, Query},
    routing::get,
};
use platform_core::{App, Result, ops::Slo};
use platform_http::Problem;
use serde::{Deserialize, Serialize};

use crate::films::{self, FILMS};

pub(super) async fn main(arguments: Vec<String>) -> Result<ExitCode> {
    let app = App::builder("catalog")
        .owner("team-library")
        .reports_to("content")
        .why("knows every film")
        .slo(Slo::availability(0.999))
        .slo(Slo::latency(Duration::from_millis(100), 0.99))
        .arguments(arguments)
        .start_process()
        .await?;
    let routes = Router::new()
        .route("/films", get(several))
        .route("/films/{id}", get(one))
        .route("/search", get(search));
    platform_http::serve(app, routes).await
}

/// A film as its page shows it.
#[derive(Serialize)]
struct Film {
    id: &'static str,
    title: &'static str,
    year: u16,
    minutes: u16,
    genre: &'static str,
    about: &'static str,
}

/// A film as a row shows it.
#[derive(Serialize)]
struct Card {
    id: &'static str,
    title: &'static str,
    year: u16,
}

#[derive(Deserialize)]
struct Several {
    ids: String,
}

#[derive(Deserialize)]
struct Search {
    q: String,
}

/// `GET /films?ids=quay-nine,slow-comet`: cards in the order asked for; unknown ids are left out.
async fn several(Query(Several { ids }): Query<Several>) -> Json<Vec<Card>> {
    Json(ids.split(',').filter_map(films::find).map(Card::from).collect())
}

/// `GET /films/{id}`
async fn one(Path(id): Path<String>) -> Result<Json<Film>, Problem> {
    let film = films::find(&id).ok_or_else(|| Problem::not_found(format!("there is no film {id:?}")))?;
    Ok(Json(Film::from(film)))
}

/// `GET /search?q=harbour`: films with every word somewhere.
async fn search(Query(Search { q }): Query<Search>) -> Result<Json<Vec<Card>>, Problem> {
    let words: Vec<String> = q.split_whitespace().map(str::to_lowercase).collect();
    if words.is_empty() {
        return Err(Problem::invalid("q is empty; search for a word, as in /search?q=harbour"));
    }
    let found = FILMS.iter().filter(|film| {
        let text = format!("{} {} {}", film.title, film.genre, film.about).to_lowercase();
        words.iter().all(|word| text.contains(word))
    });
    Ok(Json(found.map(Card::from).collect()))
}

impl From<&films::Film> for Film {
    fn from(film: &films::Film) -> Self {
        let films::Film { id, title, year, minutes, genre, about } = *film;
        Film { id, title, year, minutes, genre, about }
    }
}

impl From<&films::Film> for Card {
    fn from(film: &films::Film) -> Self {
        let films::Film { id, title, year, .. } = *film;
        Card { id, title, year }
    }
}
