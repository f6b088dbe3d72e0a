//! The edge: what browsers and apps call.

use std::{fmt, process::ExitCode};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::{get, post},
};
use platform_core::{App, Result};
use platform_http::{Client, Problem};
use serde::{Deserialize, Serialize};

pub(super) async fn main(arguments: Vec<String>) -> Result<ExitCode> {
    let app = App::builder("edge")
        .owner("team-home")
        .why("the front door of every screen")
        .arguments(arguments)
        .start_process()
        .await?;
    let routes = routes(&app);
    platform_http::serve(app, routes).await
}

fn routes(app: &App) -> Result<Router> {
    let company = Company {
        catalog: Client::for_target(app, "catalog")?,
        ratings: Client::for_target(app, "ratings")?,
        recommendations: Client::for_target(app, "recommendations")?,
    };
    Ok(Router::new()
        .route("/", get(home))
        .route("/films/{id}", get(film))
        .route("/films/{id}/rating", post(rate))
        .route("/search", get(search))
        .with_state(company))
}

/// Whom the edge asks.
#[derive(Clone)]
struct Company {
    catalog: Client,
    ratings: Client,
    recommendations: Client,
}

/// What may stand in a path of ours: whatever else strangers send never reaches one.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct FilmId(String);

#[derive(Deserialize)]
struct Whose {
    #[serde(default)]
    user: u64,
}

#[derive(Deserialize)]
struct Search {
    q: String,
}

/// A row as recommendations give it.
#[derive(Deserialize)]
struct Picked {
    title: String,
    films: Vec<String>,
}

/// A row as screens show it.
#[derive(Serialize)]
struct Row {
    title: String,
    films: Vec<Card>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Card {
    id: String,
    title: String,
    year: u16,
}

/// A film's page.
#[derive(Serialize)]
struct Page {
    #[serde(flatten)]
    film: Film,
    rating: Rating,
}

#[derive(Serialize, Deserialize)]
struct Film {
    id: String,
    title: String,
    year: u16,
    minutes: u16,
    genre: String,
    about: String,
}

#[derive(Serialize, Deserialize)]
struct Rating {
    stars: f64,
    votes: u64,
}

#[derive(Serialize, Deserialize)]
struct Vote {
    stars: u64,
}

/// `GET /?user=7`: the home page.
async fn home(
    State(company): State<Company>,
    Query(Whose { user }): Query<Whose>,
) -> Result<Json<Vec<Row>>, Problem> {
    let picked: Vec<Picked> =
        company.recommendations.get("/rows").query("user", user).send().await?.json().await?;
    let ids: Vec<&str> = picked.iter().flat_map(|row| &row.films).map(String::as_str).collect();
    let cards: Vec<Card> =
        company.catalog.get("/films").query("ids", ids.join(",")).send().await?.json().await?;
    let known = |id: &String| cards.iter().find(|card| card.id == *id).cloned();
    let rows = picked
        .iter()
        .map(|row| Row { title: row.title.clone(), films: row.films.iter().filter_map(known).collect() });
    Ok(Json(rows.collect()))
}

/// `GET /films/{id}`: the film and what people think of it, asked at the same time.
async fn film(State(company): State<Company>, Path(id): Path<FilmId>) -> Result<Json<Page>, Problem> {
    let film = async {
        let reply = company.catalog.get(format!("/films/{id}")).send().await?;
        if reply.status() == StatusCode::NOT_FOUND {
            return Err(unknown(&id));
        }
        Ok::<Film, Problem>(reply.json().await?)
    };
    let rating = async {
        let reply = company.ratings.get(format!("/films/{id}/rating")).send().await?;
        if reply.status() == StatusCode::NOT_FOUND {
            return Err(unknown(&id));
        }
        Ok::<Rating, Problem>(reply.json().await?)
    };
    let (film, rating) = tokio::try_join!(film, rating)?;
    Ok(Json(Page { film, rating }))
}

/// `GET /search?q=harbour`
async fn search(
    State(company): State<Company>,
    Query(Search { q }): Query<Search>,
) -> Result<Json<Vec<Card>>, Problem> {
    if q.trim().is_empty() {
        return Err(Problem::invalid("q is empty; search for a word, as in /search?q=harbour"));
    }
    Ok(Json(company.catalog.get("/search").query("q", q).send().await?.json().await?))
}

/// `POST /films/{id}/rating {"stars": 4}`
async fn rate(
    State(company): State<Company>,
    Path(id): Path<FilmId>,
    Json(vote): Json<Vote>,
) -> Result<(StatusCode, Json<Rating>), Problem> {
    if !(1..=5).contains(&vote.stars) {
        return Err(Problem::invalid(format!("{} stars: give 1 to 5", vote.stars)));
    }
    let reply = company.ratings.post(format!("/films/{id}/rating")).json(&vote).send().await?;
    if reply.status() == StatusCode::NOT_FOUND {
        return Err(unknown(&id));
    }
    Ok((StatusCode::CREATED, Json(reply.json().await?)))
}

fn unknown(id: &FilmId) -> Problem {
    Problem::not_found(format!("there is no film \"{id}\""))
}

impl TryFrom<String> for FilmId {
    type Error = &'static str;

    fn try_from(id: String) -> Result<Self, Self::Error> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !id.is_empty() && id.bytes().all(plain) {
            Ok(FilmId(id))
        } else {
            Err("a film's id is of a-z, 0-9 and -")
        }
    }
}

impl fmt::Display for FilmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::films::FILMS;

    #[test]
    fn nothing_but_an_id_gets_into_a_path() {
        assert!(FILMS.iter().all(|film| FilmId::try_from(film.id.to_owned()).is_ok()));
        for id in ["", "..", "a/b", "a?ids=b", "a b", "A", "caf\u{e9}"] {
            assert!(FilmId::try_from(id.to_owned()).is_err(), "{id}");
        }
    }
}
