//! What is set: `[blocking.NAME]`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{Refusal, Rules, duration};

/// How many threads one kind of work may hold, and who may wait for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// So many threads at a time.
    pub threads: u32,
    /// So many wait for one at most; with 0 nobody does.
    pub queue: u32,
    /// So long each of them waits; `"0ms"` refuses at once.
    #[serde(with = "duration")]
    pub max_wait: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config { threads: THREADS, queue: QUEUE, max_wait: MAX_WAIT }
    }
}

impl Rules for Config {
    fn refusals(&self) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        if self.threads == 0 {
            refusals.push(Refusal::new("threads", "is 0 and would refuse all work; set at least 1"));
        }
        if self.threads > MOST_THREADS {
            let why = format!("is more than {MOST_THREADS}, which is half of what tokio has; lower it");
            refusals.push(Refusal::new("threads", why));
        }
        if self.max_wait > LONGEST_WAIT {
            let why = "is longer than 1m; who waits so long is better refused, so that it can go elsewhere";
            refusals.push(Refusal::new("max_wait", why));
        }
        refusals
    }
}

/// Four times as many as a common container has processors: blocked threads mostly wait. At 2 MiB of stack each, what
/// hangs holds no more than 32 MiB.
pub const THREADS: u32 = 16;

/// Four pieces of work for each thread: more could not begin within [`MAX_WAIT`] unless each took a tenth of it.
pub const QUEUE: u32 = 64;

/// That of a server's own line: who waits longer is served late.
pub const MAX_WAIT: Duration = Duration::from_millis(50);

/// tokio has 512, and the runtime needs some itself, for files and names.
const MOST_THREADS: u32 = 256;

/// Beyond that nobody waits for an answer either.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_is_refused_with_what_to_write() {
        let good = Config::default();
        for (config, words) in [
            (Config { threads: 0, ..good }, "`blocking.x.threads` is 0"),
            (Config { threads: 257, ..good }, "`blocking.x.threads` is more than 256"),
            (Config { max_wait: Duration::from_secs(61), ..good }, "`blocking.x.max_wait` is longer"),
        ] {
            let error = crate::config::Config::default().check("blocking.x", &config).unwrap_err();
            assert!(error.detail().contains(words), "{error}");
        }
        assert!(Config { queue: 0, max_wait: Duration::ZERO, ..good }.refusals().is_empty());
    }

    #[test]
    fn it_is_written_and_read_as_in_a_file() {
        let written = serde_json::to_string(&Config::default()).unwrap();
        assert_eq!(written, r#"{"threads":16,"queue":64,"max_wait":"50ms"}"#);
        assert!(serde_json::from_str::<Config>(r#"{"thread":1}"#).is_err());
    }
}
