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
    for arguments in
        [&[][..], &["sever"], &["server", "--rouns", "3"], &["serve", "apache"], &["call", "curl"]]
    {
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

#[test]
fn a_quick_run_of_the_client_ends_with_results_of_every_kind() {
    // Valgrind takes a minute over all calls of a debug build; the server's run above has it.
    let output = lab(&["client", "--quick", "--rounds", "1", "--without-peers", "--without-instructions"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    let value = |key: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(&format!("result: {key} ")));
        line.and_then(|value| value.parse::<f64>().ok()).unwrap_or_else(|| panic!("{key}: {said}"))
    };
    assert_eq!(value("bare_allocations"), 0.0);
    // In a stack of layers each would bring its own: that there is none is the point of ours.
    assert_eq!(value("client_stack_allocations"), 0.0);
    assert_eq!(value("client_stack_allocations_pending"), 0.0);
    // Its head has a map of headers, and the copy has another.
    assert!(value("client_retry_copy_allocations_headers") > 0.0, "{said}");
    assert!(value("client_allocations_hyper_util") > 0.0, "{said}");
    for key in ["client_stack_ns", "client_stack_ns_pending", "client_cpu_ratio"] {
        assert!(value(key) > 0.0, "{key}: {said}");
    }
}

#[test]
fn a_quick_run_of_grpc_compares_ours_with_tonic() {
    let output = lab(&["grpc", "--quick", "--rounds", "1", "--without-instructions"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    let value = |key: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(&format!("result: {key} ")));
        line.and_then(|value| value.parse::<f64>().ok()).unwrap_or_else(|| panic!("{key}: {said}"))
    };
    assert!(value("grpc_cpu_ratio") > 0.0 && value("grpc_cpu_us_tonic") > 0.0, "{said}");
    assert!(value("grpc_allocations_platform") > value("grpc_allocations_tonic"), "{said}");
    // Whoever is dead is asked once, and then no more often than it is tried.
    assert_eq!(value("grpc_dead_failed_platform"), 0.0, "{said}");
    assert!(value("grpc_dead_share_platform") < 0.1, "{said}");
}

#[test]
fn a_quick_run_of_the_balancer_chooses_without_allocating() {
    let output = lab(&["balance", "--quick", "--rounds", "1", "--without-instructions"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    let value = |key: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(&format!("result: {key} ")));
        line.and_then(|value| value.parse::<f64>().ok()).unwrap_or_else(|| panic!("{key}: {said}"))
    };
    for scene in ["10", "100", "1000"] {
        assert_eq!(value(&format!("pick_allocations_{scene}")), 0.0, "{said}");
    }
    for scene in ["10", "100", "1000", "divided", "ring"] {
        assert_eq!(value(&format!("choice_allocations_{scene}")), 0.0, "{said}");
    }
    assert!(value("snapshot_10k_ms") > 0.0 && value("bytes_per_endpoint") > 0.0, "{said}");
}
