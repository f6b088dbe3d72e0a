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
