//! Where do endpoints come from?
//!
//! | target | source | hears of a change |
//! |---|---|---|
//! | `fixed://…` | [`Fixed`]: the target itself | never |
//! | `file:///…` | [`File`]: a list in TOML or JSON | at the next look, 1 s |
//! | `NAME`, `dir://NAME` | [`Directory`]: records in a folder | at the next look, `discovery.dir.poll` |
//! | `http://…`, `https://…` | [`Host`]: the system's resolver | at the next look, 30 s |
//!
//! [`Host`] asks the system, which does not say how long an answer holds; a source that honours the times of
//! DNS itself takes its place one day, behind the same [`Resolve`](crate::Resolve).

mod directory;
mod file;
mod fixed;
#[cfg(any(test, feature = "testing"))]
mod hand;
mod host;

pub use directory::Directory;
pub use file::File;
pub use fixed::Fixed;
#[cfg(any(test, feature = "testing"))]
pub use hand::Hand;
pub use host::Host;
