//! Item: a team's own value that also travels.

/// A value of a team's own that travels with a request in `baggage`, across HTTP and gRPC alike.
///
/// Keep it small: all members together are at most 64 and 8192 bytes, and every hop pays for them.
pub trait Item: Sized {
    /// The member's name: a token without spaces, not beginning with `platform-`.
    const KEY: &'static str;

    /// The value as text; anything outside printable ASCII is escaped on the wire.
    fn encode(&self) -> String;

    /// The value behind a text, or `None` if it is none.
    fn decode(text: &str) -> Option<Self>;
}
