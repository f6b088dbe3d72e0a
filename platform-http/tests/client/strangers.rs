//! What others learn of us.

use platform_core::{
    Context,
    context::{Tenant, scope},
};
use platform_http::{Client, client::Preset};
use tokio::time::Instant;

use crate::peer::{Peer, app, ok};

fn served() -> Context {
    let mut served = Context::root(Instant::now());
    served.set_tenant(Tenant::parse("acme").expect("a tenant"));
    served.stop_chain();
    served
}

#[tokio::test]
async fn a_stranger_learns_the_trace_and_nothing_else() {
    let peer = Peer::open(|_| ok("")).await;
    let app = app("").await;
    let external = Client::builder(&app, "partner").preset(Preset::External).target(peer.target());
    let by_host = Client::builder(&app, "host").target(format!("http://{}", peer.address));
    for builder in [external, by_host] {
        let client = builder.build().expect("a client");
        // A handler that passes on what it was given.
        let request = client.get("/").header("platform-fault", "x").header("baggage", "platform-tenant=acme");
        scope(served(), request.send()).await.expect("a reply");
    }
    let heard = peer.heard();
    assert_eq!(heard.len(), 2);
    for heard in heard {
        assert_eq!(heard.names(), ["host", "traceparent"]);
    }
}

#[tokio::test]
async fn a_preset_in_a_file_counts_as_well() {
    let peer = Peer::open(|_| ok("")).await;
    let app = app(&format!("[clients.partner]\npreset = \"external\"\ntarget = \"{}\"", peer.target())).await;
    let partner = Client::for_target(&app, "partner").expect("a client");
    scope(served(), partner.get("/").send()).await.expect("a reply");
    assert_eq!(peer.only().names(), ["host", "traceparent"]);
}
