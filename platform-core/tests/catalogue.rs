//! Promise: what is scraped is declared, and what is declared is scraped.

use std::{collections::BTreeMap, time::Duration};

use platform_core::{
    identity::Identity,
    telemetry::{
        Settings, Telemetry,
        catalogue::{CONSTANT_LABELS, Declared, Kind, Scope},
        log::{Captured, Output},
    },
};

/// Label names of every family in a scrape, without the constant ones and `le`.
fn scraped(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut families = BTreeMap::new();
    let mut family = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split(' ').next().expect("a split has a first part");
            families.insert(family.to_owned(), Vec::new());
        } else if !line.starts_with('#') {
            let (_, labels) = line.split_once('{').expect("every series has constant labels");
            let names = labels.split("=\"").filter_map(|part| part.rsplit([',', '{']).next());
            let own = names.map(str::to_owned).filter(|name| {
                name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
                    && name != "le"
                    && !name.is_empty()
                    && !CONSTANT_LABELS.contains(&name.as_str())
            });
            families.insert(family.to_owned(), own.collect());
        }
    }
    families
}

#[tokio::test]
async fn every_scraped_name_and_label_is_in_the_catalogue() {
    let identity = Identity { name: "orders".to_owned(), ..Identity::default() };
    let output = Output::to(Captured::default());
    let telemetry = Telemetry::new(&Settings::default(), &identity, output).unwrap();
    telemetry.flush(Duration::from_secs(5)).await.unwrap();
    let core = platform_core::catalogue();
    let declared: BTreeMap<&str, &Declared> = core.metrics().map(|known| (known.name, known)).collect();
    let scraped = scraped(&telemetry.metrics.encode());
    for (family, labels) in &scraped {
        let known =
            declared.get(family.as_str()).unwrap_or_else(|| panic!("{family} is not in the catalogue"));
        assert_eq!(labels, known.labels, "{family}");
    }
    let ours = core.rooms().iter().find(|room| room.name == "telemetry").unwrap();
    for Declared { name, kind, .. } in &ours.metrics {
        let on_this_machine = cfg!(target_os = "linux") || !name.starts_with("process_");
        assert!(scraped.contains_key(*name) || !on_this_machine, "{name} ({kind:?}) is never scraped");
    }
}

#[test]
fn every_signal_reads_as_promql_over_known_series() {
    let core = platform_core::catalogue();
    core.check().unwrap();
    for signal in core.signals() {
        let text = signal.expr().promql("5m");
        let depth = |open: char, close: char| {
            text.chars().fold(0_i32, |depth, c| depth + i32::from(c == open) - i32::from(c == close))
        };
        assert_eq!((depth('(', ')'), depth('[', ']'), depth('{', '}')), (0, 0, 0), "{text}");
        for metric in signal.expr().metrics() {
            assert!(text.contains(metric.name), "{text}");
            assert!(metric.kind != Kind::Counter || text.contains(&metric.series()), "{text}");
        }
        for alert in signal.alerts() {
            let book = alert.runbook;
            assert!(!book.means.is_empty() && !book.look.is_empty() && !book.act.is_empty(), "{}", book.name);
            assert!(signal.condition(alert.when, &Scope::over("5m")).starts_with(&text));
        }
    }
}
