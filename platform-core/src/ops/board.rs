//! What does a person look at?
//!
//! Five boards for Grafana, made from the signals of the rooms. They are the same for every service, which a variable
//! chooses, so that whoever has learned to read one can read all of them at three in the morning.

use serde_json::{Value, json};

use super::{Rendered, slo::BURN};
use crate::telemetry::{
    catalogue::{Alert, Board, Catalogue, Expr, Line, Runbook, Scope, Served, Signal, Unit, rate, ratio},
    log::LOG_BYTES,
};

/// The boards, as the files of a folder.
pub fn boards(catalogue: &Catalogue) -> Vec<Rendered> {
    BOARDS
        .iter()
        .map(|(board, title, about)| {
            let mut grid = Grid::default();
            let signals = |golden: bool| {
                catalogue.signals().filter(move |one| one.board() == *board && one.is_golden() == golden)
            };
            if *board == Board::Service {
                grid.row("Golden signals: traffic, errors, latency, saturation");
                let served = catalogue.served().into_iter().flat_map(golden);
                served.for_each(|signal| grid.panel(signal_panel(&signal)));
                signals(true).for_each(|signal| grid.panel(signal_panel(signal)));
                grid.row("What was promised");
                grid.panel(burn_panel());
                grid.row("Closer");
            }
            signals(false).for_each(|signal| grid.panel(signal_panel(signal)));
            if *board == Board::Runtime {
                // Which requests there are is known only where all crates are joined.
                catalogue.served().map(log_bill).iter().for_each(|signal| grid.panel(signal_panel(signal)));
            }
            if matches!(board, Board::Service | Board::Runtime) {
                grid.row("Processes: their admin pages, their owner and runbook");
                grid.wide(processes());
            }
            let uid = uid(*board, "");
            let name = format!("{}.json", uid.trim_start_matches("platform-"));
            let about = format!("{about} Made by `platform ops boards`.");
            Rendered { name, text: format!("{:#}\n", dashboard(&uid, title, &about, &grid.panels)) }
        })
        .collect()
}

/// The board of what only `service` has: the signals of a catalogue of its own, in their order.
pub(super) fn own_board(service: &str, catalogue: &Catalogue) -> Rendered {
    let mut grid = Grid::default();
    catalogue.signals().for_each(|signal| grid.panel(signal_panel(signal)));
    let about = format!("What only {service} has. Made by `platform ops boards`.");
    let text = format!("{:#}\n", dashboard(&uid(Board::Own, service), service, &about, &grid.panels));
    Rendered { name: format!("own-{service}.json"), text }
}

/// The name of a board in Grafana's addresses.
pub(super) fn uid(board: Board, service: &str) -> String {
    let shared = match board {
        Board::Service => "platform-service",
        Board::Dependencies => "platform-dependencies",
        Board::Overload => "platform-overload",
        Board::Discovery => "platform-discovery",
        Board::Runtime => "platform-runtime",
        Board::Own => return format!("own-{service}").chars().take(LONGEST_UID).collect(),
    };
    shared.to_owned()
}

/// What every service is asked first; saturation is declared by the room that knows it.
fn golden(served: &Served) -> Vec<Signal> {
    use crate::telemetry::catalogue::share;
    let by = |expr: Expr| expr.by(&["service_version"]);
    let all = || by(served.requests());
    vec![
        Signal::new("Requests", all(), Unit::PerSecond),
        Signal::new("Requests that failed", share(by(served.failures()), all()), Unit::Ratio),
        Signal::new("How long requests take", served.quantile(0.99), Unit::Seconds)
            .named("p99")
            .and("p90", served.quantile(0.9))
            .and("p50", served.quantile(0.5)),
    ]
}

/// What telling of one request costs.
fn log_bill(served: &Served) -> Signal {
    let by = |expr: Expr| expr.by(&["service_version"]);
    Signal::new("Log bytes for each request", ratio(by(rate(&LOG_BYTES)), by(served.requests())), Unit::Bytes)
        .on(Board::Runtime)
}

/// Places panels from left to right, line by line.
#[derive(Default)]
struct Grid {
    panels: Vec<Value>,
    /// Where the next panel goes.
    x: u32,
    y: u32,
}

impl Grid {
    fn panel(&mut self, panel: Value) {
        self.place(panel, WIDTH, HEIGHT);
    }

    fn wide(&mut self, panel: Value) {
        self.place(panel, FULL, HEIGHT);
    }

    fn row(&mut self, title: &str) {
        let row = json!({ "type": "row", "title": title, "collapsed": false, "panels": [] });
        self.place(row, FULL, 1);
    }

    fn place(&mut self, mut panel: Value, width: u32, height: u32) {
        if self.x + width > FULL {
            self.x = 0;
            self.y += HEIGHT;
        }
        panel["id"] = json!(self.panels.len() + 1);
        panel["gridPos"] = json!({ "x": self.x, "y": self.y, "w": width, "h": height });
        self.x += width;
        if self.x >= FULL {
            self.x = 0;
            self.y += height;
        }
        self.panels.push(panel);
    }
}

fn signal_panel(signal: &Signal) -> Value {
    let scope = scope();
    let targets: Vec<Value> = signal
        .lines()
        .iter()
        .enumerate()
        .map(|(number, Line { name, expr })| {
            let mut target = json!({
                "refId": ref_id(number), "datasource": source(), "expr": expr.promql_in(&scope),
                "legendFormat": legend(name, expr), "range": true,
            });
            if expr.has_exemplars() {
                target["exemplar"] = json!(true);
            }
            target
        })
        .collect();
    let mut panel = timeseries(signal.title(), unit(signal.unit()), &targets);
    if matches!(signal.unit(), Unit::Ratio) {
        panel["fieldConfig"]["defaults"]["min"] = json!(0);
    }
    let alerts = signal.alerts();
    if let Some(Alert { runbook, .. }) = alerts.first() {
        panel["description"] = json!(explain(runbook));
        panel["fieldConfig"]["defaults"]["thresholds"] = thresholds(alerts);
        panel["fieldConfig"]["defaults"]["custom"]["thresholdsStyle"] = json!({ "mode": "line" });
    }
    panel
}

/// How fast what may fail is used up, of whoever has promised something.
fn burn_panel() -> Value {
    let target = json!({
        "refId": "A", "datasource": source(), "expr": format!("{BURN}{{service_name=~\"$service\"}}"),
        "legendFormat": "{{service_name}} {{slo}}", "range": true,
    });
    let mut panel = timeseries("How fast the error budgets burn", "short", &[target]);
    panel["description"] = json!(
        "1 uses up what may fail exactly within the period of 30 days; 14.4 over an hour wakes somebody. Empty for a \
         service that has promised nothing, and before its rules are loaded."
    );
    panel
}

/// Who runs: a line per process, with the addresses of what to open next.
fn processes() -> Value {
    let link = |column: &str, title: &str, url: &str| {
        json!({
            "matcher": { "id": "byName", "options": column },
            "properties": [{ "id": "links", "value": [{ "title": title, "url": url, "targetBlank": true }] }],
        })
    };
    json!({
        "type": "table", "title": "Processes", "datasource": source(),
        "description": "The instance is the address of the process's admin listener.",
        "targets": [{
            "refId": "A", "datasource": source(), "format": "table", "instant": true,
            "expr": format!("{PROCESSES}{{{}}}", chosen().join(",")),
        }],
        "transformations": [{
            "id": "organize",
            "options": { "excludeByName": { "Time": true, "Value": true, "__name__": true, "job": true } },
        }],
        "fieldConfig": {
            "defaults": {},
            "overrides": [
                link("instance", "Admin page", "http://${__value.raw}/"),
                link("runbook", "Runbook", "${__value.raw}"),
            ],
        },
        "options": { "showHeader": true },
    })
}

fn timeseries(title: &str, unit: &str, targets: &[Value]) -> Value {
    json!({
        "type": "timeseries", "title": title, "datasource": source(), "targets": targets,
        "fieldConfig": {
            "defaults": { "unit": unit, "custom": { "lineWidth": 1, "fillOpacity": 5, "showPoints": "never" } },
            "overrides": [],
        },
        "options": {
            "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true },
            "tooltip": { "mode": "multi", "sort": "desc" },
        },
    })
}

fn dashboard(uid: &str, title: &str, about: &str, panels: &[Value]) -> Value {
    let variable = |name: &str, label: &str, text: &str, within: &str| {
        json!({
            "type": "query", "name": name, "label": text, "datasource": source(), "refresh": 2, "sort": 1,
            "query": { "query": format!("label_values({PROCESSES}{within}, {label})"), "refId": "variable" },
            "multi": true, "includeAll": true, "allValue": ".*", "current": { "text": "All", "value": "$__all" },
        })
    };
    json!({
        "uid": uid, "title": title, "description": about,
        "tags": ["platform"], "schemaVersion": 39, "version": 1, "editable": false, "graphTooltip": 1,
        "refresh": "10s", "time": { "from": "now-1h", "to": "now" }, "timezone": "browser",
        "links": [{
            "type": "dashboards", "title": "Boards", "tags": ["platform"], "asDropdown": false,
            "includeVars": true, "keepTime": true,
        }],
        "annotations": { "list": [] },
        "templating": { "list": [
            {
                "type": "datasource", "name": "source", "label": "Source", "query": "prometheus", "regex": "",
                "current": {}, "refresh": 1,
            },
            variable("service", "service_name", "Service", ""),
            variable("version", "service_version", "Version", "{service_name=~\"$service\"}"),
            variable("zone", "zone", "Zone", "{service_name=~\"$service\"}"),
        ] },
        "panels": panels,
    })
}

/// What the variables choose, in every question.
fn scope() -> Scope {
    VARIABLES
        .iter()
        .fold(Scope::over("$__rate_interval"), |scope, (label, variable)| scope.chosen(label, variable))
}

fn chosen() -> Vec<String> {
    VARIABLES.iter().map(|(label, variable)| format!("{label}=~\"${variable}\"")).collect()
}

fn source() -> Value {
    json!({ "type": "prometheus", "uid": "${source}" })
}

fn legend(name: &str, expr: &Expr) -> String {
    let labels = expr.labels().into_iter().map(|label| format!("{{{{{label}}}}}"));
    let all: Vec<String> =
        Some(name.to_owned()).filter(|name| !name.is_empty()).into_iter().chain(labels).collect();
    if all.is_empty() { "all".to_owned() } else { all.join(" ") }
}

fn ref_id(number: usize) -> String {
    // No panel has more questions than there are letters.
    let letter = u8::try_from(number).ok().and_then(|number| b'A'.checked_add(number)).unwrap_or(b'Z');
    char::from(letter).to_string()
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Bytes => "bytes",
        Unit::BytesPerSecond => "Bps",
        Unit::Count => "short",
        Unit::PerSecond => "cps",
        Unit::Ratio => "percentunit",
        Unit::Seconds => "s",
    }
}

/// Grafana's steps go upwards, each from its value on, and the first from everywhere.
fn thresholds(alerts: &[Alert]) -> Value {
    let mut bad: Vec<(f64, &str)> =
        alerts.iter().map(|one| (one.when.bound(), if one.page { "red" } else { "orange" })).collect();
    bad.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let bounds = bad.iter().map(|(bound, _)| json!(bound));
    let colors = bad.iter().map(|(_, color)| *color);
    let steps: Vec<Value> = if alerts.iter().any(|one| one.when.is_below()) {
        steps(std::iter::once(Value::Null).chain(bounds), colors.chain([GOOD]))
    } else {
        steps(std::iter::once(Value::Null).chain(bounds), std::iter::once(GOOD).chain(colors))
    };
    json!({ "mode": "absolute", "steps": steps })
}

fn steps<'a>(from: impl Iterator<Item = Value>, colors: impl Iterator<Item = &'a str>) -> Vec<Value> {
    from.zip(colors).map(|(from, color)| json!({ "color": color, "value": from })).collect()
}

/// The runbook, for who moves over the panel's corner.
fn explain(runbook: &Runbook) -> String {
    let Runbook { name, means, look, act } = runbook;
    let list = |points: &[&str]| points.iter().map(|point| format!("- {point}\n")).collect::<String>();
    format!("**{name}**: {means}\n\nLook:\n{}\nAct:\n{}", list(look), list(act))
}

/// Every board, in the order of a person's questions.
const BOARDS: [(Board, &str, &str); 5] = [
    (Board::Service, "Service", "Is it well, and since when?"),
    (Board::Dependencies, "Dependencies", "Who hurts it, and what is done about that?"),
    (Board::Overload, "Overload", "What is turned away, and what is done without?"),
    (Board::Discovery, "Discovery", "Whom does it know, and how fresh is that?"),
    (Board::Runtime, "Runtime", "What do its processes use, write and lose?"),
];
const VARIABLES: [(&str, &str); 3] =
    [("service_name", "service"), ("service_version", "version"), ("zone", "zone")];
/// What a value is that calls nobody.
const GOOD: &str = "green";
/// Grafana refuses longer ones.
const LONGEST_UID: usize = 40;
/// Every process has one.
const PROCESSES: &str = "platform_service_info";
/// Grafana's grid, and ours on it: three panels beside each other can be read on a laptop.
const FULL: u32 = 24;
const WIDTH: u32 = 8;
const HEIGHT: u32 = 8;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn read(board: &Rendered) -> Value {
        serde_json::from_str(&board.text).unwrap()
    }

    #[test]
    fn ids_are_told_apart_and_no_panel_covers_another() {
        for board in boards(&crate::catalogue()) {
            let value = read(&board);
            let mut ids = BTreeSet::new();
            let mut covered = BTreeSet::new();
            for panel in value["panels"].as_array().unwrap() {
                assert!(ids.insert(panel["id"].as_u64().unwrap()), "{}", board.name);
                let of = |side: &str| panel["gridPos"][side].as_u64().unwrap();
                assert!(of("x") + of("w") <= 24 && of("w") > 0 && of("h") > 0);
                for x in of("x")..of("x") + of("w") {
                    for y in of("y")..of("y") + of("h") {
                        assert!(covered.insert((x, y)), "{} at {x}, {y}: {panel}", board.name);
                    }
                }
            }
        }
    }

    #[test]
    fn every_question_asks_the_source_and_the_service_that_were_chosen() {
        let boards = boards(&crate::catalogue());
        assert_eq!(
            boards.iter().map(|board| read(board)["uid"].to_string()).collect::<BTreeSet<_>>().len(),
            5
        );
        for board in &boards {
            let value = read(board);
            let names: Vec<_> =
                value["templating"]["list"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
            assert_eq!(names, ["source", "service", "version", "zone"]);
            for panel in value["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row") {
                assert_eq!(panel["datasource"]["uid"], "${source}");
                for target in panel["targets"].as_array().unwrap() {
                    assert_eq!(target["datasource"]["uid"], "${source}");
                    let expr = target["expr"].as_str().unwrap();
                    assert!(expr.contains("service_name=~\"$service\""), "{expr}");
                }
            }
        }
    }

    #[test]
    fn what_gets_worse_changes_its_colour_in_the_right_order() {
        use crate::telemetry::catalogue::{Threshold, above, below};
        const BAD: Runbook = Runbook { name: "bad", means: "", look: &[], act: &[] };
        let alert = |page, when: Threshold| Alert { when, page, runbook: BAD };
        let told = |alerts: &[Alert]| {
            let value = thresholds(alerts);
            let step = |step: &Value| (step["value"].as_f64(), step["color"].as_str().unwrap().to_owned());
            value["steps"].as_array().unwrap().iter().map(step).collect::<Vec<_>>()
        };
        let expect = |steps: &[(Option<f64>, &str)]| {
            steps.iter().map(|(from, color)| (*from, (*color).to_owned())).collect::<Vec<_>>()
        };
        assert_eq!(
            told(&[alert(false, below(14.0)), alert(true, below(2.0))]),
            expect(&[(None, "red"), (Some(2.0), "orange"), (Some(14.0), "green")])
        );
        assert_eq!(
            told(&[alert(true, above(9.0)), alert(false, above(5.0))]),
            expect(&[(None, "green"), (Some(5.0), "orange"), (Some(9.0), "red")])
        );
        assert_eq!(told(&[alert(true, below(1.0))]), expect(&[(None, "red"), (Some(1.0), "green")]));
    }

    #[test]
    fn lines_are_called_by_what_tells_them_apart() {
        static OPEN: crate::telemetry::catalogue::GaugeSpec<()> =
            crate::telemetry::catalogue::GaugeSpec::new("open", "Open");
        let open = crate::telemetry::catalogue::max(&OPEN);
        assert_eq!(legend("", &open), "all");
        assert_eq!(legend("p99", &open), "p99");
        assert_eq!(legend("p99", &open.by(&["zone", "variant"])), "p99 {{zone}} {{variant}}");
    }
}
