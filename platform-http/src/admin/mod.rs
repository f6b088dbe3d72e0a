//! What may an operator ask?
//!
//! Probes, scrapers, and the person who is called at night. They have a listener of their own, first up and last
//! down: it answers while the service starts, drains, or is so busy that it turns requests away.
//!
//! ```no_run
//! use platform_core::App;
//! use platform_http::{Admin, admin::Views};
//!
//! # fn add(app: &App) -> platform_core::Result<()> {
//! app.add(Admin::new(app)?);
//! Views::of(app).add("targets", || serde_json::json!({ "target": "catalog", "endpoints": 3 }));
//! # Ok(())
//! # }
//! ```
//!
//! | who | may |
//! |---|---|
//! | anybody | `/livez`, `/readyz`, `/startupz`, `/metrics`, `/platform/pulse`, and the live page at `/`, which is empty until it may read |
//! | this machine, a token of `admin.token_file`, or a certificate of `admin.peers` | read everything |
//! | this machine with a name (`x-platform-actor`), a token or a certificate | change something, with a reason, for a time |
//!
//! Every change is recorded with who made it and why, and goes back by itself. It belongs to one process and ends
//! with it; what should last belongs into the configuration.
//!
//! A fault ([`platform_core::fault`]) is such a change. It hits calls that clients make, by the target's name, and can
//! hit no probe and nothing here: those are answered by a server.
//!
//! The guards of clients are switched by mode, breakers are held open or closed, and a part of a policy is changed:
//! a layer over what is configured, taken away again with the change. A zone is left for a time.
//!
//! # Defaults
//! | setting | value | because |
//! |---|---|---|
//! | `listen` | `127.0.0.1:9464` | what it shows is for this machine, until somebody says otherwise |
//! | `token_file` | none | without one, a listener that others reach only shows health and metrics |
//!
//! # Signals
//! `platform_changes_total{kind}`, and `/platform/changes`.
//!
//! # Traps
//! Trusting the loopback address alone: a page in a browser on this machine also comes from there. So the `Host`
//! must be an address of this listener (a rebound DNS name is not), and an `Origin` must be its own.

mod access;
mod answer;
mod body;
mod changes;
mod config;
mod console;
mod drain;
mod faults;
mod health;
mod in_force;
mod info;
mod log_filter;
mod metrics;
mod paths;
mod server;
mod switches;
mod tokens;
mod views;
mod zones;

pub use config::{Config, DEFAULT_LISTEN};
pub use in_force::{DEFAULT_LENGTH, LONGEST};
pub use server::Admin;
pub use views::Views;
