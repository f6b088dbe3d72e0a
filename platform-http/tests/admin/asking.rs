//! Admin listeners as another process asks them: over TLS and without, and everything that can be wrong with either.

use std::{fs, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use platform_core::{Error, ErrorKind, context};
use platform_http::asking::{Asker, Config};
use rcgen::{CertificateParams, SanType, date_time_ymd};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::{io::AsyncReadExt as _, net::TcpListener};
use tokio_rustls::TlsAcceptor;

use crate::{
    authority::{Authority, Issued},
    house::{House, app, ready, soon},
};

/// The certificate of the service `orders`.
fn for_orders(params: &mut CertificateParams) {
    params.subject_alt_names.push(SanType::DnsName("orders".try_into().expect("a name")));
}

fn secured(issued: &Issued, more: &str) -> String {
    format!("tls = {{ cert = '{}', key = '{}'{more} }}", issued.cert.display(), issued.key.display())
}

/// A listener of `orders` whose certificate is of `authority`; `asking` is how it asks for others'.
async fn listener(authority: &Authority, asking: &str) -> House {
    let own = authority.issue("orders", "spiffe://shop/orders", for_orders);
    let asking = match asking {
        "" => String::new(),
        clients => format!(", client_ca = '{}', clients = '{clients}'", authority.ca().display()),
    };
    let peers = if asking.is_empty() { "" } else { "\npeers = ['spiffe://shop/on-call/*']" };
    ready(app(&format!("{}{peers}", secured(&own, &asking))).await).await
}

fn believing(ca: &Path) -> Config {
    Config { ca: ca.to_owned(), ..Config::default() }
}

fn showing(config: Config, own: &Issued) -> Config {
    Config { cert: own.cert.clone(), key: own.key.clone(), ..config }
}

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).body(Full::new(Bytes::new())).expect("a request")
}

/// What the listener of `orders` at `admin` answers.
async fn asked(config: Config, admin: SocketAddr, tls: bool) -> Result<(u16, String), Error> {
    let listener = Asker::new(config).instance("orders", admin, tls)?;
    soon(async {
        let reply = listener.ask(get("/platform/info")).await?;
        let status = reply.status().as_u16();
        let body = reply.into_body().collect().await.expect("a body").to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    })
    .await
}

#[tokio::test]
async fn a_listener_is_believed_for_the_sake_of_its_service_and_told_who_asks() {
    let authority = Authority::new();
    let house = listener(&authority, "required").await;
    let ann = authority.issue("ann", "spiffe://shop/on-call/ann", |_| {});
    let ours = showing(believing(&authority.ca()), &ann);
    let (status, told) = asked(ours.clone(), house.address, true).await.expect("a reply");
    assert!(status == 200 && told.contains("\"orders\""), "{told}");
    // A name that all certificates have, and the host of a URL.
    let named = Config { server_name: "127.0.0.1".to_owned(), ..ours.clone() };
    assert_eq!(asked(named, house.address, true).await.expect("a reply").0, 200);
    let by_url = Asker::new(ours.clone()).url(&format!("https://{}/", house.address)).expect("a listener");
    assert_eq!(by_url.ask(get("/livez")).await.expect("a reply").status(), 200);
    // Who is let in and may not read is told so by the listener itself.
    let cart = authority.issue("cart", "spiffe://shop/cart", |_| {});
    let (status, told) = asked(showing(ours, &cart), house.address, true).await.expect("a reply");
    assert!(status == 403 && told.contains("spiffe://shop/cart is not one of `admin.peers`"), "{told}");
    house.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_tls_says_what_and_where_and_what_to_do() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (open, asks, plain) =
        (listener(&authority, "").await, listener(&authority, "required").await, ready(app("").await).await);
    let expired = ending(&authority).await;
    let mute = mute().await;
    let ours = believing(&authority.ca());
    let stranger = other.issue("ann", "spiffe://shop/on-call/ann", |_| {});
    let late = authority.issue("late", "spiffe://shop/on-call/late", |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let named = |name: &str| Config { server_name: name.to_owned(), ..ours.clone() };
    let ca = format!("was issued by nobody in `admin.fleet.ca` = \"{}\"", other.ca().display());
    for (what, config, admin, tls, told) in [
        ("another authority", believing(&other.ca()), open.address, true, ca.as_str()),
        ("another name", named("{service}.shop"), open.address, true, "is not for orders.shop, it is for "),
        (
            "it has ended",
            ours.clone(),
            expired,
            true,
            "its certificate ended on Fri, 01 Jan 2021 00:00:00 GMT; renew",
        ),
        ("none is shown", ours.clone(), asks.address, true, "and we showed none: set `admin.fleet.cert`"),
        (
            "a stranger's",
            showing(ours.clone(), &stranger),
            asks.address,
            true,
            "it refuses our certificate (TLS alert ",
        ),
        (
            "ours has ended",
            showing(ours.clone(), &late),
            asks.address,
            true,
            "it says that our certificate has ended",
        ),
        (
            "no TLS there",
            ours.clone(),
            plain.address,
            true,
            "what answers speaks no TLS; its record or its address says",
        ),
        ("nothing there", ours.clone(), mute, true, "without a word of TLS"),
        (
            "TLS there",
            ours.clone(),
            open.address,
            false,
            "does it speak TLS? Then its record has to say so (`admin_tls`)",
        ),
    ] {
        let error = asked(config, admin, tls).await.expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{what}: {error}");
        let detail = error.detail();
        assert!(detail.starts_with(&format!("{admin}: ")) && detail.contains(told), "{what}: {detail}");
        assert!(!format!("{error:?}").contains("PRIVATE"), "{error:?}");
    }
    // The one who asks cannot be asked for nothing: what stands here is found here.
    for (config, told) in [
        (believing(Path::new("/nowhere/ca.pem")), "admin.fleet.ca = \"/nowhere/ca.pem\": "),
        (
            Config { cert: stranger.key.clone(), key: stranger.key.clone(), ..ours.clone() },
            "there is no PEM certificate in it",
        ),
        (named("no name"), "admin.fleet.server_name: \"no name\" cannot be the name in a certificate"),
    ] {
        let error = asked(config.clone(), open.address, true).await.expect_err(told);
        assert!(error.kind() == ErrorKind::Config && error.detail().contains(told), "{error}");
        assert_eq!(Asker::new(config).check().is_err(), told.contains("PEM") || told.contains("nowhere"));
    }
    for house in [open, asks, plain] {
        house.stop().await;
    }
}

#[tokio::test]
async fn a_file_that_was_renewed_counts_from_the_next_connection_on() {
    let (authority, other) = (Authority::new(), Authority::new());
    let house = listener(&authority, "").await;
    let asker = Asker::new(believing(&other.ca()));
    let ask = async || {
        let listener = asker.instance("orders", house.address, true).expect("a listener");
        listener.ask(get("/livez")).await.map(|reply| reply.status().as_u16())
    };
    assert!(ask().await.expect_err("another authority").detail().contains("issued by nobody"));
    fs::write(other.ca(), authority.issuer.pem()).expect("a file");
    assert_eq!(ask().await.expect("a reply"), 200);
    // Half a renewal changes nothing.
    fs::write(other.ca(), "spoilt").expect("a file");
    assert_eq!(ask().await.expect("a reply"), 200);
    house.stop().await;
}

/// Whoever writes into a registry could name an address of his own.
#[tokio::test]
async fn a_token_is_shown_in_cleartext_to_nobody_else_once_an_authority_is_named() {
    let authority = Authority::new();
    let elsewhere: SocketAddr = "192.0.2.1:9464".parse().expect("an address");
    let with_token = || {
        let mut request = get("/platform/info");
        request.headers_mut().insert(header::AUTHORIZATION, "Bearer s3cret".parse().expect("a value"));
        request
    };
    let insisting = Asker::new(believing(&authority.ca()));
    let listener = insisting.instance("orders", elsewhere, false).expect("a listener");
    let error = listener.ask(with_token()).await.expect_err("it would be overheard");
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    assert!(
        error.detail().starts_with("192.0.2.1:9464: its record says that it speaks cleartext"),
        "{error}"
    );
    assert!(!format!("{error:?}{listener:?}{insisting:?}").contains("s3cret"));
    // What this machine says to itself is heard by nobody.
    let house = ready(app("").await).await;
    let here = insisting.instance("orders", house.address, false).expect("a listener");
    assert_eq!(here.ask(with_token()).await.expect("a reply").status(), 401, "it is a token of nobody");
    // Nobody waits for an address that does not answer to learn what it thinks of no token.
    let asked = tokio::time::timeout(Duration::from_millis(50), listener.ask(get("/livez"))).await;
    assert!(
        asked.is_err()
            || asked.is_ok_and(|asked| asked.is_err_and(|error| error.kind() != ErrorKind::Forbidden))
    );
    house.stop().await;
}

#[test]
fn an_address_that_is_none_is_refused() {
    let asker = Asker::new(Config::default());
    for wrong in [
        "orders",
        "http://",
        "https://host",
        "ftp://host:1",
        "http://host:1/path",
        "http://ann@host:1",
        "//h:1",
    ] {
        let error = asker.url(wrong).map(|_| ()).expect_err(wrong);
        assert!(error.detail().contains("is no admin listener; write http://HOST:PORT"), "{wrong}: {error}");
    }
    for fine in ["http://localhost:9464", "http://[::1]:9464/", "https://admin.shop:9464"] {
        assert!(asker.url(fine).is_ok(), "{fine}");
    }
}

/// A listener whose certificate has ended since it began.
async fn ending(authority: &Authority) -> SocketAddr {
    let issued = authority.issue("ended", "spiffe://shop/orders", |params| {
        for_orders(params);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let certificate = CertificateDer::from_pem_file(&issued.cert).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(&issued.key).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a pair");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    accepting(move |tcp| {
        let accept = acceptor.accept(tcp);
        async move { drop(accept.await) }
    })
    .await
}

/// Reads what comes and leaves without a word.
async fn mute() -> SocketAddr {
    accepting(|mut tcp| async move {
        let _ = tcp.read(&mut [0; 4096]).await;
    })
    .await
}

async fn accepting<F: Future<Output = ()> + Send + 'static>(
    each: impl Fn(tokio::net::TcpStream) -> F + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    context::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            context::spawn(each(tcp));
        }
    });
    address
}
