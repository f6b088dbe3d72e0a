//! `platform check`: every message, by an input that is broken in that way.

mod ground;

use std::{fs, path::Path};

use ground::platform_in;
use serde_json::Value;

const OWNED: &str = "[service]\nowner = \"team-a\"\n";

/// Writes each file into a service's folder, and asks. Status and what was printed.
fn check(files: &[(&str, &str)], more: &[&str]) -> (Option<i32>, String) {
    let place = tempfile::tempdir().expect("a folder");
    for (service, text) in files {
        let folder = place.path().join(service);
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("platform.toml"), format!("{OWNED}{text}")).expect("a file");
    }
    asked(place.path(), more)
}

fn asked(folder: &Path, more: &[&str]) -> (Option<i32>, String) {
    let out = platform_in(folder, &[&["check"], more].concat());
    let told = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    (out.status.code(), told)
}

#[test]
fn what_is_wrong_in_a_file_is_told_with_its_place() {
    for (text, told, place, underlined) in [
        ("[server]\nlisten = 8080\n", "must be a text", "4:1", "listen = 8080"),
        ("[server]\nlisen = \"a\"\n", "did you mean `server.listen`?", "4:1", "lisen = \"a\""),
        ("[sever]\nlisten = \"a\"\n", "unknown section `sever`; did you mean `server`?", "3:1", "[sever]"),
        ("[lifecycle]\ngrace = \"20\"\n", "`lifecycle.grace`", "4:1", "grace = \"20\""),
        ("[lifecycle]\ngrace = 20s\n", "this is not TOML", "4:1", "grace = 20s"),
        ("[admin]\nlisten = \"here\"\n", "`admin.listen`", "4:1", "listen = \"here\""),
        (
            "[discovery]\nregister = { lease = \"10s\", renew = \"9s\" }\n",
            "more than half of the lease",
            "4:29",
            "renew = \"9s\"",
        ),
        ("[telemetry]\ntraces = { ratio = 2.0 }\n", "`telemetry.traces.ratio`", "4:12", "ratio = 2.0"),
        ("[service]\n", "this is not TOML", "3:1", "[service]"),
        (
            "[clients.stock]\npolicy = { retry = { max_attempts = 9 } }\n",
            "`clients.stock.policy.retry.max_attempts`",
            "4:22",
            "max_attempts = 9",
        ),
        (
            "[clients.stock]\npolicy = { timeout = \"1s\", attempt_timeout = \"2s\" }\n",
            "longer than the whole call",
            "4:28",
            "attempt_timeout = \"2s\"",
        ),
        ("[clients.stock]\ntarget = \"ftp://x\"\n", "`clients.stock.target`", "4:1", "target = \"ftp://x\""),
        ("[clients.Stock]\n", "did you mean `stock`?", "3:1", "[clients.Stock]"),
        ("[defaults]\ntarget = \"stock\"\n", "would send every client", "", ""),
        ("[defaults.policy]\nbreaker = { min_calls = 0 }\n", "min_calls", "4:13", "min_calls = 0"),
        (
            "[clients.stock]\npreset = \"interactive\"\npolicy = { budget = { ratio = 0.0 } }\n",
            "there is no budget for a hedge",
            "5:23",
            "ratio = 0.0",
        ),
        (
            "[clients.stock]\npreset = \"interactive\"\npolicy = { hedge = { extra = 0.4 } }\n",
            "hedges would spend what repeats need",
            "5:22",
            "extra = 0.4",
        ),
        ("[profile.dev.lifecycle]\ngrace = \"soon\"\n", "`lifecycle.grace`", "4:1", "grace = \"soon\""),
    ] {
        let (status, said) = check(&[("orders", text)], &[]);
        assert_eq!(status, Some(1), "{text}: {said}");
        assert!(said.contains("error: ") && said.contains(told), "{text}: {said}");
        assert!(said.ends_with("1 file: 1 error\n"), "{text}: {said}");
        if !place.is_empty() {
            assert!(said.contains(&format!("--> ./orders/platform.toml:{place}\n")), "{text}: {said}");
            let lines: Vec<&str> = said.lines().collect();
            let carets = lines.iter().position(|line| line.contains('^')).expect("something is underlined");
            let (from, to) = (lines[carets].find('^'), lines[carets].rfind('^'));
            let (from, to) = (from.expect("a caret"), to.expect("a caret"));
            assert_eq!(&lines[carets - 1][from..=to], underlined, "{said}");
        }
    }
}

#[test]
fn several_problems_are_several_findings() {
    let (status, said) =
        check(&[("orders", "[server]\nlisen = \"a\"\n[lifecycle]\ngrace = \"x\"\nflush = \"y\"\n")], &[]);
    assert_eq!(status, Some(1));
    assert!(said.ends_with("1 file: 3 errors\n"), "{said}");
}

#[test]
fn nobody_owns_it() {
    let place = tempfile::tempdir().expect("a folder");
    fs::write(place.path().join("platform.toml"), "[service]\nname = \"orders\"\nversion = \"1\"\n")
        .expect("a file");
    let (status, said) = asked(place.path(), &[]);
    assert_eq!(status, Some(1));
    assert!(said.contains("nobody owns orders") && said.contains("platform.toml:1:1"), "{said}");
}

#[test]
fn what_services_do_to_each_other_is_told_with_both_places() {
    let waits = |name: &str, limit: &str| format!("[clients.{name}]\npolicy = {{ timeout = \"{limit}\" }}\n");
    let fast = waits("stock", "1s");
    let (slow, alike, good) = (waits("depot", "2s"), waits("depot", "1s"), waits("depot", "800ms"));
    let endless = "[clients.depot]\npolicy = { timeout = \"none\" }\n";
    for (text, told) in [
        (slow.as_str(), "stock waits 2s for depot, and orders waits 1s for stock"),
        (&alike, "stock waits 1s for depot, and orders waits 1s for stock"),
        (endless, "stock waits for ever for depot"),
        ("[clients.depot]\n", "stock waits 10s for depot"),
    ] {
        let (status, said) = check(&[("orders", &fast), ("stock", text), ("depot", "")], &[]);
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains(told), "{said}");
        assert!(
            said.contains("--> ./stock/platform.toml:") && said.contains("--> ./orders/platform.toml:4:12"),
            "{said}"
        );
        assert!(said.contains("note: orders waits for stock here"), "{said}");
        assert!(said.ends_with("3 files: 1 error\n"), "{said}");
    }
    let (status, said) = check(&[("orders", &fast), ("stock", &good), ("depot", "")], &[]);
    assert_eq!(status, Some(0), "{said}");
    // Limits that nobody set are alike, and no mistake.
    let (status, said) =
        check(&[("orders", "[clients.stock]\n"), ("stock", "[clients.depot]\n"), ("depot", "")], &[]);
    assert_eq!((status, said.as_str()), (Some(0), "3 files: fine\n"));
}

#[test]
fn attempts_that_multiply_are_found() {
    let stranger = "[clients.stock]\ntarget = \"http://stock.shop.svc:8080\"\n";
    let files = [("orders", stranger), ("stock", "[clients.depot]\n"), ("depot", "")];
    let (status, said) = check(&files, &[]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("3 attempts here and 3 there are 9 at depot"), "{said}");
    assert!(said.contains("--> ./orders/platform.toml:4:1"), "{said}");
    let once = format!("{stranger}policy = {{ recovery = \"none\" }}\n");
    let (status, said) = check(&[("orders", &once), files[1], files[2]], &[]);
    assert_eq!(status, Some(0), "{said}");

    let generous = |name: &str| format!("[clients.{name}]\npolicy = {{ budget = {{ ratio = 0.5 }} }}\n");
    let (orders, stock) = (generous("stock"), generous("depot"));
    let (status, said) = check(&[("orders", &orders), ("stock", &stock), ("depot", "")], &[]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("orders → stock → depot") && said.contains("2.2 times for each request"), "{said}");
    assert!(said.contains("--> ./stock/platform.toml:4:23"), "{said}");
}

#[test]
fn a_circle_is_found_once_and_so_is_a_name_that_two_have() {
    let files = [("orders", "[clients.stock]\n"), ("stock", "[clients.orders]\n")];
    let (status, said) = check(&files, &[]);
    assert_eq!(status, Some(1));
    assert!(
        said.contains("orders → stock → orders is a circle") && said.ends_with("2 files: 1 error\n"),
        "{said}"
    );

    let (status, said) = check(&[("a/orders", ""), ("b/orders", "")], &[]);
    assert_eq!(status, Some(1));
    assert!(said.contains("two services are called orders"), "{said}");
}

#[test]
fn a_script_reads_it_as_data() {
    let (status, said) = check(&[("orders", "[server]\nlisen = \"a\"\n")], &["--json"]);
    assert_eq!(status, Some(1));
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(said["findings"][0]["at"]["line"], 4);
    assert_eq!(said["findings"][0]["at"]["column"], 1);
    let (status, said) = check(&[("orders", "")], &["--json"]);
    assert_eq!(status, Some(0));
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(
        (&said["findings"], &said["files"][0]),
        (&Value::Array(vec![]), &Value::from("./orders/platform.toml"))
    );
}

#[test]
fn asked_wrongly_it_ends_with_2() {
    let place = tempfile::tempdir().expect("a folder");
    for (more, told) in
        [(&[][..], "there is no platform.toml"), (&["nowhere"], "nowhere"), (&["--yaml"], "is no flag")]
    {
        let (status, said) = asked(place.path(), more);
        assert_eq!(status, Some(2), "{said}");
        assert!(said.contains(told), "{said}");
    }
}
