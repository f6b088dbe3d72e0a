//! Where do lines go?

use std::{
    fmt,
    io::{self, IsTerminal as _, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Where lines go, and whether a person reads there.
pub struct Output {
    pub(super) sink: Box<dyn Write + Send>,
    pub(super) terminal: bool,
    pub(super) colour: bool,
}

impl Output {
    /// Standard output. Colours only on a terminal and without `NO_COLOR`.
    pub fn stdout() -> Self {
        let terminal = io::stdout().is_terminal();
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        // Not the locked, line-buffered handle: the writer hands over whole batches.
        Output { sink: Box::new(io::stdout()), terminal, colour: terminal && !plain }
    }

    /// Any place that is no terminal.
    pub fn to(sink: impl Write + Send + 'static) -> Self {
        Output { sink: Box::new(sink), terminal: false, colour: false }
    }

    /// Pretends to be a terminal, or not.
    #[must_use]
    pub fn terminal(self, terminal: bool) -> Self {
        Output { terminal, colour: terminal, ..self }
    }

    /// Colours, or not.
    #[must_use]
    pub fn colour(self, colour: bool) -> Self {
        Output { colour, ..self }
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Output { terminal, colour, .. } = self;
        f.debug_struct("Output").field("terminal", terminal).field("colour", colour).finish_non_exhaustive()
    }
}

/// Keeps what is written, for tests. Clones see the same.
#[derive(Clone, Debug, Default)]
pub struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    /// Everything written so far. Flush the [`Logs`](super::Logs) first.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.lock()).into_owned()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
