//! Who runs on which core?
//!
//! The server on the first and the generator on the second: neither takes the other's time or cache. With
//! `taskset`, because setting an affinity is unsafe code and no crate of ours has any.

use std::{
    process::{self, Command, Stdio},
    thread,
};

/// Moves this process to the second core; says what to start servers under to have them on the first.
///
/// `None` where that is not possible: no `taskset`, or only one core.
pub(crate) fn split() -> Option<&'static [&'static str]> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let ours = process::id().to_string();
    let both =
        cores > 1 && succeeds(&["taskset", "-c", "0", "true"]) && succeeds(&["taskset", "-cp", "1", &ours]);
    both.then_some(&["taskset", "-c", "0"])
}

/// What to start a program of two threads under, after [`split`] has moved this process.
pub(crate) const BOTH: &[&str] = &["taskset", "-c", "0,1"];

fn succeeds(words: &[&str]) -> bool {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
