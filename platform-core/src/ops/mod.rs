//! What does the person on call get?
//!
//! Boards, alerts, the call tree, runbooks and the entry in the company's catalog, made from what the code declares
//! anyway: its metrics, its identity, its objectives. All of it is pure: data in, text out. `platform ops` writes the
//! files.
//!
//! ```
//! use platform_core::{
//!     identity::Identity,
//!     ops::{Operated, Places, Teams, Tree, alerts},
//! };
//!
//! # fn main() -> platform_core::Result<()> {
//! let [name, owner, reports_to] = ["orders", "team-orders", "commerce"].map(str::to_owned);
//! let identity = Identity { name, owner, reports_to, ..Identity::default() };
//! let orders = Operated { identity, ..Operated::default() };
//! let tree = Tree::of([&orders], &Teams::default())?;
//! // Objectives need to know what is served: the joined catalogue of the crate that serves.
//! let rules = alerts(&orders, &platform_core::catalogue(), &tree, &Places::default())?;
//! assert!(rules.yaml().contains("alert: BreakerOpen"));
//! # Ok(())
//! # }
//! ```
//!
//! # Defaults
//! The windows and factors are those of Google's SRE workbook for a period of 30 days ([`PAIRS`]); a page goes to the
//! owner's parent as well after [`PATIENCE`].
//!
//! # Traps
//! An alert that cannot fire is worse than none. A burn rate of 14.4 of an objective of 90 % would need 144 % of
//! failures: such a pair is left out and [`Rules::notes`] says so, and an objective that leaves no page is refused.

mod board;
mod entry;
mod objectives;
mod own;
mod routes;
mod rules;
mod runbook;
mod slo;
mod yaml;

pub use board::boards;
pub use entry::{company_entry, entry};
pub use objectives::{Latency, Objectives, Slo};
pub use own::Own;
pub use routes::{Team, Teams, Tree};
pub use rules::{PATIENCE, Places, Rules, alerts};
pub use runbook::runbooks;
pub use slo::{PAIRS, Pair};

use serde::{Deserialize, Serialize};

use crate::identity::Identity;

/// What is known of a service by those who operate it: from its `platform.toml`, its `--describe` or its admin
/// listener.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Operated {
    /// Whose it is.
    pub identity: Identity,
    /// What it promises.
    pub objectives: Objectives,
    /// Whom it calls, as far as that is known.
    pub calls: Vec<String>,
    /// What it measures and shows that no other does; only its program knows.
    pub own: Own,
}

/// One file, as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendered {
    /// Its name within the folder it belongs to.
    pub name: String,
    /// Its text.
    pub text: String,
}
