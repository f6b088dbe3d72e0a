//! How does a line reach the output without anybody waiting for it?
//!
//! Lines are appended to one buffer under a short lock; a thread of its own takes the whole buffer and writes
//! it. A reader that stops reading blocks that thread and nobody else: when the buffer is full, lines are
//! dropped and counted, the ordinary ones first. Waking a thread costs more than a line, so it gathers for a
//! moment; an error does not wait.

use std::{
    io::Write,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use super::metrics::Counts;
use crate::error::{Error, ErrorKind, Result};

/// How soon a line is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rank {
    /// What a team says at info and below.
    Ordinary,
    /// The one line of a request.
    Canonical,
    /// Warnings and errors.
    Grave,
}

/// The buffer between those who log and the thread that writes.
pub(crate) struct Queue {
    state: Mutex<State>,
    /// The writer waits here for lines.
    work: Condvar,
    /// Who flushes waits here for the writer.
    done: Condvar,
    counts: Counts,
}

#[derive(Default)]
struct State {
    pending: Vec<u8>,
    lines: [u64; LEVELS],
    /// Bytes ever accepted, and bytes that the writer is through with.
    accepted: u64,
    finished: u64,
    asleep: bool,
    hurry: bool,
    closed: bool,
}

impl Queue {
    /// Starts the thread that writes into `sink`.
    pub(crate) fn start(sink: impl Write + Send + 'static, counts: Counts) -> Result<Arc<Queue>> {
        let queue =
            Arc::new(Queue { state: Mutex::default(), work: Condvar::new(), done: Condvar::new(), counts });
        let writer = Arc::clone(&queue);
        thread::Builder::new().name("log-writer".to_owned()).spawn(move || writer.write_all(sink)).map_err(
            |error| Error::new(ErrorKind::Start, "no thread to write logs with").with_source(error),
        )?;
        Ok(queue)
    }

    /// Takes a line, which ends in a line feed, or drops and counts it. Never waits for the output.
    pub(crate) fn push(&self, line: &[u8], level: tracing::Level, rank: Rank) {
        let mut state = self.lock();
        if state.closed || state.pending.len() + line.len() > rank.share() {
            drop(state);
            self.counts.dropped(level, 1);
            return;
        }
        state.pending.extend_from_slice(line);
        state.lines[index(level)] += 1;
        state.accepted += line.len() as u64;
        let urgent = (level == tracing::Level::ERROR || state.pending.len() >= ENOUGH) && !state.hurry;
        state.hurry |= urgent;
        let wake = urgent || state.asleep;
        state.asleep &= !wake;
        drop(state);
        if wake {
            self.work.notify_one();
        }
        self.counts.bytes(level, line.len());
    }

    /// Waits until everything said so far is written, at most `limit`. False if the output did not take it.
    pub(crate) fn flush(&self, limit: Duration) -> bool {
        let mut state = self.lock();
        let target = state.accepted;
        state.hurry = true;
        self.work.notify_one();
        let waited = self.done.wait_timeout_while(state, limit, |state| state.finished < target);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.finished >= target
    }

    /// Lets the writer end once it has written what is there.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_one();
    }

    fn write_all(&self, mut sink: impl Write) {
        let mut batch = Vec::new();
        while let Some((lines, until)) = self.take(&mut batch) {
            if sink.write_all(&batch).and_then(|()| sink.flush()).is_err() {
                // There is no place to say so but the metrics.
                LEVEL_ORDER
                    .into_iter()
                    .zip(lines)
                    .for_each(|(level, lines)| self.counts.dropped(level, lines));
            }
            batch.clear();
            batch.shrink_to(KEPT);
            self.lock().finished = until;
            self.done.notify_all();
        }
    }

    /// Waits for lines, gathers a moment, and swaps the buffers. `None` when there will be no more.
    fn take(&self, batch: &mut Vec<u8>) -> Option<([u64; LEVELS], u64)> {
        let mut state = self.lock();
        while state.pending.is_empty() {
            if state.closed {
                return None;
            }
            state.hurry = false;
            state.asleep = true;
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.asleep = false;
        let gathered = self.work.wait_timeout_while(state, GATHER, |state| !state.hurry && !state.closed);
        let (mut state, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        state.hurry = false;
        std::mem::swap(&mut state.pending, batch);
        Some((std::mem::take(&mut state.lines), state.accepted))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can leave the buffer in halves.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rank {
    /// How far lines of this rank may fill the buffer.
    const fn share(self) -> usize {
        match self {
            Rank::Ordinary => CAPACITY / 2,
            Rank::Canonical => CAPACITY / 4 * 3,
            Rank::Grave => CAPACITY,
        }
    }

    /// What a tracing event of this level is.
    pub(crate) fn of(level: tracing::Level) -> Self {
        if level <= tracing::Level::WARN { Rank::Grave } else { Rank::Ordinary }
    }
}

/// The place of a level in arrays by level, worst first.
pub(crate) fn index(level: tracing::Level) -> usize {
    match level {
        tracing::Level::ERROR => 0,
        tracing::Level::WARN => 1,
        tracing::Level::INFO => 2,
        tracing::Level::DEBUG => 3,
        tracing::Level::TRACE => 4,
    }
}

/// The levels, worst first.
pub(crate) const LEVEL_ORDER: [tracing::Level; LEVELS] = [
    tracing::Level::ERROR,
    tracing::Level::WARN,
    tracing::Level::INFO,
    tracing::Level::DEBUG,
    tracing::Level::TRACE,
];
/// Levels that tracing knows.
pub(crate) const LEVELS: usize = 5;
/// Bytes that may wait for the output; as much again may be on its way. Ten thousand lines, which is a second
/// of a busy service.
pub(crate) const CAPACITY: usize = 4 * 1024 * 1024;
/// With so many bytes the writer starts at once.
const ENOUGH: usize = 64 * 1024;
/// How long the writer lets lines gather: long enough that a busy service wakes it rarely, short enough that
/// nobody watching notices.
const GATHER: Duration = Duration::from_millis(10);
/// What a buffer keeps after a burst.
const KEPT: usize = 256 * 1024;
