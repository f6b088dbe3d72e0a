//! An axum service that was there before, moved over in ten lines, and a metric of its own.
//!
//! Its routes, its state and its extractors stay as they are. What goes: its listener, its tracing and metrics set-up,
//! its signal handling, and its timeout and request-id layers, because all of that is here already.

use std::process::ExitCode;

use platform_core::{App, Result};

use self::before::{Desk, router};

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let app = App::start("tickets").await?; // instead of a subscriber, a recorder, a shutdown signal
    let routes = moved(&app);
    platform_http::serve(app, routes).await // instead of a TcpListener and axum::serve
}

fn moved(app: &App) -> axum::Router {
    router(Desk::new(sold::of(app)))
}

/// A counter of its own: declared once, resolved once, counted without a look-up.
mod sold {
    use platform_core::{
        App,
        telemetry::{
            Counter,
            catalogue::{CounterSpec, Labels},
        },
    };

    /// `tickets_sold_total{place="stalls"}`
    static SOLD: CounterSpec<Place> = CounterSpec::new("tickets_sold", "Tickets that were sold");

    /// There are two, and no caller can invent a third.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    struct Place(&'static str);

    impl Labels for Place {
        const NAMES: &'static [&'static str] = &["place"];

        fn each_value(&self, show: &mut dyn FnMut(&str)) {
            show(self.0);
        }
    }

    #[derive(Clone)]
    pub(super) struct Sold {
        pub(super) stalls: Counter,
        pub(super) balcony: Counter,
    }

    pub(super) fn of(app: &App) -> Sold {
        let sold = app.metrics().counter(&SOLD);
        Sold { stalls: sold.with(&Place("stalls")), balcony: sold.with(&Place("balcony")) }
    }
}

/// As it was, but for the counter.
mod before {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    };

    use axum::{
        Json, Router,
        extract::{Path, State},
        http::StatusCode,
        routing::{get, post},
    };

    use super::sold::Sold;

    #[derive(Clone)]
    pub(super) struct Desk {
        left: Arc<AtomicU32>,
        sold: Sold,
    }

    impl Desk {
        pub(super) fn new(sold: Sold) -> Self {
            Desk { left: Arc::new(AtomicU32::new(SEATS)), sold }
        }
    }

    pub(super) fn router(desk: Desk) -> Router {
        Router::new().route("/left", get(left)).route("/tickets/{place}", post(buy)).with_state(desk)
    }

    async fn left(State(desk): State<Desk>) -> Json<u32> {
        Json(desk.left.load(Relaxed))
    }

    async fn buy(State(desk): State<Desk>, Path(place): Path<String>) -> StatusCode {
        let sold = match place.as_str() {
            "stalls" => &desk.sold.stalls,
            "balcony" => &desk.sold.balcony,
            _ => return StatusCode::NOT_FOUND,
        };
        if desk.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_err() {
            return StatusCode::CONFLICT;
        }
        sold.inc();
        StatusCode::CREATED
    }

    /// The house has so many.
    const SEATS: u32 = 2;
}

#[cfg(test)]
#[path = "../ground.rs"]
mod ground;

#[cfg(test)]
mod tests {
    use super::{ground::Running, *};

    #[tokio::test]
    async fn it_answers_as_before_and_counts() {
        let mut metrics = None;
        let service = Running::start("tickets", "", |app| {
            metrics = Some(app.metrics().clone());
            Ok(moved(app))
        })
        .await;
        let client = service.client();
        let buy = |place: &str| Running::ask(client.post(format!("/tickets/{place}")));
        assert_eq!(Running::ask(client.get("/left")).await, (200, "2".to_owned()));
        assert_eq!(buy("stalls").await.0, 201);
        assert_eq!(buy("roof").await.0, 404);
        assert_eq!(buy("stalls").await.0, 201);
        assert_eq!(buy("balcony").await.0, 409);
        let page = metrics.unwrap().encode();
        let counted = |place: &str, count: u32| {
            let line =
                page.lines().find(|line| line.starts_with("tickets_sold_total{") && line.contains(place));
            line.is_some_and(|line| line.ends_with(&format!(" {count}")))
        };
        assert!(counted("stalls", 2) && counted("balcony", 0), "{page}");
        service.stop().await;
    }
}
