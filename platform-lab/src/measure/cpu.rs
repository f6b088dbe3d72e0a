//! CPU time of a process, user and kernel, as the scheduler accounts for it.

use std::{fs, io, path::Path, time::Duration};

use platform_core::{Error, ErrorKind, Result};

/// Run time of all threads of a process so far. Exact only while the process is quiet.
///
/// # Errors
/// The process is gone, or the system does not keep these statistics.
pub(crate) fn run_time(process: u32) -> Result<Duration> {
    let tasks = format!("/proc/{process}/task");
    let unreadable = |path: &Path, why: &str| {
        let why = format!("{}: {why}; CPU time needs Linux with CONFIG_SCHED_INFO", path.display());
        Error::new(ErrorKind::Upstream, why)
    };
    let entries = fs::read_dir(&tasks).map_err(|error| unreadable(Path::new(&tasks), &error.to_string()))?;
    let mut total = Duration::ZERO;
    for entry in entries.flatten() {
        let path = entry.path().join("schedstat");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            // A thread that has ended since takes its time with it: little, in a server.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(unreadable(&path, &error.to_string())),
        };
        total += on_cpu(&text).ok_or_else(|| unreadable(&path, "not three numbers"))?;
    }
    Ok(total)
}

/// The first of the three numbers: nanoseconds on a CPU (then: waiting for one, time slices).
fn on_cpu(schedstat: &str) -> Option<Duration> {
    let mut numbers = schedstat.split_ascii_whitespace().map(str::parse);
    let Ok(nanoseconds) = numbers.next()? else { return None };
    (numbers.filter(Result::is_ok).count() == 2).then(|| Duration::from_nanos(nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_on_a_cpu_is_the_first_of_three_numbers() {
        let rows = [
            ("1500000 20 3\n", Some(Duration::from_micros(1500))),
            ("0 0 0\n", Some(Duration::ZERO)),
            ("1500000\n", None),
            ("many 20 3\n", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(on_cpu(text), expected, "{text:?}");
        }
    }

    /// In a process of one thread: in this one, threads of other tests come and go with their times.
    #[test]
    fn work_shows_in_a_process_that_works() {
        let mut busy = std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let before = run_time(busy.id()).unwrap();
        let grown = (0..10_000_000).any(|_| run_time(busy.id()).unwrap() > before);
        busy.kill().unwrap();
        busy.wait().unwrap();
        assert!(grown, "it never ran");
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        assert!(run_time(u32::MAX).is_err());
    }
}
