//! HTTP for services: a client and a server that come with every protection, and the admin listener.
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use axum::{Router, extract::State, routing::get};
//! use platform_core::{App, Result};
//! use platform_http::{Client, Problem};
//!
//! async fn stock(State(inventory): State<Client>) -> Result<String, Problem> {
//!     Ok(inventory.get("/stock").send().await?.error_for_status().await?.text().await?)
//! }
//!
//! # async fn main_() -> Result<ExitCode> {
//! let app = App::start("orders").await?;
//! let inventory = Client::for_target(&app, "inventory")?;
//! platform_http::serve(app, Router::new().route("/stock", get(stock)).with_state(inventory)).await
//! # }
//! ```
//!
//! | I want to … | open |
//! |---|---|
//! | serve routes, with everything around them | [`serve`]; [`Server`] for classes and layers; [`prepare`] in a test |
//! | call another service | [`Client`] and its page, [`client`] |
//! | answer with an error | [`Problem`] |
//! | put somebody else's text into a path | [`segment()`] |
//! | put a layer of my own into a client | [`client::slots`] |
//! | know who may connect, and for how long | [`server`], [`tls`] |
//! | know how a reply is judged | [`classify`] |
//! | let an operator ask and change | [`admin`] |
//! | ask another process's admin listener | [`asking`] |
//!
//! The manual, with every guard and every default, is [`platform_core::manual`].

pub mod admin;
mod allow;
pub mod asking;
pub mod bearer;
pub mod body;
mod boxing;
mod catalogue;
pub mod classify;
pub mod client;
mod console;
mod discovery;
#[cfg(test)]
#[path = "../../platform-core/tests/golden/mod.rs"]
mod golden;
mod layers;
pub mod problem;
#[cfg(feature = "tls")]
mod rotation;
mod segment;
mod serve;
pub mod server;
pub mod tls;
mod wire;

pub use admin::Admin;
pub use allow::{Allow, Allowed, allow};
pub use body::Body;
pub use catalogue::{catalogue, joined_catalogue};
pub use client::Client;
pub use discovery::discovery;
pub use problem::Problem;
pub use segment::{Segment, segment};
pub use serve::{IntoRoutes, prepare, serve};
pub use server::Server;
