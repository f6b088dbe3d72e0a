//! Where are the peers?
//!
//! They are a workspace of their own, so cargo does not build them with the lab: the lab asks cargo itself.

use std::{
    env,
    ffi::OsString,
    path::PathBuf,
    process::{Command, Stdio},
};

use platform_core::{Error, ErrorKind, Result};
use serde::Deserialize;

/// What cargo says about one thing it built; only what we read.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
}

/// Builds the peers if they are not yet built, and says where their binary is. Cargo's progress is shown.
///
/// # Errors
/// There is no cargo, or the build failed: without a network, perhaps.
pub(crate) fn build() -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--locked", "--message-format=json-render-diagnostics"]);
    command.args(["--manifest-path", MANIFEST]).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command
        .output()
        .map_err(|error| Error::new(ErrorKind::Start, "cargo cannot be started").with_source(error))?;
    if !output.status.success() {
        return Err(Error::new(ErrorKind::Start, format!("cargo cannot build {MANIFEST}")));
    }
    executable(&String::from_utf8_lossy(&output.stdout))
        .ok_or_else(|| Error::new(ErrorKind::Start, format!("cargo built no binary from {MANIFEST}")))
}

/// The binary in cargo's messages, one JSON object a line; there is only one.
fn executable(messages: &str) -> Option<PathBuf> {
    messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok()?.executable).next_back()
}

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/Cargo.toml");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_is_what_cargo_says_it_is() {
        let built = r#"{"reason":"compiler-artifact","executable":null}
{"reason":"compiler-artifact","target":{"name":"peers"},"executable":"/t/release/peers"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executable(built), Some(PathBuf::from("/t/release/peers")));
        assert_eq!(executable(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(executable("not JSON"), None);
    }
}
