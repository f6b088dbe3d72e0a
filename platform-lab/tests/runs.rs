//! The lab as a person runs it.

use std::process::{Command, Output};

fn lab(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_platform-lab"))
        .args(arguments)
        .output()
        .expect("cargo has built the lab")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the lab writes text")
}

#[test]
fn no_name_or_a_wrong_one_lists_what_can_be_measured() {
    for arguments in [&[][..], &["sever"], &["server", "--rouns", "3"], &["serve", "apache"]] {
        let output = lab(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let said = text(&output.stderr);
        assert!(
            said.contains("  server      CPU, user instructions and allocations"),
            "{arguments:?}: {said}"
        );
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_quick_run_ends_with_results_of_every_variant() {
    let output = lab(&["server", "--quick", "--rounds", "1", "--connections", "8", "--without-peers"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    let (_, results) = said.split_once("\n\n").and_then(|(_, rest)| rest.split_once("\n\n")).unwrap();
    assert!(results.lines().all(|line| line.starts_with("result: ")), "{said}");
    for key in ["server_cpu_us", "server_allocations"] {
        let of = |variant| {
            let line =
                results.lines().find_map(|line| line.strip_prefix(&format!("result: {key}_{variant} ")));
            line.and_then(|value| value.parse::<f64>().ok()).unwrap_or_else(|| panic!("{key}: {said}"))
        };
        assert!(of("hyper") > 0.0, "{said}");
        // More code can be slower or not in so short a run; more allocations are certain.
        assert!(key != "server_allocations" || of("axum") > of("hyper"), "{said}");
    }
}
