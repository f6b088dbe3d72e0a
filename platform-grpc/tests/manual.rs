//! The manual says what is so, of what platform-http does not know.

#[path = "../../platform-core/tests/pages/mod.rs"]
mod pages;

use pages::{DEFAULTS, has_every_default};
use platform_grpc::channel::MethodSettings;

#[test]
fn what_single_methods_have_of_their_own_is_in_the_manual_with_its_reason() {
    let mut methods = serde_json::to_value(MethodSettings::default()).expect("JSON");
    // The client's own, where nobody says more of a method.
    assert!(methods.as_object_mut().expect("a table").remove("policy").is_some());
    has_every_default(DEFAULTS, "`[clients.NAME.methods]`", &methods);
}
