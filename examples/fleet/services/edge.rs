//! The edge: what browsers and apps call.
//!
//! A page without ratings, and a home page as it was a minute ago, are better than an error; and a vote is kept
//! until somebody can count it. A search without the catalog finds nothing, and the reply says why.

use std::{
    collections::HashMap,
    fmt,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::{get, post},
};
use platform_core::{
    App, Error, ErrorKind, Result,
    fallback::{OrDegraded as _, Stale},
    ops::Slo,
};
use platform_grpc::Channel;
use platform_http::{Client, Problem, client::Preset};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    film::{self, ratings_client::RatingsClient},
    outbox::Outbox,
};

pub(super) async fn main(arguments: Vec<String>) -> Result<ExitCode> {
    let app = App::builder("edge")
        .owner("team-home")
        .reports_to("product")
        .why("the front door of every screen")
        .slo(Slo::availability(0.999))
        .slo(Slo::latency(Duration::from_millis(300), 0.99))
        .arguments(arguments)
        .start_process()
        .await?;
    let routes = routes(&app);
    platform_http::serve(app, routes).await
}

fn routes(app: &App) -> Result<Router> {
    let client = |name| Client::builder(app, name).preset(Preset::Interactive).build();
    let ratings = Channel::builder(app, "ratings").preset(Preset::Interactive);
    let ratings = RatingsClient::new(ratings.descriptors(film::DESCRIPTORS).build()?);
    let company = Company {
        catalog: client("catalog")?,
        outbox: Outbox::start(app, ratings.clone()),
        ratings,
        recommendations: client("recommendations")?,
        rows: Stale::new("recommendations", WORTH_SHOWING),
        cards: Stale::new("catalog", WORTH_SHOWING),
        films: Films::default(),
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
    ratings: RatingsClient<Channel>,
    /// Votes that nobody could count yet.
    outbox: Outbox,
    recommendations: Client,
    /// The last home page's rows; whose they were matters less than that there are some.
    rows: Stale<Vec<Picked>>,
    /// The last cards of the home page.
    cards: Stale<Vec<Card>>,
    /// The last good page of each film.
    films: Films,
}

/// A film changes seldom; a page that is a minute old is right.
#[derive(Clone, Default)]
struct Films(Arc<Mutex<HashMap<String, Stale<Film>>>>);

impl Films {
    /// Where the film's last good page is kept. Ids that nobody answered for take no place.
    fn of(&self, id: &FilmId) -> Stale<Film> {
        let films = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        films.get(&id.0).cloned().unwrap_or_else(|| Stale::new("catalog", WORTH_SHOWING))
    }

    fn keep(&self, id: &FilmId, page: Stale<Film>) {
        let mut films = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if films.len() < MOST_FILMS {
            films.entry(id.0.clone()).or_insert(page);
        }
    }
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
#[derive(Clone, Deserialize)]
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
    /// `null` when nobody can say just now.
    rating: Option<Rating>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Film {
    id: String,
    title: String,
    year: u16,
    minutes: u16,
    genre: String,
    about: String,
}

#[derive(Serialize)]
struct Rating {
    stars: f64,
    votes: u64,
}

#[derive(Deserialize)]
struct Vote {
    stars: u32,
}

/// `GET /?user=7`: the home page.
async fn home(
    State(company): State<Company>,
    Query(Whose { user }): Query<Whose>,
) -> Result<Json<Vec<Row>>, Problem> {
    let rows = async { company.recommendations.get("/rows").query("user", user).send().await?.json().await };
    let picked: Vec<Picked> = company
        .rows
        .fresh_or_kept(rows.await, Instant::now())
        .or_degraded("recommendations", |_| Vec::new())?;
    let ids: Vec<&str> = picked.iter().flat_map(|row| &row.films).map(String::as_str).collect();
    let cards =
        async { company.catalog.get("/films").query("ids", ids.join(",")).send().await?.json().await };
    let cards: Vec<Card> = company.cards.fresh_or_kept(cards.await, Instant::now())?;
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
        reply.json::<Film>().await
    };
    let rating = async {
        let rating = company.ratings.clone().get(film::Film { id: id.to_string() }).await;
        heard(rating, &id).map(Some).or_degraded("ratings", |_| None)
    };
    let page = company.films.of(&id);
    let film = async { page.fresh_or_kept(film.await, Instant::now()) };
    let (film, rating) = tokio::try_join!(film, rating)?;
    company.films.keep(&id, page);
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
    let found = async { company.catalog.get("/search").query("q", q).send().await?.json().await };
    // An empty shelf, and the reply says that it is one for lack of the catalog.
    Ok(Json(found.await.or_degraded("catalog", |_| Vec::new())?))
}

/// `POST /films/{id}/rating {"stars": 4}`: 201 with what the votes come to, or 202 when it is counted later.
async fn rate(
    State(company): State<Company>,
    Path(id): Path<FilmId>,
    Json(vote): Json<Vote>,
) -> Result<(StatusCode, Json<Option<Rating>>), Problem> {
    if !(1..=5).contains(&vote.stars) {
        return Err(Problem::invalid(format!("{} stars: give 1 to 5", vote.stars)));
    }
    let vote = film::Vote { film: id.to_string(), stars: vote.stars };
    let counted = company.ratings.clone().rate(vote.clone()).await;
    let later = |_: &_| {
        company.outbox.put(vote);
        None
    };
    let rating = heard(counted, &id).map(Some).or_degraded("ratings", later)?;
    let status = if rating.is_some() { StatusCode::CREATED } else { StatusCode::ACCEPTED };
    Ok((status, Json(rating)))
}

/// What ratings said of the film.
fn heard(said: Result<tonic::Response<film::Rating>, tonic::Status>, id: &FilmId) -> Result<Rating> {
    match said {
        Ok(rating) => {
            let film::Rating { stars, votes } = rating.into_inner();
            Ok(Rating { stars, votes })
        }
        Err(status) if status.code() == tonic::Code::NotFound => Err(unknown(id)),
        Err(status) => Err(platform_grpc::error(&status)),
    }
}

fn unknown(id: &FilmId) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no film \"{id}\""))
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

/// People notice a home page of yesterday, not one of a minute ago.
const WORTH_SHOWING: Duration = Duration::from_secs(60);
/// More than anybody opens between two failures.
const MOST_FILMS: usize = 1_000;

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
