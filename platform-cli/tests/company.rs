//! A whole company's alerts and routes, judged by Prometheus' and Alertmanager's own programs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod judges;

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use judges::judged;
use tempfile::TempDir;

/// Two teams and their managers, and what they answer for.
fn company() -> TempDir {
    let folder = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    file(
        "services/orders/platform.toml",
        r#"
        [service]
        name = "orders"
        owner = "team-orders"
        reports_to = "commerce"
        runbook = "https://runbooks.example/orders"
        why = "takes orders"
        [clients.inventory]
        [clients.maps]
        target = "https://maps.example"
        [slo]
        availability = 0.999
        latency = { bound = "300ms", share = 0.9 }
        "#,
    );
    file(
        "services/inventory/platform.toml",
        "[service]\nname = \"inventory\"\nowner = \"team-stock\"\nreports_to = \"commerce\"\n[slo]\navailability = 0.9995",
    );
    file(
        "company.toml",
        r#"
        [teams.commerce]
        reports_to = "product"
        page = "http://127.0.0.1:9/commerce/page"
        ticket = "http://127.0.0.1:9/commerce/ticket"
        [teams.team-orders]
        page = "http://127.0.0.1:9/orders/page"
        "#,
    );
    folder
}

fn ops(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_platform"));
    command.arg("ops").args(arguments).current_dir(folder).output().unwrap()
}

fn made(folder: &Path, arguments: &[&str]) -> String {
    let out = ops(folder, arguments);
    assert!(out.status.success(), "{out:?}");
    String::from_utf8(out.stdout).unwrap() + &String::from_utf8(out.stderr).unwrap()
}

#[test]
fn a_company_is_written_checked_and_judged() {
    let company = company();
    let folder = company.path();
    let missing = ops(folder, &["rules", ".", "--check"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&missing.stdout).contains("missing   ops/rules/orders.yaml"),
        "{missing:?}"
    );
    assert!(!folder.join("ops").exists(), "a check writes nothing");

    let said = made(folder, &["rules", "."]);
    assert!(said.contains("wrote    ops/rules/inventory.yaml\n"), "{said}");
    assert!(
        said.contains("note: orders: latency: no page for the windows 1h and 5m"),
        "a dead alert is told: {said}"
    );
    assert!(said.contains("wrote    ops/runbooks/breaker-open.md\n"), "{said}");
    made(folder, &["rules", ".", "--check"]);
    let rules = fs::read_to_string(folder.join("ops/rules/orders.yaml")).unwrap();
    fs::write(folder.join("ops/rules/orders.yaml"), rules.replace("0.0144", "0.5")).unwrap();
    let different = ops(folder, &["rules", ".", "--check"]);
    assert_eq!(different.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&different.stdout), "different ops/rules/orders.yaml\n");
    assert!(made(folder, &["rules", "."]).contains("replaced ops/rules/orders.yaml\n"));

    let rules = ["check", "rules", "ops/rules/orders.yaml", "ops/rules/inventory.yaml"];
    if let Some(said) = judged(folder, "promtool", &rules) {
        assert!(said.matches("SUCCESS").count() == 2, "{said}");
    }
}

#[test]
fn pages_go_to_the_team_and_later_up_the_chain() {
    let company = company();
    let folder = company.path();
    let said = made(folder, &["alertmanager", "."]);
    assert!(said.contains("note: team-stock has no `page`, so commerce gets its pages"), "{said}");
    let file = "ops/alertmanager.yaml";
    if judged(folder, "amtool", &["check-config", file]).is_none() {
        return;
    }
    for (receiver, labels) in [
        ("team-orders-page", &["team=team-orders", "severity=page", "service=orders"][..]),
        ("commerce-ticket", &["team=team-orders", "severity=ticket"]),
        ("commerce-page", &["team=commerce", "owner=team-orders", "severity=page", "escalation=parent"]),
        ("commerce-page", &["team=team-stock", "severity=page"]),
        ("product-page", &["team=product", "severity=page", "escalation=parent"]),
        ("unrouted", &["alertname=SomebodyElses"]),
    ] {
        let verify = format!("--verify.receivers={receiver}");
        let config = format!("--config.file={file}");
        let arguments = [&["config", "routes", "test", &config, &verify], labels].concat();
        judged(folder, "amtool", &arguments);
    }
}

#[test]
fn the_companys_catalog_names_owners_parents_and_dependencies() {
    let company = company();
    made(company.path(), &["catalog", ".", "--grafana", "https://grafana.example"]);
    let read = |name: &str| fs::read_to_string(company.path().join("ops/catalog").join(name)).unwrap();
    let orders = read("orders.yaml");
    assert!(orders.contains("  dependsOn:\n    - 'component:inventory'\n  lifecycle"), "{orders}");
    assert!(
        orders.contains("url: 'https://grafana.example/d/platform-service?var-service=orders'"),
        "{orders}"
    );
    assert!(read("teams.yaml").contains(
        "name: commerce\nspec:\n  children:\n    - team-orders\n    - team-stock\n  parent: product"
    ));
}

/// By hand. What orders promised leaves a budget of one request in a thousand.
#[test]
fn an_alert_burns_and_stays_silent_as_computed_by_hand() {
    let company = company();
    let folder = company.path();
    made(folder, &["rules", "."]);
    let file = format!(
        "rule_files: [ops/rules/orders.yaml]\nevaluation_interval: 1m\ntests:\n{}{}{}{}{}{}{}",
        two_in_a_hundred_fail(),
        one_in_two_thousand_fails(),
        a_single_request_fails(),
        a_blip_is_over(),
        a_certificate_ends(15, ""),
        a_certificate_ends(13, "ticket"),
        a_certificate_ends(1, "page ticket"),
    );
    fs::write(folder.join("test.yaml"), file).unwrap();
    if let Some(said) = judged(folder, "promtool", &["test", "rules", "test.yaml"]) {
        assert!(said.contains("SUCCESS"), "{said}");
    }
}

/// Twenty times the budget, 12 failures a minute. Page and ticket fire for the owner; when the page has fired for half
/// an hour, for the parent too, and after an hour for the parent's parent.
fn two_in_a_hundred_fail() -> String {
    let alert = |team: &str, severity: &str, escalation: &str, within: &str| {
        format!(
            "          - exp_labels: {{ service_name: orders, service: orders, owner: team-orders, team: {team}, \
             severity: {severity}, slo: availability{escalation} }}\n            exp_annotations:\n              \
             summary: 'orders breaks its promise that 99.9 % of requests are not failed: at 2% its budget of 30 days is \
             gone {within}'\n              runbook: 'https://runbooks.example/orders#error-budget-burn'\n              \
             board: '/d/platform-service?var-service=orders'\n              worst_version: '2'\n              \
             admin: 'http://b:1/'\n"
        )
    };
    let page = |team, escalation| alert(team, "page", escalation, "within days");
    let parent = ", escalation: parent";
    let own = page("team-orders", "") + &alert("team-orders", "ticket", "", "before they are over");
    let with_parent = page("commerce", parent) + &own;
    let with_both = page("product", parent) + &with_parent;
    let asked = [("20m", own), ("55m", with_parent), ("85m", with_both)].map(|(at, alerts)| {
        format!("      - eval_time: {at}\n        alertname: ErrorBudgetBurn\n        exp_alerts:\n{alerts}")
    });
    format!("{}    alert_rule_test:\n{}", series("0+588x120", "0+12x120"), asked.concat())
}

/// Half of the budget.
fn one_in_two_thousand_fails() -> String {
    let silent = "      - eval_time: 6h\n        alertname: ErrorBudgetBurn\n";
    format!("{}    alert_rule_test:\n{silent}", series("0+1999x400", "0+1x400"))
}

/// All of the requests, and it is one: fewer failures than five wake nobody, also in the first minutes of a service, when
/// the mean of an hour is that of a minute.
fn a_single_request_fails() -> String {
    let silent =
        ["4m", "7m"].map(|at| format!("      - eval_time: {at}\n        alertname: ErrorBudgetBurn\n"));
    format!("{}    alert_rule_test:\n{}", series("0x60", "0x1 1x58"), silent.concat())
}

/// Nine minutes of nothing but failures within an hour are a page while they last, and none an hour later, although the
/// hour's 15 % are still above its 1.44 %: the last minutes were well. The day's ticket stays.
fn a_blip_is_over() -> String {
    let firing = |at: &str, severity: &str, number: u32| {
        format!(
            "      - expr: count(ALERTS{{alertstate=\"firing\",slo=\"availability\",team=\"team-orders\",severity=\"{severity}\"}}) \
             or vector(0)\n        eval_time: {at}\n        exp_samples: [{{ labels: '{{}}', value: {number} }}]\n"
        )
    };
    let asked = [("59m", "page", 0), ("66m", "page", 1), ("118m", "page", 0), ("118m", "ticket", 1)];
    let asked = asked.map(|(at, severity, number)| firing(at, severity, number));
    let series = series("0+600x60 36000x8 36000+600x60", "0x60 600+600x8 5400x61");
    format!("{series}    promql_expr_test:\n{}", asked.concat())
}

/// In so many days, of one that has to be renewed two weeks before its end. Time begins at 0 there, and two instances show
/// it, of which one has renewed it.
fn a_certificate_ends(days: u64, severities: &str) -> String {
    let shown = [("not_after_timestamp_seconds", "a:1", days), ("not_after_timestamp_seconds", "b:1", 90)];
    let renewed = [("renewal_seconds", "a:1", 14), ("renewal_seconds", "b:1", 14)];
    let series: String = [shown, renewed]
        .concat()
        .iter()
        .map(|(metric, instance, days)| {
            format!(
                "      - series: 'platform_tls_{metric}{{service_name=\"orders\",\
                 certificate=\"server.tls.cert\",instance=\"{instance}\"}}'\n        values: '{}x5'\n",
                days * 86_400
            )
        })
        .collect();
    let asked = ["page", "ticket"].map(|severity| {
        format!(
            "      - expr: count(ALERTS{{alertname=\"CertificateEnds\",certificate=\"server.tls.cert\",\
             alertstate=\"firing\",team=\"team-orders\",severity=\"{severity}\"}}) or vector(0)\n        \
             eval_time: 2m\n        exp_samples: [{{ labels: '{{}}', value: {} }}]\n",
            u8::from(severities.contains(severity))
        )
    });
    format!("  - interval: 1m\n    input_series:\n{series}    promql_expr_test:\n{}", asked.concat())
}

/// Requests that were answered by version 1, and such that version 2 failed, a reading each minute.
fn series(well: &str, failed: &str) -> String {
    let count = |labels: &str, values: &str| {
        format!(
            "      - series: 'http_server_request_duration_seconds_count{{service_name=\"orders\",{labels}}}'\n        \
             values: '{values}'\n"
        )
    };
    let well = count("service_version=\"1\",instance=\"a:1\",http_response_status_code=\"200\"", well);
    let failed = count("service_version=\"2\",instance=\"b:1\",http_response_status_code=\"500\"", failed);
    format!("  - interval: 1m\n    input_series:\n{well}{failed}")
}
