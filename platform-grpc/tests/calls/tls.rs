//! gRPC over TLS, with gRPC's own implementation on either side.

use std::{fs, path::PathBuf, time::Duration};

use futures_util::StreamExt as _;
use platform_grpc::Channel;
use platform_grpc_protos::{Word, echo_client::EchoClient};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use tonic::Code;

use crate::{
    house::{House, soon, word},
    outside::CASES,
    python::{Peer, Python},
};

/// An authority, and a folder for what it issues.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    /// With a certificate for a server.
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "the authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"));
        let authority = Authority {
            issuer: issuer.expect("a certificate"),
            folder: tempfile::tempdir().expect("a folder"),
        };
        fs::write(authority.path("ca.pem"), authority.issuer.pem()).expect("a file");
        authority.issue("server");
        authority
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("a path of ours").to_owned()
    }

    /// Writes `NAME.pem` and `NAME.key`, valid for loopback.
    fn issue(&self, name: &str) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
        let uri = format!("spiffe://shop/{name}");
        params.subject_alt_names.push(SanType::URI(uri.as_str().try_into().expect("a URI")));
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).expect("a file");
        fs::write(self.path(&format!("{name}.pem")), certificate.pem()).expect("a file");
    }

    /// Our server; with `mutual` it asks its callers for a certificate.
    async fn house(&self, mutual: bool) -> House {
        let ca = if mutual { format!(", client_ca = '{}'", self.text("ca.pem")) } else { String::new() };
        let (cert, key) = (self.text("server.pem"), self.text("server.key"));
        House::open(&format!("[server]\ntls = {{ cert = '{cert}', key = '{key}'{ca} }}\n")).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpcio_calls_our_server_over_tls() {
    let authority = Authority::new();
    let house = authority.house(false).await;
    let Some((ok, wrong)) = Python::calls(house.address, &[&authority.text("ca.pem")]).await else { return };
    assert_eq!(ok, CASES, "{wrong}");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpcio_shows_our_server_who_it_is() {
    let authority = Authority::new();
    authority.issue("edge");
    let house = authority.house(true).await;
    let (ca, cert, key) = (authority.text("ca.pem"), authority.text("edge.pem"), authority.text("edge.key"));
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
    authority.issue("edge");
    let folder = format!("tls={}", authority.folder.path().display());
    for mutual in [false, true] {
        let mut options = vec![folder.as_str()];
        options.extend(mutual.then_some("mtls=1"));
        let Some(peer) = Peer::start(&options).await else { return };
        let client = |name: &str, ca: &Authority, own: Option<&str>| -> EchoClient<Channel> {
            let ca = ca.path("ca.pem");
            let own =
                own.map(|own| [authority.path(&format!("{own}.pem")), authority.path(&format!("{own}.key"))]);
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
        let mut known = client("known", &authority, Some("edge"));
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
            soon(client("astray", &Authority::new(), Some("edge")).say(word("a"))).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        assert!(refused.message().contains("certificate"), "{refused}");
        peer.house.end().await;
    }
}
