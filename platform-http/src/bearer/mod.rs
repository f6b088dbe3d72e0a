//! Whose token is it?
//!
//! A server with `[server.bearer]` asks its callers for a bearer token: a JWT that one of its key files has signed, for
//! this audience, by this issuer, now. It stands in the slot `identity`, above a team's own layers: what a token names
//! is [`Bearer`], which handlers find in a request's extensions, and people as `subject` on its canonical line; the
//! tenant that it names counts in fair shares and rate limits. `[server.allow]` says which routes are for whom.
//!
//! ```toml
//! [server.bearer]
//! keys = ["/etc/keys/issuer.json"]       # a JWK Set, or PEM public keys; read again when they change
//! issuer = "https://login.example"
//! audience = "orders"
//! ```
//!
//! # Why
//! Whoever checks tokens by hand forgets one of the checks. Here they are one list, and none can be left out: the
//! signature, the algorithm that belongs to the key (never the one that the token names), the issuer, the audience, the
//! end and the beginning, a subject. Keys are public ones only: with a shared secret whoever can check a token can make
//! one, and a public key could be passed off as a secret. Nothing is fetched: whoever distributes certificates
//! distributes keys as well, and a request never waits for somebody else's server.
//!
//! | What came | HTTP | gRPC |
//! |---|---|---|
//! | no token, where one is required | 401, `www-authenticate: Bearer` | UNAUTHENTICATED |
//! | one that is not good | 401, with `error="invalid_token"` and why | UNAUTHENTICATED |
//! | a good one that may not ask for this | 403, with `error="insufficient_scope"` | PERMISSION_DENIED |
//!
//! # Defaults
//! | setting | value | because |
//! |---|---|---|
//! | `server.bearer.keys` | none: nobody is asked | nobody can guess who issues tokens |
//! | `server.bearer.issuer`, `audience` | none | there is no usual one, and with `keys` both are needed |
//! | `server.bearer.tenant` | none | no claim is the tenant's everywhere |
//! | `server.bearer.leeway` | 30 s, 5 m at most | clocks that are kept differ by less than a second, those of a machine that just woke up by some |
//! | `server.bearer.tokens` | `required` | a route that somebody forgets is closed |
//! | a look at the files | each second | a rotation is seen before anybody asks whether it was |
//!
//! # Signals
//! The canonical line's `subject`; `unauthenticated` and `forbidden` among the reasons of the server's metrics; a
//! warning for key files that cannot be used, a line and a change for each rotation.
//!
//! # Traps
//! A token that was taken back is good until its end: issue short ones. A token is asked for before the guards, so that
//! its tenant counts there: whoever floods a server with tokens makes it check a signature for each, at most one for each
//! key that the token could mean.

#[cfg(feature = "jwt")]
mod check;
mod claims;
mod config;
#[cfg(feature = "jwt")]
mod keys;
#[cfg(feature = "jwt")]
mod layer;
#[cfg(not(feature = "jwt"))]
#[path = "none.rs"]
mod layer;
#[cfg(feature = "jwt")]
mod ring;

pub use claims::Bearer;
pub use config::{BearerConfig, Tokens};
pub(crate) use layer::open;
