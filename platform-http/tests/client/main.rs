//! What a client gets, and what its targets see, on real sockets.

#[cfg(feature = "tls")]
#[path = "../ground/authority.rs"]
mod authority;
#[path = "../ground/does.rs"]
mod does;
mod peer;

mod calls;
mod choosing;
mod failures;
mod protocol;
mod reach;
mod repeats;
mod slots;
mod strangers;
#[cfg(feature = "tls")]
mod tls;
