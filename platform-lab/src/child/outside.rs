//! The lab's side: a program started as a server, asked and ended; or run to its end as a caller.

use std::{
    env,
    ffi::OsStr,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{self, ChildStderr, Command, Stdio},
};

use platform_core::{Error, ErrorKind, Result};

use super::Taken;

/// What to run for one variant.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// The binary: this lab's own, or the peers'.
    pub(crate) path: PathBuf,
    /// Its arguments.
    pub(crate) arguments: Vec<String>,
}

/// A running server; dropped, it is killed.
pub(crate) struct Child {
    process: process::Child,
    answers: BufReader<ChildStderr>,
    port: u16,
}

impl Program {
    /// This binary, without arguments.
    ///
    /// # Errors
    /// It does not know its own path.
    pub(crate) fn this() -> Result<Self> {
        let path = env::current_exe().map_err(|error| {
            Error::new(ErrorKind::Start, "this binary cannot be found again").with_source(error)
        })?;
        Ok(Program { path, arguments: Vec::new() })
    }

    /// The same with more arguments.
    pub(crate) fn with(&self, arguments: impl IntoIterator<Item = String>) -> Self {
        let mut program = self.clone();
        program.arguments.extend(arguments);
        program
    }

    /// The command, under others that start it (`taskset`, `valgrind`), each with its arguments.
    pub(crate) fn under<S: AsRef<OsStr>>(&self, starters: &[S]) -> Command {
        let mut words = starters.iter().map(AsRef::as_ref).chain([self.path.as_os_str()]);
        let mut command = Command::new(words.next().expect("the program itself is a word"));
        command.args(words).args(&self.arguments);
        command
    }
}

/// Runs a caller to its end and reads what its calls took.
///
/// # Errors
/// It could not be started, or a call failed: such a figure is worth nothing.
pub(crate) fn take(mut command: Command) -> Result<Taken> {
    let program = command_line(&command);
    command.stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().map_err(|error| {
        Error::new(ErrorKind::Start, format!("cannot start `{program}`")).with_source(error)
    })?;
    // What our own library logs stands before it.
    let said = String::from_utf8_lossy(&output.stdout);
    let taken = said.lines().next_back().and_then(|line| line.parse::<Taken>().ok());
    match taken {
        Some(taken) if output.status.success() && taken.failed == 0 => Ok(taken),
        Some(taken) if output.status.success() => {
            Err(Error::new(ErrorKind::Upstream, format!("{} calls of `{program}` failed", taken.failed)))
        }
        _ => Err(Error::new(ErrorKind::Upstream, format!("`{program}` ended with {}", output.status))),
    }
}

impl Child {
    /// Starts a server and waits until it listens. Its standard output, the service's log, is thrown away.
    ///
    /// # Errors
    /// The program could not be started, or ended before it listened.
    pub(crate) fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().map_err(|error| {
            let program = command_line(&command);
            Error::new(ErrorKind::Start, format!("cannot start `{program}`")).with_source(error)
        })?;
        let answers = BufReader::new(process.stderr.take().expect("standard error is piped"));
        let mut child = Child { process, answers, port: 0 };
        child.port = child.answer("listening")?;
        Ok(child)
    }

    /// Where it listens, on loopback.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its process id; valgrind and taskset keep theirs for what they start.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its allocations so far.
    ///
    /// # Errors
    /// The server is gone.
    pub(crate) fn allocations(&mut self) -> Result<u64> {
        let stdin = self.process.stdin.as_mut().expect("standard input is piped, and closed only at the end");
        stdin.write_all(b"allocations\n").map_err(gone)?;
        self.answer("allocations")
    }

    /// Ends the server in order and waits for it, so that what observes it can write its report.
    ///
    /// # Errors
    /// It ended with another status than success.
    pub(crate) fn end(mut self) -> Result<()> {
        drop(self.process.stdin.take());
        let status = self.process.wait().map_err(gone)?;
        if status.success() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Upstream,
            format!("the server ended with {status}; its last words are above"),
        ))
    }

    /// The number behind `word`; other lines are the server's own and are passed on.
    fn answer<N: std::str::FromStr>(&mut self, word: &str) -> Result<N> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.answers.read_line(&mut line).map_err(gone)? == 0 {
                let why = format!("the server ended before it said `{word}`; its last words are above");
                return Err(Error::new(ErrorKind::Start, why));
            }
            match number_after(word, &line) {
                Some(number) => return Ok(number),
                None => eprint!("{line}"),
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Both fail only for a process that has already ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn number_after<N: std::str::FromStr>(word: &str, line: &str) -> Option<N> {
    line.strip_prefix(word)?.strip_prefix(' ')?.trim_end().parse().ok()
}

fn command_line(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn gone(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Upstream, "the server is gone").with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_the_number_behind_its_word() {
        let rows = [
            ("listening", "listening 8080\n", Some(8080)),
            ("listening", "listening 99999\n", None),
            ("listening", "listening\n", None),
            ("listening", "listening8080\n", None),
            ("allocations", "listening 8080\n", None),
        ];
        for (word, line, expected) in rows {
            assert_eq!(number_after::<u16>(word, line), expected, "{word} in {line:?}");
        }
    }

    #[test]
    fn a_program_that_ends_at_once_is_an_error() {
        let program = Program { path: "true".into(), arguments: Vec::new() };
        let error = Child::start(program.under::<&str>(&[])).err().expect("`true` never listens");
        assert_eq!(error.kind(), ErrorKind::Start);
    }

    #[test]
    fn what_calls_took_is_the_last_line() {
        let said = |text: &str| {
            take(Program { path: "printf".into(), arguments: vec![text.to_owned()] }.under::<&str>(&[]))
        };
        let taken = Taken { failed: 0, allocations: 12, nanoseconds: 345 };
        assert_eq!(said(&format!("a log line\n{taken}\n")).unwrap(), taken);
        for text in ["", "failed 1 allocations 0 nanoseconds 3\n", "failed 0 allocations 0\n"] {
            assert_eq!(said(text).unwrap_err().kind(), ErrorKind::Upstream, "{text:?}");
        }
    }

    #[test]
    fn starters_stand_before_the_program() {
        let program = Program { path: "peers".into(), arguments: vec!["server".into()] };
        assert_eq!(command_line(&program.under(&["taskset", "-c", "0"])), "taskset -c 0 peers server");
    }
}
