//! What the flags say.

use std::time::Duration;

use platform_core::{Error, ErrorKind, Result};

use crate::measure::Stretch;

/// How thoroughly to measure.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Rounds over all variants.
    pub(crate) rounds: usize,
    /// How long each variant is loaded in a round.
    pub(crate) window: Duration,
    /// Connections that load a server.
    pub(crate) connections: usize,
    /// Requests over which instructions and allocations are counted.
    pub(crate) stretch: Stretch,
    /// Build and measure the peers too.
    pub(crate) peers: bool,
    /// Count instructions too, which takes longest.
    pub(crate) instructions: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            rounds: ROUNDS,
            window: WINDOW,
            connections: CONNECTIONS,
            stretch: Stretch { from: 2_000, to: 8_000 },
            peers: true,
            instructions: true,
        }
    }
}

impl Options {
    /// Reads the flags behind a measurement's name.
    ///
    /// # Errors
    /// An unknown flag, or a value that makes no sense.
    pub(crate) fn parse(flags: &[String]) -> Result<Self> {
        let mut options = Options::default();
        let mut flags = flags.iter();
        while let Some(flag) = flags.next() {
            match flag.as_str() {
                "--quick" => {
                    let stretch = Stretch { from: 200, to: 800 };
                    options = Options { rounds: 3, window: Duration::from_millis(100), stretch, ..options };
                }
                "--without-peers" => options.peers = false,
                "--without-instructions" => options.instructions = false,
                "--rounds" => options.rounds = value(flag, flags.next(), count)?,
                "--connections" => options.connections = value(flag, flags.next(), count)?,
                "--window" => options.window = value(flag, flags.next(), milliseconds)?,
                unknown => {
                    return Err(Error::new(ErrorKind::Usage, format!("unknown flag {unknown}")));
                }
            }
        }
        Ok(options)
    }
}

/// A flag's value.
///
/// # Errors
/// It is missing, or makes no sense.
pub(crate) fn value<T>(flag: &str, text: Option<&String>, read: fn(&str) -> Option<T>) -> Result<T> {
    text.and_then(|text| read(text)).ok_or_else(|| {
        let text = text.map_or("nothing", String::as_str);
        Error::new(ErrorKind::Usage, format!("{flag} cannot be {text}"))
    })
}

fn count(text: &str) -> Option<usize> {
    text.parse().ok().filter(|count| *count > 0)
}

fn milliseconds(text: &str) -> Option<Duration> {
    let number = text.strip_suffix("ms")?.parse().ok().filter(|number| *number > 0)?;
    Some(Duration::from_millis(number))
}

/// The flags of every measurement.
pub(crate) const USAGE: &str = "flags: --rounds 15, --window 400ms (milliseconds), --connections 64, --without-peers, \
                                --without-instructions, --quick (a smoke test: its figures mean nothing)";
/// Enough for a median that one disturbed round in two does not move; at least 11.
const ROUNDS: usize = 15;
/// Short, so that the machine's drift hits all variants of a round alike.
const WINDOW: Duration = Duration::from_millis(400);
/// Enough to keep one worker busy, as a busy service is.
const CONNECTIONS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(flags: &str) -> Result<Options> {
        Options::parse(&flags.split_whitespace().map(String::from).collect::<Vec<_>>())
    }

    #[test]
    fn flags_change_what_they_name() {
        let options =
            parse("--quick --rounds 5 --connections 16 --without-peers --without-instructions").unwrap();
        assert_eq!((options.rounds, options.connections), (5, 16));
        assert!(!options.peers && !options.instructions);
        assert_eq!((options.window, options.stretch.to), (Duration::from_millis(100), 800));
        assert_eq!(parse("--window 1500ms").unwrap().window, Duration::from_millis(1500));
        assert!(parse("").unwrap().rounds >= 11, "fewer rounds do not make a median");
    }

    #[test]
    fn a_flag_that_makes_no_sense_is_refused() {
        for flags in ["--rouns 5", "--rounds", "--rounds 0", "--rounds x", "--window 5", "--window 0ms", "7"]
        {
            assert_eq!(parse(flags).unwrap_err().kind(), ErrorKind::Usage, "{flags}");
        }
    }
}
