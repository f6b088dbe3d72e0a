//! What if the agent is spoken to through TLS?

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use platform_core::{ErrorKind, context, identity::Identity, telemetry::Metrics};
use platform_discovery::{
    Config, Discovery, Record, Registration, Resolve as _, Snapshots, Target,
    config::{self, Registry, Tls},
    source::Consul,
};
use serde_json::json;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
        server::WebPkiClientVerifier,
    },
};

use crate::{authority::Authority, double::Double};

/// Stands before an agent, shows the certificate `server` of a folder, and asks for one of its authority.
struct Front {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Front {
    async fn before(agent: SocketAddr, folder: &Path) -> Self {
        let certificate =
            |name: &str| CertificateDer::from_pem_file(folder.join(name)).expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(certificate("ca.pem")).expect("an authority");
        let provider = Arc::new(ring::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).expect("a key");
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the usual versions")
            .with_client_cert_verifier(clients.build().expect("who is let in"))
            .with_single_cert(vec![certificate("server.pem")], key)
            .expect("they belong together");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let serving = context::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.expect("a connection");
                let acceptor = acceptor.clone();
                context::spawn(async move {
                    // Who is refused, or goes, is the other side's business.
                    let Ok(mut outer) = acceptor.accept(tcp).await else { return };
                    let Ok(mut inner) = TcpStream::connect(agent).await else { return };
                    let _ = copy_bidirectional(&mut outer, &mut inner).await;
                });
            }
        });
        Front { address, serving }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn config(front: &Front, tls: Tls) -> Config {
    let consul =
        config::Consul { address: format!("https://{}", front.address), tls, ..config::Consul::default() };
    Config { registry: Registry::Consul, consul, ..Config::default() }
}

fn shown(folder: &Path) -> Tls {
    Tls { ca: folder.join("ca.pem"), cert: folder.join("client.pem"), key: folder.join("client.key") }
}

fn follow(config: &Config) -> Snapshots {
    let consul = Consul::of(&config.consul).expect("an agent");
    consul.resolve(&Target::parse("consul://catalog").expect("a target"))
}

async fn heard(answers: &mut Snapshots) -> Result<usize, String> {
    let next = timeout(Duration::from_secs(10), answers.next()).await;
    let next = next.expect("the source says something").expect("the source goes on");
    next.map(|snapshot| snapshot.found().len()).map_err(|error| format!("{error:?}"))
}

#[tokio::test]
async fn certificates_are_shown_and_asked_for_and_read_anew_after_a_failure() {
    let (ours, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    ours.sign(folder.path(), "server");
    ours.sign(folder.path(), "client");
    let double = Double::start().await;
    let front = Front::before(double.address, folder.path()).await;
    let secured = config(&front, shown(folder.path()));
    let record: Record = serde_json::from_value(json!({
        "name": "catalog", "instance": "a", "address": "127.0.0.1:1", "expires_unix_ms": 0,
    }))
    .expect("a record");
    let registration = Registration::new(&secured, record).expect("a registration");
    registration.announce().await.expect("it is written");
    let mut answers = follow(&secured);
    assert_eq!(heard(&mut answers).await, Ok(1));
    registration.withdraw().await.expect("it is removed");

    // Who shows no certificate finds nobody.
    let bare = Tls { ca: folder.path().join("ca.pem"), ..Tls::default() };
    assert!(heard(&mut follow(&config(&front, bare))).await.is_err());

    // Who believes in another authority is told so, and believes in ours as soon as its file says so.
    let other = tempfile::tempdir().expect("a folder");
    Authority::new().sign(other.path(), "client");
    let believed = other.path().join("ca.pem");
    let mut answers = follow(&config(&front, Tls { ca: believed.clone(), ..shown(folder.path()) }));
    let error = heard(&mut answers).await.expect_err("a stranger");
    assert!(error.contains("cannot be reached") && error.contains("invalid peer certificate"), "{error}");
    std::fs::copy(folder.path().join("ca.pem"), believed).expect("room for it");
    assert_eq!(heard(&mut answers).await, Ok(0), "the file is read anew");
}

#[tokio::test]
async fn a_process_asks_for_everything_through_one_client() {
    let (ours, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    ours.sign(folder.path(), "server");
    ours.sign(folder.path(), "client");
    let double = Double::start().await;
    double.agent.put(json!({"ID": "a", "Name": "catalog", "Address": "", "Port": 8080}), "passing");
    let front = Front::before(double.address, folder.path()).await;
    let identity = Identity::default();
    let secured = config(&front, shown(folder.path()));
    let discovery = Discovery::of(secured, &identity, &Metrics::new(&identity)).expect("a discovery");
    let knows = async || discovery.services().await.expect("a list").contains("catalog");
    assert!(knows().await);
    // What was read for one is there for all.
    std::fs::remove_file(folder.path().join("client.key")).expect("it was there");
    assert!(knows().await);
    discovery.can_watch(&Target::parse("consul://catalog").expect("a target")).expect("a source");
}

#[tokio::test]
async fn a_file_that_is_missing_is_told_at_once_and_only_where_it_is_needed() {
    let tls = Tls { ca: "/nonexistent/ca.pem".into(), ..Tls::default() };
    let plain = config::Consul { tls, ..config::Consul::default() };
    Consul::of(&plain).expect("nobody reads it");
    let secured = config::Consul { address: "https://127.0.0.1:8501".into(), ..plain };
    let error = Consul::of(&secured).expect_err("it is not there");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.detail().contains("discovery.consul.tls.ca = \"/nonexistent/ca.pem\""), "{error}");
}
