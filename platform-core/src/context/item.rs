//! Item: a team's own value that also travels.

/// A value of a team's own that travels with a request in `baggage`, across HTTP and gRPC alike.
///
/// Keep it small: all members together are at most 64 and 8192 bytes, and every hop pays for them.
///
/// It is put into a copy of the context, and travels with the calls that are made in a scope of that copy:
///
/// ```
/// use platform_core::context::{self, Item};
///
/// struct Channel(String);
///
/// impl Item for Channel {
///     const KEY: &'static str = "shop-channel";
///
///     fn encode(&self) -> String {
///         self.0.clone()
///     }
///
///     fn decode(text: &str) -> Option<Self> {
///         Some(Channel(text.to_owned()))
///     }
/// }
///
/// # tokio_test();
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn tokio_test() {
/// let mut here = context::inherit(tokio::time::Instant::now());
/// here.carry(&Channel("web".to_owned()));
/// context::scope(here, async {
///     // Calls made here carry it; who serves them reads it in the same way.
///     let channel = context::current().and_then(|context| context.item::<Channel>());
///     assert_eq!(channel.unwrap().0, "web");
/// })
/// .await;
/// # }
/// ```
pub trait Item: Sized {
    /// The member's name: a token without spaces, not beginning with `platform-`.
    const KEY: &'static str;

    /// The value as text; anything outside printable ASCII is escaped on the wire.
    fn encode(&self) -> String;

    /// The value behind a text, or `None` if it is none.
    fn decode(text: &str) -> Option<Self>;
}
