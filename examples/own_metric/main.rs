//! A metric of one's own, with the panel and the alert that follow from it.
//!
//! It is declared once. The code counts through the declaration, and the question of the panel and of the alert is built
//! from it, so that neither can ask for a metric that does not exist. `platform ops boards --from own_metric` writes the
//! board, `platform ops rules --from own_metric` the rules and the runbook, beside those that all services have.

use std::{process::ExitCode, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use platform_core::{
    App, Result,
    app::Builder,
    telemetry::{
        Counter, Gauge,
        catalogue::{
            Board, Catalogue, CounterSpec, GaugeSpec, Runbook, Signal, Spec as _, Unit, above, rate, sum,
        },
    },
};

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let app = parcels().start_process().await?;
    let routes = routes(&app);
    platform_http::serve(app, routes).await
}

fn parcels() -> Builder {
    App::builder("parcels").owner("team-parcels").reports_to("commerce").own(catalogue())
}

/// `parcels_waiting`: how many parcels wait to be fetched.
static WAITING: GaugeSpec<()> = GaugeSpec::new("parcels_waiting", "Parcels that wait to be fetched");
/// `parcels_fetched_total`
static FETCHED: CounterSpec<()> = CounterSpec::new("parcels_fetched", "Parcels that were fetched");

/// What is measured here, and shown.
fn catalogue() -> Catalogue {
    let signals = vec![
        Signal::new("Parcels that wait", sum(&WAITING), Unit::Count)
            .on(Board::Own)
            .ticket_when(above(100.0).for_minutes(10), SHELVES_FULL)
            .page_when(above(1_000.0).for_minutes(5), SHELVES_FULL),
        Signal::new("Parcels fetched", rate(&FETCHED), Unit::PerSecond).on(Board::Own),
    ];
    Catalogue::default().room("parcels", vec![WAITING.declared(), FETCHED.declared()], signals)
}

const SHELVES_FULL: Runbook = Runbook {
    name: "shelves-full",
    means: "More parcels come than are fetched. At a thousand the shelves are full, and customers are sent home with \
            theirs.",
    look: &[
        "\"Parcels fetched\": has it become less, or do more come?",
        "Is the carrier's lorry late? It says so itself: ask its dispatcher.",
    ],
    act: &[
        "Order a second lorry.",
        "Take the shop out of the list of places to deliver to, until it is over.",
    ],
};

#[derive(Clone)]
struct Shelves(Arc<Meters>);

/// Resolved once, so that counting looks nothing up.
struct Meters {
    waiting: Gauge,
    fetched: Counter,
}

fn routes(app: &App) -> Result<Router> {
    let meters = Meters {
        waiting: app.metrics().gauge(&WAITING).with(&()),
        fetched: app.metrics().counter(&FETCHED).with(&()),
    };
    let routes = Router::new().route("/parcels", post(bring)).route("/parcel", get(fetch));
    Ok(routes.with_state(Shelves(Arc::new(meters))))
}

async fn bring(State(shelves): State<Shelves>) -> StatusCode {
    shelves.0.waiting.inc();
    StatusCode::CREATED
}

async fn fetch(State(shelves): State<Shelves>) -> StatusCode {
    if shelves.0.waiting.value() < 1.0 {
        return StatusCode::NOT_FOUND;
    }
    shelves.0.waiting.dec();
    shelves.0.fetched.inc();
    StatusCode::OK
}

#[cfg(test)]
#[path = "../ground.rs"]
mod ground;

#[cfg(test)]
mod tests {
    use std::{env, process::Command};

    use platform_core::ops::{self, Operated, Places, Teams, Tree};

    use super::{ground::Running, *};

    /// What `platform ops` is told of it.
    async fn told() -> Operated {
        let app = parcels().start().await.expect("a good start");
        let (identity, own) = ((**app.identity()).clone(), app.own().clone());
        Operated { identity, own, ..Operated::default() }
    }

    /// What it makes of that.
    fn rules(service: &Operated) -> String {
        let tree = Tree::of([service], &Teams::new()).expect("a tree");
        let rules = ops::alerts(service, &platform_http::joined_catalogue(), &tree, &Places::default());
        rules.expect("it has an owner").yaml()
    }

    #[tokio::test]
    async fn what_is_counted_is_what_the_board_and_the_alert_ask() {
        let parcels = Running::start("parcels", "", routes).await;
        for _ in 0..3 {
            assert_eq!(Running::ask(parcels.client().post("/parcels")).await.0, 201);
        }
        assert_eq!(Running::ask(parcels.client().get("/parcel")).await.0, 200);
        let page = parcels.app.metrics().encode();
        let says = |series: &str| {
            page.lines().find(|line| line.starts_with(&format!("{series}{{"))).map(str::to_owned)
        };
        assert!(says("parcels_waiting").expect("counted").ends_with(" 2.0"), "{page}");
        assert!(says("parcels_fetched_total").expect("counted").ends_with(" 1"), "{page}");

        let service = told().await;
        let (rules, own) = (rules(&service), service.own);
        let board = own.board.expect("it shows something").text;
        assert!(board.contains("sum(parcels_waiting{") && board.contains("rate(parcels_fetched_total{"));
        assert!(own.runbooks[0].text.contains("Order a second lorry."));
        let twins = rules.matches("alert: ShelvesFull").count();
        assert_eq!(twins, 3, "a ticket, a page, and the parent's: {rules}");
        assert!(rules.contains("/d/own-parcels?var-service=parcels"), "{rules}");
        parcels.stop().await;
    }

    #[tokio::test]
    async fn prometheus_takes_the_rules_and_they_fire() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("own.yaml"), rules(&told().await)).unwrap();
        std::fs::write(place.path().join("test.yaml"), TEST).unwrap();
        for arguments in [["check", "rules", "own.yaml"], ["test", "rules", "test.yaml"]] {
            let judged = Command::new("promtool").args(arguments).current_dir(place.path()).output();
            let judged = match judged {
                Ok(judged) => judged,
                Err(error) => {
                    let required = env::var_os("PLATFORM_REQUIRE_OUTSIDE").is_some_and(|value| value == "1");
                    assert!(!required, "promtool cannot be run: {error}");
                    eprintln!("skipped: promtool cannot be run: {error}");
                    return;
                }
            };
            assert!(judged.status.success(), "{arguments:?}: {judged:?}");
        }
    }

    /// Half full for a quarter of an hour is a ticket and wakes nobody.
    const TEST: &str = r#"
rule_files: [own.yaml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - series: 'parcels_waiting{service_name="parcels", instance="a:1"}'
        values: '300x30'
      - series: 'parcels_waiting{service_name="parcels", instance="b:1"}'
        values: '300x30'
    promql_expr_test:
      - expr: count(ALERTS{alertname="ShelvesFull", severity="ticket", alertstate="firing"})
        eval_time: 15m
        exp_samples: [{ labels: '{}', value: 1 }]
      - expr: count(ALERTS{alertname="ShelvesFull", severity="page"})
        eval_time: 15m
        exp_samples: []
"#;
}
