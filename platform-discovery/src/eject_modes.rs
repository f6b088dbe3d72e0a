//! What does an operator say about leaving endpoints out, until it is taken back?

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use platform_core::config::Mode;

/// Modes of ejection that are laid over the configured ones. The last one that was laid counts.
#[derive(Debug, Default)]
pub(crate) struct EjectModes(Mutex<Vec<Laid>>);

#[derive(Debug)]
struct Laid {
    /// What it is lifted by.
    name: String,
    /// Whose; everybody's if nobody is named.
    target: Option<Arc<str>>,
    mode: Mode,
}

impl EjectModes {
    /// Lays a mode; one of the same name is replaced.
    pub(crate) fn lay(&self, name: &str, target: Option<&str>, mode: Mode) {
        let mut laid = self.laid();
        laid.retain(|one| one.name != name);
        laid.push(Laid { name: name.to_owned(), target: target.map(Arc::from), mode });
    }

    /// Takes a mode away again.
    pub(crate) fn lift(&self, name: &str) {
        self.laid().retain(|one| one.name != name);
    }

    /// What counts for `target`; nothing where nobody said anything.
    pub(crate) fn of(&self, target: &str) -> Option<Mode> {
        let counts = |one: &&Laid| one.target.as_deref().is_none_or(|name| name == target);
        self.laid().iter().rev().find(counts).map(|one| one.mode)
    }

    fn laid(&self) -> MutexGuard<'_, Vec<Laid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_counts_and_each_goes_back_by_itself() {
        let modes = EjectModes::default();
        assert_eq!(modes.of("catalog"), None);
        modes.lay("all", None, Mode::Observe);
        modes.lay("one", Some("catalog"), Mode::Off);
        assert_eq!((modes.of("catalog"), modes.of("ratings")), (Some(Mode::Off), Some(Mode::Observe)));
        modes.lay("all", None, Mode::Enforce);
        assert_eq!(modes.of("catalog"), Some(Mode::Enforce), "said later");
        modes.lift("all");
        assert_eq!((modes.of("catalog"), modes.of("ratings")), (Some(Mode::Off), None));
        modes.lift("one");
        modes.lift("one");
        assert_eq!(modes.of("catalog"), None);
    }
}
