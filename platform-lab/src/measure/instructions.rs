//! User instructions per request or call, as valgrind counts them.

use std::{
    env, fs,
    path::PathBuf,
    process::{self, Command, Stdio},
};

use platform_core::{Error, ErrorKind, Result};

use super::{CONNECTIONS, Stretch};
use crate::{
    child::{Child, Program, take},
    load::{Asking, Load, Until},
};

/// Can instructions be counted here?
pub(crate) fn has_valgrind() -> bool {
    let mut command = Command::new(VALGRIND);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// User instructions that one request adds: two processes with the same start and different work.
///
/// # Errors
/// The server cannot be started, is lost or answers wrongly; valgrind left no total.
pub(crate) async fn instructions(
    program: &Program,
    asking: Asking,
    starters: &[&str],
    stretch: Stretch,
) -> Result<f64> {
    let before = total(program, asking, starters, stretch.from).await?;
    let after = total(program, asking, starters, stretch.to).await?;
    Ok(stretch.per_request([before, after]))
}

/// User instructions that one call adds: as above, with a process that makes the calls itself.
///
/// # Errors
/// As [`instructions`]; or a call failed.
pub(crate) fn instructions_of_calls(
    calling: impl Fn(u64) -> Program,
    starters: &[&str],
    stretch: Stretch,
) -> Result<f64> {
    let total = |calls| {
        let report = Report::of(calls);
        take(calling(calls).under(&report.starters(starters)))?;
        report.total()
    };
    Ok(stretch.per_request([total(stretch.from)?, total(stretch.to)?]))
}

/// Instructions of one process that served so many requests.
async fn total(program: &Program, asking: Asking, starters: &[&str], requests: u64) -> Result<u64> {
    let report = Report::of(requests);
    let child = Child::start(program.under(&report.starters(starters)))?;
    let mut load = Load::connect(child.port(), CONNECTIONS as usize, asking).await?;
    load.run(Until::Each(requests / CONNECTIONS)).await?;
    drop(load);
    child.end()?;
    report.total()
}

/// Valgrind's report; its file is removed when it has been read.
struct Report(PathBuf);

impl Report {
    fn of(number: u64) -> Self {
        Report(env::temp_dir().join(format!("platform-lab-{}-{number}.cachegrind", process::id())))
    }

    /// What writes it, under others that start that.
    fn starters(&self, others: &[&str]) -> Vec<String> {
        let out = format!("--cachegrind-out-file={}", self.0.display());
        // Its log has only remarks about caches that are not simulated.
        let valgrind = [VALGRIND, "--tool=cachegrind", "--cache-sim=no", "--log-file=/dev/null", &out];
        others.iter().chain(&valgrind).map(ToString::to_string).collect()
    }

    fn total(self) -> Result<u64> {
        let text = fs::read_to_string(&self.0)
            .map_err(|error| Error::new(ErrorKind::Upstream, "valgrind left no report").with_source(error))?;
        summary(&text)
            .ok_or_else(|| Error::new(ErrorKind::Upstream, "valgrind's report has no `summary:` line"))
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        // It is not there when valgrind failed.
        let _ = fs::remove_file(&self.0);
    }
}

/// The total of the first event, instructions read.
fn summary(report: &str) -> Option<u64> {
    let totals = report.lines().rev().find_map(|line| line.strip_prefix("summary:"))?;
    totals.split_ascii_whitespace().next()?.parse().ok()
}

const VALGRIND: &str = "valgrind";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_the_first_number_of_the_summary() {
        let rows = [
            ("desc: x\nevents: Ir\nfn=main\n12 400\nsummary: 123456\n", Some(123_456)),
            ("events: Ir I1mr\nsummary: 99 2 3\n", Some(99)),
            ("events: Ir\n12 400\n", None),
            ("summary:\n", None),
        ];
        for (report, expected) in rows {
            assert_eq!(summary(report), expected, "{report:?}");
        }
    }
}
