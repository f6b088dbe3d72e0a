//! From nothing to services that call each other.
//!
//! Needed are Rust and a C compiler, and no other program: no registry, no container, no database.
//!
//! # Make one
//! ```text
//! cargo run -p platform-cli -- new orders --depends-on inventory     # in a clone; without flags it asks
//! cd orders
//! cargo test
//! cargo run
//! ```
//!
//! The new folder is a whole service: routes (`--http`), a proto (`--grpc`) or `--both`, a client and a scripted peer for
//! each dependency, typed settings, `platform.toml`, `Dockerfile`, a Kubernetes manifest, CI, and what the person on call
//! needs. Begin in `src/items.rs`, which is the place of the logic.
//!
//! # See it
//! ```text
//! curl localhost:8080/orders/7      # 503: nobody runs inventory yet, and the answer says so
//! curl localhost:9464/              # what an operator may ask; in a browser, the live page
//! ```
//!
//! # Two that call each other
//! In another terminal, in the same folder as before, `new inventory`, then in it `cargo run -- --profile dev`, which takes
//! free ports. It registers in a folder of this machine, `orders` finds it there within a second, and `curl
//! localhost:8080/orders/7` is answered. Both lines that the two print of that request have the same `trace_id`.
//!
//! # Call something
//! ```ignore
//! let inventory = Client::for_target(&app, "inventory")?;                // once, in the router's state
//! let stock: Stock = inventory.get("/stock/7").send().await?.json().await?;   // in a handler
//! ```
//!
//! Deadline, trace, tenant and importance of the request that is served go along by themselves. A failure is repeated if that
//! can help and cannot hurt; one target's trouble is kept from everybody else. What a handler has to decide is what an answer
//! means, and what is shown without one ([`fallback`](crate::fallback)).
//!
//! # Set something
//! ```toml
//! [clients.inventory]
//! policy = { timeout = "800ms", attempt_timeout = "250ms" }
//! ```
//!
//! in `platform.toml`, or `PLATFORM__CLIENTS__INVENTORY__POLICY__TIMEOUT=800ms`, or `--set
//! clients.inventory.policy.timeout=800ms`. What is misspelled refuses the start, with the line and what was meant. `cargo run
//! -- --describe` prints every value with its origin, and [`defaults`](super::defaults) why it is what it is.
//!
//! # Test it
//! A generated service has tests that run it in their own process against peers that do as the test says, on real ports. Where
//! time matters, tokio's clock is paused and the peer is a layer in the client's slot: the example `faults` opens a breaker and
//! lets half a minute pass, in milliseconds. `platform_core::testing` (feature `testing`) has scripted targets for what is no
//! HTTP.
//!
//! # Move something over
//! An axum or tonic service that exists is moved in ten lines: its router is handed to `platform_http::serve` instead of
//! `axum::serve` (example `moved_over`).
//!
//! # The examples
//!
//! | example | shows |
//! |---|---|
//! | `hello` | the smallest service |
//! | `orders`, `payments` | one dependency over HTTP; a service that speaks gRPC |
//! | `faults` | testing with faults and with time that does not pass |
//! | `worker`, `database`, `outside` | a queue; a database behind the same guards; another company's API |
//! | `own_resolver`, `own_metric`, `moved_over` | a registry of one's own; a metric with its panel and alert; an axum service that was there before |
//! | `one_layer` | seven ways out ([`take_one_layer`](super::take_one_layer)) |
//! | `fleet` | a company on this machine, with its users, kills and faults: `cargo run --release -p examples` |
