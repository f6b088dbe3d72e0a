//! Another company's HTTP API: slower, less patient, and not to be told about us.
//!
//! The target is an address, so that it is a stranger's: it learns the trace and nothing else of ours. The preset
//! `external` waits longer and asks less at once. What it said last is shown for a while when it does not answer.

use std::{process::ExitCode, time::Duration};

use axum::{Json, Router, extract::State, routing::get};
use platform_core::{App, Result, fallback::Stale};
use platform_http::{Client, Problem, client::Preset};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let app = App::start("prices").await?;
    let routes = routes(&app);
    platform_http::serve(app, routes).await
}

fn routes(app: &App) -> Result<Router> {
    // `[clients.bank] target = "…"` says another one: a test's, or a sandbox of theirs.
    let bank = Client::builder(app, "bank").preset(Preset::External).target("https://rates.example");
    let rates = Rates { bank: bank.build()?, last: Stale::new("bank", WORTH_SHOWING) };
    Ok(Router::new().route("/rate", get(rate)).with_state(rates))
}

#[derive(Clone)]
struct Rates {
    bank: Client,
    last: Stale<Rate>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Rate {
    dollars_per_euro: f64,
}

async fn rate(State(rates): State<Rates>) -> Result<Json<Rate>, Problem> {
    let rate = async { rates.bank.get("/v1/eur-usd").send().await?.json().await };
    Ok(Json(rates.last.fresh_or_kept(rate.await, Instant::now())?))
}

/// Rates move little within a minute.
const WORTH_SHOWING: Duration = Duration::from_secs(60);

#[cfg(test)]
#[path = "../ground.rs"]
mod ground;

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::http::{HeaderMap, StatusCode};

    use super::{ground::Running, *};

    /// What the bank answers, and the heads that it saw.
    #[derive(Clone, Default)]
    struct Bank(Arc<Mutex<(bool, Vec<HeaderMap>)>>);

    async fn answer(State(bank): State<Bank>, head: HeaderMap) -> (StatusCode, &'static str) {
        let mut bank = bank.0.lock().unwrap();
        bank.1.push(head);
        if bank.0 { (StatusCode::BAD_GATEWAY, "") } else { (StatusCode::OK, "{\"dollars_per_euro\": 1.25}") }
    }

    #[tokio::test]
    async fn a_stranger_learns_the_trace_alone_and_its_last_word_is_kept() {
        let bank = Bank::default();
        let theirs = Router::new().route("/v1/eur-usd", get(answer)).with_state(bank.clone());
        let stranger = Running::start("bank", "", |_| Ok(theirs)).await;
        let toml = format!(
            "[clients.bank]\ntarget = \"http://{}\"\npolicy = {{ recovery = \"none\" }}\n",
            stranger.address
        );
        let service = Running::start("prices", &toml, routes).await;

        let asked = || service.client().get("/rate").header("x-request-id", "r-1").send();
        let page = "{\"dollars_per_euro\":1.25}".to_owned();
        assert_eq!(Running::ask(service.client().get("/rate")).await, (200, page.clone()));
        assert!(!asked().await.unwrap().headers().contains_key("platform-degraded"));
        bank.0.lock().unwrap().0 = true;
        let kept = asked().await.unwrap();
        assert_eq!(kept.headers()["platform-degraded"], "bank");
        assert_eq!(kept.text().await.unwrap(), page);

        let seen = bank.0.lock().unwrap().1.clone();
        assert_eq!(seen.len(), 3);
        for head in seen {
            assert!(head.contains_key("traceparent"));
            let ours =
                head.keys().any(|name| name.as_str().starts_with("platform-") || name == "x-request-id");
            assert!(!ours, "{head:?}");
        }
        service.stop().await;
        stranger.stop().await;
    }
}
