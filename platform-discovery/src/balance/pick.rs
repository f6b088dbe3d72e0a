//! How is one chosen?

use platform_core::Context;

use super::ReadySet;

/// A way to choose an endpoint from a set.
///
/// The dice roll is an argument, all 64 bits of it random, so that a picker is a function with a table for a
/// test. It is asked once per attempt and must not lock, allocate or wait.
///
/// ```
/// use platform_core::Context;
/// use platform_discovery::balance::{Pick, ReadySet};
///
/// /// Always the first: the others are spares.
/// struct First;
///
/// impl<C> Pick<C> for First {
///     fn pick(&self, ready: &ReadySet<C>, _context: &Context, _roll: u64) -> Option<usize> {
///         (!ready.is_empty()).then_some(0)
///     }
/// }
/// ```
pub trait Pick<C>: Send + Sync + 'static {
    /// The index of the chosen endpoint; `None` if none may be chosen.
    fn pick(&self, ready: &ReadySet<C>, context: &Context, roll: u64) -> Option<usize>;
}
