//! How a service is tested with faults, and with time that does not pass.
//!
//! What is tested is the whole client, with its repeats, its breaker and its deadlines; what stands in for the other
//! service is a layer in the slot `attempt`, where a connection would be asked, that does as a script says. So nothing
//! is sent, tokio's clock may be paused, and a breaker that is open for a second costs a test nothing. Faults are those
//! that an operator injects (`POST /platform/faults`), below all that must survive them.

use std::{process::ExitCode, time::Duration};

use axum::{Json, Router, extract::State, routing::get};
use platform_core::{App, Result, fallback::OrDegraded as _};
use platform_http::{Client, Problem, client::Builder};
use serde::{Deserialize, Serialize};

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let app = App::start("shelf").await?;
    let routes = ratings(&app).build().map(routes);
    platform_http::serve(app, routes).await
}

/// The client; a test puts a script into one of its slots.
fn ratings(app: &App) -> Builder {
    Client::builder(app, "ratings").policy(|policy| {
        policy.timeout = Some(CALL);
        policy.attempt_timeout = Some(ATTEMPT);
    })
}

fn routes(ratings: Client) -> Router {
    Router::new().route("/page", get(page)).with_state(ratings)
}

#[derive(Debug, PartialEq, Serialize)]
struct Page {
    title: &'static str,
    /// Nothing where nobody could say.
    stars: Option<f64>,
}

#[derive(Deserialize)]
struct Rating {
    stars: f64,
}

/// A page without stars is better than no page.
async fn page(State(ratings): State<Client>) -> Result<Json<Page>, Problem> {
    let stars = async { ratings.get("/stars").send().await?.json::<Rating>().await };
    let stars = stars.await.map(|rating| Some(rating.stars)).or_degraded("ratings", |_| None)?;
    Ok(Json(Page { title: "Metropolis", stars }))
}

/// Nobody waits longer for stars; an attempt that takes a third of that is given up for another.
const CALL: Duration = Duration::from_millis(900);
const ATTEMPT: Duration = Duration::from_millis(300);

#[cfg(test)]
#[path = "../ground.rs"]
mod ground;

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
    };

    use axum::http::{Request, Response};
    use platform_core::{
        Error, ErrorKind,
        config::Config,
        fault::{Abort, Effect, Rule},
        telemetry::log::Output,
    };
    use platform_http::{Body, client::slots::Rest};
    use tokio::time::{Instant, sleep};
    use tower::service_fn;
    use tower_layer::layer_fn;

    use super::{ground::Running, *};

    /// What stands in for ratings with a call of this number, counted from 0.
    #[derive(Clone, Copy)]
    enum Does {
        Answer,
        Fail,
        Nothing,
    }

    type Script = fn(usize) -> Does;

    async fn answer(does: Does) -> Result<Response<Body>> {
        match does {
            Does::Answer => Ok(Response::new(Body::reply("{\"stars\": 4.5}"))),
            Does::Fail => Err(Error::new(ErrorKind::Upstream, "as scripted")),
            Does::Nothing => pending().await,
        }
    }

    /// The client over a script.
    struct Bench {
        app: App,
        ratings: Client,
        asked: Arc<AtomicUsize>,
    }

    impl Bench {
        async fn new(script: Script) -> Bench {
            let app = App::builder("shelf").config(Config::default()).log_to(Output::to(std::io::sink()));
            let app = app.start().await.expect("a good start");
            let asked = Arc::<AtomicUsize>::default();
            let counts = Arc::clone(&asked);
            // Asked instead of a connection.
            let scripted = layer_fn(move |_: Rest| {
                let counts = Arc::clone(&counts);
                service_fn(move |_: Request<Body>| answer(script(counts.fetch_add(1, Relaxed))))
            });
            let ratings = ratings(&app).target("fixed://127.0.0.1:9").around_attempt(scripted);
            Bench { ratings: ratings.build().expect("a client"), app, asked }
        }

        /// The stars of a page, how long it took, and how often ratings was asked for it.
        async fn page(&self) -> (Option<f64>, Duration, usize) {
            let (began, before) = (Instant::now(), self.asked.load(Relaxed));
            let Json(page) = page(State(self.ratings.clone())).await.expect("there is always a page");
            (page.stars, began.elapsed(), self.asked.load(Relaxed) - before)
        }

        /// As `POST /platform/faults` does.
        fn fault(&self, effect: Effect, lasts: Duration) {
            let now = Instant::now();
            self.app.faults().start(Rule::new("drill", "ratings", effect, now + lasts), now).expect("a rule");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_failure_is_repeated_and_nobody_sees_it() {
        let bench = Bench::new(|call| if call == 0 { Does::Fail } else { Does::Answer }).await;
        let (stars, took, asked) = bench.page().await;
        assert_eq!((stars, asked), (Some(4.5), 2));
        assert!(took <= Duration::from_millis(50), "the pause before a first repeat: {took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_costs_the_whole_call_and_no_more() {
        let bench = Bench::new(|_| Does::Nothing).await;
        let (stars, took, asked) = bench.page().await;
        assert_eq!((stars, took), (None, CALL), "exactly: nothing else makes this clock go on");
        assert!(asked >= 2, "an attempt is given up for another");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_dependency_is_found_out_by_the_breaker_and_again_when_it_is_well() {
        let bench = Bench::new(|_| Does::Answer).await;
        bench.fault(Effect::delay(Duration::from_secs(5)), Duration::from_secs(30));
        // Silence counts against the target: after seven in a row nobody waits any more.
        let mut pages = Vec::new();
        for _ in 0..5 {
            pages.push(bench.page().await);
        }
        assert!(pages.iter().all(|(stars, _, asked)| stars.is_none() && *asked == 0), "{pages:?}");
        assert_eq!(pages[0].1, CALL);
        assert_eq!(pages[4].1, Duration::ZERO, "the breaker is open: {pages:?}");

        // Half a minute later the fault is over by itself, and within the breaker's longest pause somebody finds out.
        sleep(Duration::from_secs(90)).await;
        assert_eq!(bench.page().await, (Some(4.5), Duration::ZERO, 1), "a user's call is the probe");
    }

    #[tokio::test]
    async fn the_whole_service_says_that_it_is_degraded() {
        let mut own = None;
        let service =
            Running::start("shelf", "[clients.ratings]\ntarget = \"fixed://127.0.0.1:9\"\n", |app| {
                own = Some(app.clone());
                ratings(app).build().map(routes)
            })
            .await;
        let (app, now) = (own.expect("it has started"), Instant::now());
        let unreachable = Effect::abort(Abort::Unreachable);
        let until = now + Duration::from_secs(60);
        app.faults().start(Rule::new("drill", "ratings", unreachable, until), now).expect("a rule");
        let reply = service.client().get("/page").send().await.expect("a reply");
        assert_eq!(reply.headers()["platform-degraded"], "ratings");
        assert_eq!(reply.text().await.expect("a page"), "{\"title\":\"Metropolis\",\"stars\":null}");
        let page = app.metrics().encode();
        let counted = |line: &&str| {
            line.starts_with("platform_faults_injected_total{") && line.contains("fault=\"drill\"")
        };
        assert!(page.lines().filter(counted).any(|line| !line.ends_with(" 0")), "{page}");
        assert_eq!(Running::ask(service.client().get("/page")).await.0, 200);
        service.stop().await;
    }
}
