//! A metric of one's own, with the panel and the alert that follow from it.
//!
//! It is declared once. The code counts through the declaration, and the question of the panel and of the alert is built
//! from it, so that neither can ask for a metric that does not exist. `own_metric --ops FOLDER` writes the board, the rules
//! and the runbook; they stand beside those that `platform ops` makes, which are alike for every service.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use platform_core::{
    App, Error, ErrorKind, Result,
    ops::{self, Operated, Places, Rendered, Teams, Tree},
    telemetry::{
        Counter, Gauge,
        catalogue::{
            Board, Catalogue, CounterSpec, GaugeSpec, Runbook, Signal, Spec as _, Unit, above, rate, sum,
        },
    },
};

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = folder(&mut arguments)?;
    let app = App::builder("parcels").owner("team-parcels").reports_to("commerce").arguments(arguments);
    let app = app.start_process().await?;
    if let Some(folder) = folder {
        write(&folder, &pack(&app)?).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let routes = routes(&app);
    platform_http::serve(app, routes).await
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

/// What the person on call gets of it, as files.
fn pack(app: &App) -> Result<Vec<Rendered>> {
    let own = catalogue();
    own.check()?;
    // Its promises and its dependencies are the business of `platform ops`.
    let service = Operated { identity: (**app.identity()).clone(), ..Operated::default() };
    let name = service.identity.name.clone();
    let tree = Tree::of([&service], &Teams::new())?;
    let rules = ops::alerts(&service, &own, &tree, &Places::default())?;
    let runbook = ops::runbooks(&own).into_iter().filter(|page| page.name == "shelves-full.md");
    let mut files =
        vec![ops::own_board(&name, &own), Rendered { name: "own.yaml".to_owned(), text: rules.yaml() }];
    files.extend(runbook);
    Ok(files)
}

async fn write(folder: &Path, files: &[Rendered]) -> Result<()> {
    let failed = |path: &Path, error| Error::config(format!("{}: {error}", path.display()));
    tokio::fs::create_dir_all(folder).await.map_err(|error| failed(folder, error))?;
    for Rendered { name, text } in files {
        let path = folder.join(name);
        tokio::fs::write(&path, text).await.map_err(|error| failed(&path, error))?;
    }
    Ok(())
}

/// Takes `--ops FOLDER`; everything else is the platform's.
fn folder(arguments: &mut Vec<String>) -> Result<Option<PathBuf>> {
    let Some(at) = arguments.iter().position(|argument| argument == "--ops") else { return Ok(None) };
    let mut taken = arguments.drain(at..(at + 2).min(arguments.len())).skip(1);
    let folder = taken.next().map(PathBuf::from);
    folder.map(Some).ok_or_else(|| Error::new(ErrorKind::Usage, "--ops needs a folder"))
}

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

    use super::{ground::Running, *};

    async fn app() -> App {
        let app = App::builder("parcels").owner("team-parcels").reports_to("commerce");
        app.start().await.expect("a good start")
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

        let files = pack(&app().await).expect("it can be rendered");
        let [board, rules, runbook] = files.as_slice() else { panic!("three files") };
        assert!(
            board.text.contains("sum(parcels_waiting{") && board.text.contains("rate(parcels_fetched_total{")
        );
        assert_eq!(
            rules.text.matches("alert: ShelvesFull").count(),
            3,
            "a ticket, a page, and the parent's: {}",
            rules.text
        );
        assert!(rules.text.contains("/d/own-parcels?var-service=parcels"), "{}", rules.text);
        assert!(runbook.text.contains("Order a second lorry."));
        parcels.stop().await;
    }

    #[tokio::test]
    async fn prometheus_takes_the_rules_and_they_fire() {
        let place = tempfile::tempdir().unwrap();
        write(place.path(), &pack(&app().await).unwrap()).await.unwrap();
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

    #[test]
    fn its_own_flag_is_taken_and_the_rest_handed_on() {
        let mut arguments = ["--check", "--ops", "ops/own", "--set", "a=b"].map(str::to_owned).to_vec();
        assert_eq!(folder(&mut arguments).unwrap(), Some("ops/own".into()));
        assert_eq!(arguments, ["--check", "--set", "a=b"]);
        let error = folder(&mut vec!["--ops".to_owned()]).unwrap_err();
        assert_eq!((error.kind(), error.detail()), (ErrorKind::Usage, "--ops needs a folder"));
    }
}
