//! What servers say of their load, and what becomes of it.

use futures_util::StreamExt as _;
use platform_grpc_protos::Word;
use tonic::Code;

use crate::{
    house::{House, soon, word},
    python::Peer,
};

/// What the operator of this house sees of the only endpoint that it calls.
fn under_way(house: &House) -> Option<u32> {
    let targets = platform_http::discovery(&house.app).expect("it calls somebody").targets();
    targets.iter().flat_map(|target| &target.endpoints).find_map(|endpoint| endpoint.under_way)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_grpcio_says_in_trailers_is_heard() {
    let Some(peer) = Peer::start(&[]).await else { return };
    let mut client = peer.client();
    let loaded = |rif: usize| Word { load: vec![0; rif], ..word("loaded:a") };
    soon(client.say(word("a"))).await.unwrap();
    assert_eq!(under_way(&peer.house), None, "it did not say so");
    soon(client.say(loaded(7))).await.unwrap();
    assert_eq!(under_way(&peer.house), Some(7));
    // A head that is all there is, and the end of a stream.
    let failed = soon(client.add(Word { code: 5, ..loaded(8) })).await.unwrap_err();
    assert_eq!(failed.code(), Code::NotFound);
    assert_eq!(under_way(&peer.house), Some(8));
    let words = soon(client.repeat(Word { times: 2, ..loaded(9) })).await.unwrap().into_inner();
    assert_eq!(words.count().await, 2);
    assert_eq!(under_way(&peer.house), Some(9));
    peer.house.end().await;
}

#[tokio::test]
async fn our_server_says_it_in_trailers_and_to_nobody_outside() {
    for (trust, expected) in [("internal", Some(0)), ("edge", None)] {
        let house = House::open(&format!("[server]\ntrust = {{ inbound = \"{trust}\" }}")).await;
        let mut client = house.client();
        // The first has nothing to tell yet.
        for _ in 0..2 {
            let reply = soon(client.say(word("a"))).await.unwrap();
            assert!(!reply.metadata().contains_key("endpoint-load-metrics"));
        }
        assert_eq!(under_way(&house), expected, "{trust}");
        house.end().await;
    }
}
