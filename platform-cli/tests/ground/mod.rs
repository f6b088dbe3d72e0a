//! The command as the tests run it.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

/// The command as a script runs it: nobody sits at its standard input.
pub(crate) fn platform_in(folder: &Path, arguments: &[&str]) -> Output {
    platform(folder, arguments).output().expect("the binary was built for this test")
}

/// The same before it runs.
pub(crate) fn platform(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_platform"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command
}
