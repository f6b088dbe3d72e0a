//! Recommendations: what to see next.

use std::process::ExitCode;

use axum::{
    Json, Router,
    extract::{Query, State},
    routing::get,
};
use platform_core::{
    App, Result,
    blocking::{self, Blocking},
};
use platform_http::Problem;
use serde::{Deserialize, Serialize};

use crate::films::{FILMS, Film};

pub(super) async fn main(arguments: Vec<String>) -> Result<ExitCode> {
    let app = App::builder("recommendations")
        .owner("team-taste")
        .reports_to("content")
        .why("fills the home page")
        .arguments(arguments)
        .start_process()
        .await?;
    let settings: Settings = app.settings()?;
    let taste =
        Taste { order: settings.order, threads: Blocking::of(&app, "taste", &blocking::Config::default())? };
    let routes = Router::new().route("/rows", get(rows)).with_state(taste);
    platform_http::serve(app, routes).await
}

/// The team's own section: `[settings]`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// What comes first in a row. The canary tries the newest.
    order: Order,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Order {
    #[default]
    Watched,
    Newest,
}

#[derive(Clone)]
struct Taste {
    order: Order,
    /// Whoever ranks computes, and holds his thread meanwhile.
    threads: Blocking,
}

#[derive(Deserialize)]
struct Whose {
    #[serde(default)]
    user: u64,
}

/// One row of the home page.
#[derive(Serialize)]
struct Row {
    title: String,
    films: Vec<&'static str>,
}

/// `GET /rows?user=7`: four rows of four, the user's genres first.
async fn rows(
    State(Taste { order, threads }): State<Taste>,
    Query(Whose { user }): Query<Whose>,
) -> Result<Json<Vec<Row>>, Problem> {
    Ok(Json(threads.run(move |_| ranked(user, order)).await?))
}

fn ranked(user: u64, order: Order) -> Vec<Row> {
    let mut genres: Vec<&str> = FILMS.iter().map(|film| film.genre).collect();
    genres.sort_unstable();
    genres.dedup();
    let first = usize::try_from(user % genres.len() as u64).expect("smaller than a length");
    let rows = genres.iter().cycle().skip(first).take(ROWS);
    rows.map(|genre| row(genre, order)).collect()
}

fn row(genre: &str, order: Order) -> Row {
    let mut films: Vec<&Film> = FILMS.iter().filter(|film| film.genre == genre).collect();
    if matches!(order, Order::Newest) {
        films.sort_by_key(|film| std::cmp::Reverse(film.year));
    }
    Row { title: format!("More {genre}"), films: films.iter().take(LENGTH).map(|film| film.id).collect() }
}

/// What fits above the fold.
const ROWS: usize = 4;
const LENGTH: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_user_gets_four_full_rows() {
        for user in 0..20 {
            let rows = ranked(user, Order::default());
            assert!(rows.len() == ROWS && rows.iter().all(|row| row.films.len() == LENGTH), "user {user}");
        }
    }

    #[test]
    fn the_canary_puts_the_newest_first() {
        assert_eq!(row("mystery", Order::Watched).films[0], "quay-nine");
        assert_eq!(row("mystery", Order::Newest).films[0], "hush-harbour");
    }
}
