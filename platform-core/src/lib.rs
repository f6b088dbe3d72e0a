//! A library that every service of a company stands on, so that calling another service is one line and what protects
//! that call is none.
//!
//! This crate is everything of the platform that knows no transport: words, configuration, telemetry, the guards, the
//! order in which a call passes them, and the life of a process. `platform_discovery` knows who answers for a name,
//! `platform_http` and `platform_grpc` serve and call, and the program `platform` (`platform-cli`) makes, checks and
//! operates services.
//!
//! # Start
//! ```text
//! cargo run -p platform-cli -- new orders --depends-on inventory
//! cd orders && cargo test && cargo run
//! ```
//!
//! makes a service, tests it against a scripted inventory, and serves. What it consists of is a `main` that starts an
//! [`App`], a router, and a client:
//!
//! ```no_run
//! # mod platform_http {
//! #     pub async fn serve(app: platform_core::App, routes: ()) -> platform_core::Result<std::process::ExitCode> { app.run().await }
//! # }
//! # let routes = ();
//! # async {
//! let app = platform_core::App::start("orders").await?;
//! // let inventory = platform_http::Client::for_target(&app, "inventory")?;
//! // let routes = axum::Router::new().route("/orders/{id}", get(show)).with_state(inventory);
//! platform_http::serve(app, routes).await
//! # };
//! ```
//!
//! # Where to read on
//!
//! | I want to … | open |
//! |---|---|
//! | begin, and see what a newcomer sees | [`manual::start`] |
//! | understand the words, in the order of the questions | [`manual::concepts`] |
//! | know what a call passes, what a request passes, and why in this order | [`manual::ordering`], [`manual::serving`] |
//! | know a guard: why it is there, its defaults, its signals, its traps | [`manual::guards`] |
//! | know what is set where nobody sets anything, and why | [`manual::defaults`] |
//! | find my resilience4j, Finagle, go-zero or Polly again | [`manual::words`] |
//! | run it: on this machine, on etcd, on Kubernetes | [`manual::running`] |
//! | know what to do at three in the morning | [`manual::on_call`], [`manual::failure_modes`] |
//! | take one part and leave the rest | [`manual::take_one_layer`] |
//! | know what an error means | [`ErrorKind`] |
//! | test a service | [`manual::start`], and the feature `testing` |
//!
//! # The rooms
//! A room is a module that answers one question, which is its first line. It imports only from rooms above it in this
//! list.
//!
//! ```text
//! words         error · outcome · classify · context · call        what every room says
//! surroundings  config · identity · telemetry             what is set, whose it is, what is seen
//! mechanisms    deadline · observe · admission · recovery · fault · fallback     one question each
//! assembly      stack                                              in what order
//! on call       ops                                                what the person who is woken gets
//! process       lifecycle · app                                    when it lives, what it is
//! threads       blocking                                           who may hold one
//! ```
//!
//! # Features
//! `otlp` sends traces to a collector; `testing` brings scripted targets and a conformance kit. Neither changes what the
//! rest does.

pub mod call;
pub mod classify;
pub mod context;
pub mod error;
pub mod outcome;
pub mod tick;

pub mod config;
pub mod identity;
pub mod telemetry;

pub mod admission;
pub mod deadline;
pub mod fallback;
pub mod fault;
pub mod observe;
pub mod recovery;

pub mod stack;

pub mod ops;

pub mod app;
pub mod lifecycle;

pub mod blocking;

pub mod manual;
#[cfg(feature = "testing")]
pub mod testing;

mod catalogue;

pub use app::App;
pub use catalogue::catalogue;
pub use classify::Classify;
pub use context::Context;
pub use error::{Error, ErrorKind, Result};
pub use outcome::{Hint, Mark, Outcome, Verdict};
pub use tick::Tick;
