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

use tokio::time::Instant;

use super::{
    bill::TELL_AFTER,
    metrics::{By, Counts},
};
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
    /// Who flushes takes a number; the writer says which it is through with.
    asked: u64,
    flushed: u64,
    asleep: bool,
    hurry: bool,
    /// When to tell what was not said.
    untold: Option<Instant>,
    closed: bool,
    /// The writer has gone.
    ended: bool,
}

/// What the writer takes at once.
struct Taken {
    lines: [u64; LEVELS],
    /// Those who flush and asked before.
    asked: u64,
    /// It is time to tell what was not said.
    tell: bool,
}

impl Queue {
    /// Starts the thread that writes into `sink`, and asks `tell` now and then for a line about those that were not
    /// said.
    pub(crate) fn start(
        sink: impl Write + Send + 'static,
        counts: Counts,
        tell: impl FnMut(&mut Vec<u8>) + Send + 'static,
    ) -> Result<Arc<Queue>> {
        let queue =
            Arc::new(Queue { state: Mutex::default(), work: Condvar::new(), done: Condvar::new(), counts });
        let writer = Arc::clone(&queue);
        thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || writer.write_all(sink, tell))
            .map_err(|error| {
                Error::new(ErrorKind::Start, "no thread to write logs with").with_source(error)
            })?;
        Ok(queue)
    }

    /// Takes a line, which ends in a line feed, or drops and counts it. Never waits for the output.
    pub(crate) fn push(&self, line: &[u8], level: tracing::Level, rank: Rank) {
        let mut state = self.lock();
        if state.closed || state.pending.len() + line.len() > rank.share() {
            drop(state);
            self.counts.dropped(level, By::Output, 1);
            return;
        }
        state.pending.extend_from_slice(line);
        state.lines[index(level)] += 1;
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

    /// A line was not said, and nobody knows yet that there are such.
    pub(crate) fn tell_later(&self) {
        let mut state = self.lock();
        state.untold.get_or_insert_with(|| Instant::now() + TELL_AFTER);
        // Asleep without an end it would not tell before the next line.
        let wake = std::mem::take(&mut state.asleep);
        drop(state);
        if wake {
            self.work.notify_one();
        }
    }

    /// What was counted of lines that were not said.
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Waits until everything said so far is written, and told what was not said, at most `limit`. False if the output
    /// did not take it.
    pub(crate) fn flush(&self, limit: Duration) -> bool {
        let mut state = self.lock();
        state.asked += 1;
        let asked = state.asked;
        state.hurry = true;
        state.asleep = false;
        self.work.notify_one();
        let waiting = |state: &mut State| state.flushed < asked && !state.ended;
        let (state, _) =
            self.done.wait_timeout_while(state, limit, waiting).unwrap_or_else(PoisonError::into_inner);
        state.flushed >= asked || (state.ended && state.pending.is_empty())
    }

    /// Lets the writer end once it has written what is there.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_one();
    }

    fn write_all(&self, mut sink: impl Write, mut tell: impl FnMut(&mut Vec<u8>)) {
        let mut batch = Vec::new();
        while let Some(mut taken) = self.take(&mut batch) {
            if taken.tell {
                let before = batch.len();
                tell(&mut batch);
                let told = batch.len() - before;
                if told > 0 {
                    taken.lines[index(tracing::Level::INFO)] += 1;
                    self.counts.bytes(tracing::Level::INFO, told);
                }
            }
            if sink.write_all(&batch).and_then(|()| sink.flush()).is_err() {
                // There is no place to say so but the metrics.
                LEVEL_ORDER
                    .into_iter()
                    .zip(taken.lines)
                    .for_each(|(level, lines)| self.counts.dropped(level, By::Output, lines));
            }
            batch.clear();
            batch.shrink_to(KEPT);
            self.lock().flushed = taken.asked;
            self.done.notify_all();
        }
        self.lock().ended = true;
        self.done.notify_all();
    }

    /// Waits for lines, gathers a moment, and swaps the buffers. `None` when there will be no more.
    fn take(&self, batch: &mut Vec<u8>) -> Option<Taken> {
        let mut state = self.lock();
        loop {
            let due = state.untold.map(|at| at.saturating_duration_since(Instant::now()));
            if !state.pending.is_empty()
                || state.asked > state.flushed
                || due.is_some_and(|left| left.is_zero())
            {
                break;
            }
            if state.closed {
                if due.is_some() {
                    break;
                }
                return None;
            }
            state.hurry = false;
            state.asleep = true;
            state = match due {
                Some(left) => self
                    .work
                    .wait_timeout(state, left)
                    .map(|(state, _)| state)
                    .unwrap_or_else(|poisoned| poisoned.into_inner().0),
                None => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
        state.asleep = false;
        let gathered = self.work.wait_timeout_while(state, GATHER, |state| !state.hurry && !state.closed);
        let (mut state, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        state.hurry = false;
        std::mem::swap(&mut state.pending, batch);
        let (asked, closed) = (state.asked, state.closed);
        let now = asked > state.flushed || closed;
        let tell = state.untold.take_if(|at| now || *at <= Instant::now()).is_some();
        Some(Taken { lines: std::mem::take(&mut state.lines), asked, tell })
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
