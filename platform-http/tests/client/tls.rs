//! `https://` targets.

use std::sync::Arc;

use platform_core::{App, ErrorKind};
use platform_http::Client;
use rcgen::CertificateParams;
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    authority::Authority,
    peer::{Peer, app, ok},
};

impl Authority {
    /// A peer with a certificate for `name`; with `ask`, it wants one of the client too.
    async fn peer(&self, name: &str, ask: bool) -> Peer {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder = if ask {
            let mut roots = RootCertStore::empty();
            roots.add(self.issuer.der().clone()).expect("a root");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        } else {
            builder.with_no_client_auth()
        };
        let issued = self.issue("server", "spiffe://shop/vault", |params| {
            params.subject_alt_names =
                CertificateParams::new([name.to_owned()]).expect("a name").subject_alt_names;
        });
        let certificate = CertificateDer::from_pem_file(&issued.cert).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(&issued.key).expect("a key");
        let config = builder.with_single_cert(vec![certificate], key).expect("a pair");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Peer::accepting(
            |_| ok("secret"),
            move |tcp| {
                let accept = acceptor.accept(tcp);
                async move { accept.await.ok() }
            },
        )
        .await
    }
}

async fn service(peer: &Peer, tls: &str) -> App {
    let port = peer.address.port();
    app(&format!(
        "[clients.vault]\ntarget = \"https://127.0.0.1:{port}\"\n[clients.vault.connect]\ntls = {tls}"
    ))
    .await
}

#[tokio::test]
async fn a_server_is_believed_for_the_sake_of_its_authority() {
    let authority = Authority::new();
    let peer = authority.peer("127.0.0.1", false).await;
    let app = service(&peer, &format!("{{ ca = \"{}\" }}", authority.ca().display())).await;
    let vault = Client::for_target(&app, "vault").expect("a client");
    assert_eq!(vault.get("/").send().await.expect("a reply").text().await.expect("text"), "secret");
    assert_eq!(peer.only().names(), ["host", "traceparent"], "and it is a stranger");
    assert_eq!(peer.only().header("host"), Some(peer.address.to_string().as_str()));
}

#[tokio::test]
async fn a_name_of_ones_own_is_looked_for_in_the_certificate() {
    let authority = Authority::new();
    let peer = authority.peer("vault.example", false).await;
    let ca = authority.ca().display().to_string();
    let app = service(&peer, &format!("{{ ca = \"{ca}\", server_name = \"vault.example\" }}")).await;
    let vault = Client::for_target(&app, "vault").expect("a client");
    assert!(vault.get("/").send().await.is_ok());

    let other = service(&peer, &format!("{{ ca = \"{ca}\" }}")).await;
    let error = Client::for_target(&other, "vault")
        .expect("a client")
        .get("/")
        .send()
        .await
        .expect_err("not its name");
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.detail().contains("nothing was sent: invalid peer certificate"), "{error}");
}

#[tokio::test]
async fn a_server_of_an_authority_that_nobody_named_is_refused() {
    let authority = Authority::new();
    let peer = authority.peer("127.0.0.1", false).await;
    // A test machine may believe nobody at all; then the client says so when it is made.
    let app = service(&peer, "{}").await;
    match Client::for_target(&app, "vault") {
        Ok(vault) => {
            let error = vault.get("/").send().await.expect_err("an unknown authority");
            assert_eq!(error.kind(), ErrorKind::Unreachable);
            assert!(error.detail().contains("UnknownIssuer"), "{error}");
        }
        Err(error) => assert!(error.detail().contains("connect.tls.ca"), "{error}"),
    }
    assert!(peer.heard().is_empty());
}

#[tokio::test]
async fn a_server_that_asks_is_shown_our_certificate() {
    let authority = Authority::new();
    let peer = authority.peer("127.0.0.1", true).await;
    let ca = authority.ca().display().to_string();
    let own = authority.issue("edge", "spiffe://shop/edge", |_| {});
    let (cert, key) = (own.cert.display(), own.key.display());
    let app = service(&peer, &format!("{{ ca = \"{ca}\", cert = \"{cert}\", key = \"{key}\" }}")).await;
    let vault = Client::for_target(&app, "vault").expect("a client");
    assert!(vault.get("/").send().await.is_ok());

    let unknown = service(&peer, &format!("{{ ca = \"{ca}\" }}")).await;
    assert!(Client::for_target(&unknown, "vault").expect("a client").get("/").send().await.is_err());
}

#[tokio::test]
async fn a_certificate_that_cannot_be_read_makes_no_client() {
    let authority = Authority::new();
    let peer = authority.peer("127.0.0.1", false).await;
    let empty = authority.folder.path().join("empty.pem");
    std::fs::write(&empty, "nothing").expect("a file");
    for (ca, part) in [
        ("/nowhere/ca.pem".to_owned(), "connect.tls.ca = \"/nowhere/ca.pem\""),
        (empty.display().to_string(), "no PEM certificate"),
    ] {
        let app = service(&peer, &format!("{{ ca = \"{ca}\" }}")).await;
        let error = Client::for_target(&app, "vault").map(|_| ()).expect_err(part);
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.detail().contains(part), "{error}");
    }
}

#[tokio::test]
async fn a_connection_that_is_never_made_is_given_up_in_time() {
    let authority = Authority::new();
    // It accepts, and then listens for a request that is no handshake.
    let peer = Peer::open(|_| ok("")).await;
    let toml = format!(
        "[clients.vault]\ntarget = \"https://{}\"\n[clients.vault.connect]\ntimeout = \"100ms\"\ntls = {{ ca = \"{}\" }}",
        peer.address,
        authority.ca().display()
    );
    let app = app(&toml).await;
    let error =
        Client::for_target(&app, "vault").expect("a client").get("/").send().await.expect_err("silence");
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.detail().contains("no connection within 100ms (connect.timeout)"), "{error}");
}
