//! The command as a person types it.

use std::process::{Command, Output};

fn platform(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_platform"))
        .args(arguments)
        .output()
        .expect("the binary was built for this test")
}

#[test]
fn the_catalogue_is_printed() {
    let out = platform(&["catalogue"]);
    assert!(out.status.success());
    assert!(String::from_utf8_lossy(&out.stdout).contains("platform_client_attempts_total"));
}

#[test]
fn a_wrong_use_says_what_there_is_and_ends_with_2() {
    for (arguments, told) in [
        (&[][..], "platform catalogue [--json]"),
        (&["catalog"], "platform catalogue [--json]"),
        (&["catalogue", "--yaml"], "there are --json"),
    ] {
        let out = platform(arguments);
        assert_eq!(out.status.code(), Some(2), "{arguments:?}");
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(said.contains(told), "{arguments:?}: {said}");
    }
}

#[test]
fn the_committed_boards_are_as_the_code_makes_them() {
    let dashboards = concat!(env!("CARGO_MANIFEST_DIR"), "/../dashboards");
    let out = platform(&["ops", "boards", "--check", "--out", dashboards]);
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "`cargo run -p platform-cli -- ops boards` writes them anew:\n{said}");
}

#[test]
fn help_says_what_there_is() {
    for (arguments, words) in [
        (&["--help"][..], &["platform ops boards", "platform catalogue [--json]"][..]),
        (&["ops", "--help"], &["--from BINARY", "company.toml", "--check", "Exit status"]),
    ] {
        let out = platform(arguments);
        assert!(out.status.success() && out.stderr.is_empty(), "{out:?}");
        let said = String::from_utf8_lossy(&out.stdout);
        words.iter().for_each(|word| assert!(said.contains(word), "{word} in\n{said}"));
        assert!(said.lines().all(|line| line.chars().count() <= 112), "{said}");
    }
}

#[test]
fn what_cannot_be_read_is_explained() {
    let empty = tempfile::tempdir().expect("a folder for the test");
    let path = empty.path().to_str().expect("its name is text");
    for (arguments, status, why) in [
        (&["ops"][..], 2, "boards, rules, alertmanager or catalog"),
        (&["ops", "rules"], 2, "of which services?"),
        (&["ops", "rules", path], 1, "has no platform.toml in it or below"),
        (&["ops", "rules", "/nonexistent"], 1, "cannot read the folder /nonexistent"),
        (&["ops", "rules", "--from", "/nonexistent"], 1, "cannot be started"),
        (&["ops", "rules", "--from", "/bin/false"], 1, "/bin/false --describe ended with"),
        (&["ops", "rules", "--from", "/bin/echo"], 1, "printed no description"),
        (&["ops", "rules", "--from", "https://orders"], 1, "is no admin listener; write http://HOST:PORT"),
        (&["ops", "rules", "--from", "http://127.0.0.1:1"], 1, "does not answer"),
    ] {
        let out = platform(arguments);
        assert_eq!(out.status.code(), Some(status), "{arguments:?}");
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
}
