//! gRPC over TLS, with gRPC's own implementation on either side.

use std::{path::Path, time::Duration};

use futures_util::StreamExt as _;
use platform_grpc::Channel;
use platform_grpc_protos::{Word, echo_client::EchoClient};
use tonic::Code;

use crate::{
    authority::{Authority, Issued},
    house::{House, soon, word},
    outside::CASES,
    python::{Peer, Python},
};

impl Authority {
    fn server(&self) -> Issued {
        self.issue("server", "spiffe://shop/echo", |_| {})
    }

    fn edge(&self) -> Issued {
        self.issue("edge", "spiffe://shop/edge", |_| {})
    }

    /// Our server; with `mutual` it asks its callers for a certificate.
    async fn house(&self, mutual: bool) -> House {
        let ca = if mutual { format!(", client_ca = '{}'", text(&self.ca())) } else { String::new() };
        let server = self.server();
        let (cert, key) = (text(&server.cert), text(&server.key));
        House::open(&format!("[server]\ntls = {{ cert = '{cert}', key = '{key}'{ca} }}\n")).await
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("a path of ours").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpcio_calls_our_server_over_tls() {
    let authority = Authority::new();
    let house = authority.house(false).await;
    let Some((ok, wrong)) = Python::calls(house.address, &[&text(&authority.ca())]).await else { return };
    assert_eq!(ok, CASES, "{wrong}");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpcio_shows_our_server_who_it_is() {
    let authority = Authority::new();
    let edge = authority.edge();
    let house = authority.house(true).await;
    let (ca, cert, key) = (text(&authority.ca()), text(&edge.cert), text(&edge.key));
    let Some((ok, wrong)) = Python::calls(house.address, &[&ca, &cert, &key]).await else { return };
    assert_eq!(ok, CASES, "{wrong}");
    assert_eq!(house.lines(1).await[0]["peer"], "spiffe://shop/edge");
    let asked = house.asked();
    let (ok, wrong) = Python::calls(house.address, &[&ca]).await.expect("it was there a moment ago");
    assert!(ok.is_empty() && wrong.contains("StatusCode.UNAVAILABLE"), "{ok:?} {wrong}");
    assert_eq!(house.asked(), asked);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_channel_calls_grpcio_over_tls() {
    let authority = Authority::new();
    authority.server();
    let edge = authority.edge();
    let folder = format!("tls={}", text(authority.folder.path()));
    for mutual in [false, true] {
        let mut options = vec![folder.as_str()];
        options.extend(mutual.then_some("mtls=1"));
        let Some(peer) = Peer::start(&options).await else { return };
        let client = |name: &str, ca: &Authority, own: Option<&Issued>| -> EchoClient<Channel> {
            let ca = ca.ca();
            let own = own.map(|own| [own.cert.clone(), own.key.clone()]);
            let channel = peer.builder(name).connect(move |connect| {
                connect.tls.ca = ca;
                connect.tls.server_name = "127.0.0.1".to_owned();
                if let Some([cert, key]) = own {
                    (connect.tls.cert, connect.tls.key) = (cert, key);
                }
            });
            let channel = channel.policy(|policy| policy.timeout = Some(Duration::from_secs(5)));
            EchoClient::new(channel.build().expect("a channel"))
        };
        let mut known = client("known", &authority, Some(&edge));
        let large = Word { load: vec![7; 300_000], ..Word::default() };
        assert_eq!(soon(known.say(large.clone())).await.unwrap().into_inner(), large);
        let many = soon(known.repeat(Word { times: 3, ..word("a") })).await.unwrap().into_inner();
        assert_eq!(many.map(|word| word.unwrap().text).collect::<Vec<_>>().await, ["a", "a", "a"]);
        let mut words = soon(known.chat(futures_util::stream::iter([word("a"), word("b")]))).await.unwrap();
        assert_eq!(soon(words.get_mut().message()).await.unwrap().unwrap().text, "a");

        // Who is nobody is turned away where that is asked, and who believes in somebody else does not call.
        let said = soon(client("nobody", &authority, None).say(word("a"))).await;
        assert_eq!(said.is_ok(), !mutual, "{said:?}");
        let refused =
            soon(client("astray", &Authority::new(), Some(&edge)).say(word("a"))).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        assert!(refused.message().contains("certificate"), "{refused}");
        peer.house.end().await;
    }
}
