//! TLS on the server: who may connect, whom a route serves, and what a renewed certificate costs.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{Extension, Router, routing::get};
use http::{HeaderValue, Method};
use platform_core::{App, ErrorKind, config::Config, context, lifecycle::Phase};
use platform_http::{
    Admin, Client, Server,
    tls::{Identity, allow},
};
use rcgen::date_time_ymd;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{io::AsyncReadExt as _, net::TcpStream};
use tokio_rustls::TlsConnector;
use tower_http::cors::CorsLayer;

use crate::{
    authority::{Authority, Issued},
    served::Served,
};

impl Authority {
    fn server(&self) -> Issued {
        self.issue("server", "spiffe://shop/orders", |_| {})
    }

    /// The `[server]` section.
    fn config(&self, server: &Issued, more: &str) -> String {
        let (cert, key) = (server.cert.display(), server.key.display());
        format!("[server]\ntls = {{ cert = '{cert}', key = '{key}'{more} }}\n")
    }

    /// Calls as `name`: with a certificate of its own, but for `nobody`; `more` goes into `connect`.
    async fn caller(&self, name: &'static str, address: SocketAddr, more: &str) -> Client {
        let own = match name {
            "nobody" => String::new(),
            _ => {
                let own = self.issue(name, &format!("spiffe://shop/{name}"), |_| {});
                format!(", cert = '{}', key = '{}'", own.cert.display(), own.key.display())
            }
        };
        let toml = format!(
            "[clients.{name}]\ntarget = 'fixed://{address}'\npolicy = {{ recovery = 'none' }}\n\
             [clients.{name}.connect]\n{more}\ntls = {{ ca = '{}'{own}, server_name = '127.0.0.1' }}\n",
            self.ca().display()
        );
        let config = Config::builder().toml(toml).load().expect("a configuration");
        let app = App::builder("caller").config(config).start().await.expect("a start");
        Client::for_target(&app, name).expect("a client")
    }

    fn asking(&self, clients: &str) -> String {
        format!(", client_ca = '{}', clients = '{clients}'", self.ca().display())
    }
}

fn routes() -> Router {
    let who = |peer: Option<Extension<Identity>>| async move {
        peer.map_or("nobody".to_owned(), |Extension(peer)| peer.to_string())
    };
    let desk = Router::new().route("/desk", get(who)).route_layer(allow(["spiffe://shop/desk"]));
    Router::new().route("/who", get(who)).merge(desk)
}

async fn ask(client: &Client, path: &str) -> (u16, String) {
    let reply = client.get(path).send().await.expect("a reply");
    (reply.status().as_u16(), reply.text().await.expect("a text"))
}

#[tokio::test]
async fn a_handler_and_the_line_know_whose_certificate_it_was() {
    let authority = Authority::new();
    let toml = authority.config(&authority.server(), &authority.asking("required"));
    let served = Served::start(Server::new(routes()), &toml).await;
    for (name, more) in [("edge", ""), ("desk", "protocol = 'h2'")] {
        let wanted = (200, format!("spiffe://shop/{name}"));
        assert_eq!(ask(&authority.caller(name, served.address, more).await, "/who").await, wanted);
    }
    let lines = served.lines(2).await;
    assert_eq!(
        (&lines[0]["peer"], &lines[1]["peer"]),
        (&"spiffe://shop/edge".into(), &"spiffe://shop/desk".into())
    );
    assert_eq!(served.metric("http_server_request_duration_seconds_count", &["url_scheme=\"https\""]), 2.0);
    assert_eq!(served.metric("http_server_request_duration_seconds_count", &["url_scheme=\"http\""]), 0.0);

    // In TLS 1.3 a client has sent its request when it learns that it is not let in. It was not served.
    for more in ["", "protocol = 'h2'"] {
        let nobody = authority.caller("nobody", served.address, more).await;
        let error = nobody.get("/who").send().await.expect_err("it showed none");
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
        assert!(error.detail().contains("TLS alert CertificateRequired; connect.tls.cert"), "{error}");
    }
    assert_eq!(served.metric("http_server_request_duration_seconds_count", &[]), 2.0, "it was not served");
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_none() {
    let (authority, other) = (Authority::new(), Authority::new());
    let toml = authority.config(&authority.server(), &authority.asking("optional"));
    let served = Served::start(Server::new(routes()), &toml).await;
    // It believes the server, and shows what another authority issued.
    fs::write(other.ca(), authority.issuer.pem()).expect("a file");
    let stranger = other.caller("desk", served.address, "").await;
    let error = stranger.get("/who").send().await.expect_err("an unknown authority");
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(error.detail().contains("it answered our certificate with the TLS alert "), "{error}");
    let nobody = authority.caller("nobody", served.address, "").await;
    assert_eq!(ask(&nobody, "/who").await, (200, "nobody".to_owned()), "others go on");
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn a_route_serves_whom_its_list_names() {
    let authority = Authority::new();
    let toml = authority.config(&authority.server(), &authority.asking("optional"));
    let served = Served::start(Server::new(routes()), &toml).await;
    let call = |name| authority.caller(name, served.address, "");
    let (edge, desk, nobody) = (call("edge").await, call("desk").await, call("nobody").await);
    // What is known of a path when it is asked for again opens none.
    for _ in 0..2 {
        assert_eq!(ask(&desk, "/desk").await, (200, "spiffe://shop/desk".to_owned()));
        for (client, status, reason, why) in [
            (&edge, 403, "forbidden", "spiffe://shop/edge is not one of those that this path is for"),
            (&nobody, 401, "unauthenticated", "this path is for peers that show a certificate"),
        ] {
            let (got, body) = ask(client, "/desk").await;
            let problem: serde_json::Value = serde_json::from_str(&body).expect("a problem document");
            assert_eq!(
                (got, &problem["reason"], &problem["layer"]),
                (status, &reason.into(), &"allow".into())
            );
            assert!(problem["detail"].as_str().unwrap_or_default().starts_with(why), "{body}");
        }
    }
    assert_eq!(ask(&nobody, "/who").await, (200, "nobody".to_owned()));
    assert_eq!(ask(&nobody, "/nowhere").await.0, 404, "what is not there is nobody's");
    let refused = |reason: &str| {
        let reason = format!("error_type=\"{reason}\"");
        served.metric("http_server_request_duration_seconds_count", &["http_route=\"/desk\"", &reason])
    };
    assert_eq!((refused("forbidden"), refused("unauthenticated")), (2.0, 2.0));
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn a_browsers_first_question_is_answered_whoever_a_route_is_for() {
    let authority = Authority::new();
    let toml = authority.config(&authority.server(), &authority.asking("optional"));
    let lists = "[server.allow]\n\"/who\" = ['spiffe://shop/desk']\n";
    let cors = CorsLayer::new().allow_origin(HeaderValue::from_static("https://shop.example"));
    let served = Served::start(Server::new(routes()).cors(cors), &format!("{toml}\n{lists}")).await;
    let nobody = authority.caller("nobody", served.address, "").await;
    for (method, status) in [(Method::OPTIONS, 200), (Method::GET, 401)] {
        let request = nobody.request(method.clone(), "/who").header("origin", "https://shop.example");
        let reply = request.send().await.expect("a reply");
        assert_eq!(reply.status(), status, "{method}");
        assert_eq!(reply.headers()["access-control-allow-origin"], "https://shop.example", "{method}");
    }
    let count = "http_server_request_duration_seconds_count";
    assert_eq!(
        served.metric(count, &["http_route=\"/who\"", "http_request_method=\"OPTIONS\""]),
        1.0,
        "what it asked for is known"
    );
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn who_is_inside_is_said_by_the_certificate() {
    let authority = Authority::new();
    let toml = authority.config(&authority.server(), &authority.asking("optional"));
    let trust = "[server]\ntrust = { inbound = 'mtls', peers = ['spiffe://shop/edge'] }\n";
    let served = Served::start(Server::new(routes()), &toml.replace("[server]\n", trust)).await;
    // How busy a server is it tells those inside only.
    for (name, inside) in [("edge", true), ("desk", false), ("nobody", false)] {
        let client = authority.caller(name, served.address, "").await;
        ask(&client, "/who").await;
        let reply = client.get("/who").send().await.expect("a reply");
        assert_eq!(reply.headers().contains_key("endpoint-load-metrics"), inside, "{name}");
    }
    assert_eq!(served.stop().await.code(), 0);
}

/// The first certificate that a new connection is shown.
async fn shown(served: &Served, authority: &Authority) -> CertificateDer<'static> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.issuer.der().clone()).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = TcpStream::connect(served.address).await.expect("it listens");
    let name = ServerName::try_from("127.0.0.1").expect("an address");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.expect("a handshake");
    stream.get_ref().1.peer_certificates().expect("a certificate")[0].clone().into_owned()
}

/// Its first second.
const JANUARY_4010: f64 = 64_376_208_000.0;

fn written(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).expect("a certificate")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_renewals_under_load_cost_nobody_anything() {
    let authority = Authority::new();
    let issued = authority.server();
    let toml = authority.config(&issued, &authority.asking("optional"));
    let served = Served::start(Server::new(routes()), &toml).await;
    let until =
        served.metric("platform_tls_not_after_timestamp_seconds", &["certificate=\"server.tls.cert\""]);

    let (over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut load = Vec::new();
    // One keeps its connection, one opens one for every request, one speaks HTTP/2; none repeats anything.
    for (name, more) in [("edge", ""), ("desk", "pool = { per_endpoint = 0 }"), ("till", "protocol = 'h2'")] {
        let client = authority.caller(name, served.address, more).await;
        let (over, asked) = (Arc::clone(&over), Arc::clone(&asked));
        load.push(context::spawn(async move {
            while !over.load(Relaxed) {
                assert_eq!(ask(&client, "/who").await, (200, format!("spiffe://shop/{name}")));
                asked.fetch_add(1, Relaxed);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }));
    }
    let mut before = shown(&served, &authority).await;
    for round in 1..=10 {
        authority.issue("server", "spiffe://shop/orders", |params| {
            params.not_after = date_time_ymd(4000 + round, 1, 1);
        });
        let wanted = written(&issued.cert);
        assert_ne!(wanted, before);
        // Every look finds the old one or the new one.
        let mut looks = 0;
        loop {
            let now = shown(&served, &authority).await;
            if now == wanted {
                break;
            }
            assert!(now == before && looks < 200, "renewal {round}");
            looks += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        before = wanted;
    }
    over.store(true, Relaxed);
    for task in load {
        task.await.expect("no request failed");
    }
    assert!(asked.load(Relaxed) > 100, "there was load");
    let now = served.metric("platform_tls_not_after_timestamp_seconds", &["certificate=\"server.tls.cert\""]);
    assert!(until > 0.0 && now == JANUARY_4010, "{now}");
    assert_eq!(
        served.metric("http_server_request_duration_seconds_count", &["error_type=\"abandoned\""]),
        0.0
    );
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn what_cannot_be_used_is_said_at_the_start() {
    let authority = Authority::new();
    let good = authority.server();
    let other = authority.issue("other", "spiffe://shop/other", |_| {});
    let ended = authority.issue("ended", "spiffe://shop/ended", |params| {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    let early = authority.issue("early", "spiffe://shop/early", |params| {
        params.not_before = date_time_ymd(4000, 1, 1);
    });
    let nothing = authority.folder.path().join("nothing.pem");
    fs::write(&nothing, "nothing").expect("a file");
    let gone = authority.folder.path().join("gone.pem");
    let rows: [(&Path, &Path, &Path, &str, &str); 8] = [
        (
            &ended.cert,
            &ended.key,
            &authority.ca(),
            "server.tls.cert",
            "its certificate ended on Wed, 01 Jan 2020",
        ),
        (&early.cert, &early.key, &authority.ca(), "server.tls.cert", "is this machine's clock right?"),
        (
            &good.cert,
            &other.key,
            &authority.ca(),
            "server.tls.key",
            "it is not the key of the first certificate in server.tls.cert",
        ),
        (&gone, &good.key, &authority.ca(), "server.tls.cert", "is it mounted, and is the name right?"),
        (&nothing, &good.key, &authority.ca(), "server.tls.cert", "there is no PEM certificate in it"),
        (&good.cert, &nothing, &authority.ca(), "server.tls.key", "there is no PEM private key in it"),
        (&good.cert, &good.cert, &authority.ca(), "server.tls.key", "there is no PEM private key in it"),
        (&good.cert, &good.key, &nothing, "server.tls.client_ca", "there is no PEM certificate in it"),
    ];
    for (cert, key, ca, setting, why) in rows {
        let toml = format!(
            "[server]\nlisten = '127.0.0.1:0'\ntls = {{ cert = '{}', key = '{}', client_ca = '{}' }}",
            cert.display(),
            key.display(),
            ca.display()
        );
        let config = Config::builder().toml(toml).load().expect("a configuration");
        let app = App::builder("orders").config(config).start().await.expect("a start");
        app.add(Server::new(routes()));
        let ended = tokio::time::timeout(Duration::from_secs(10), app.run_until_stopped()).await;
        let error = ended.expect("it does not serve").map(|_| ()).expect_err(why);
        assert_eq!(error.kind(), ErrorKind::Start, "{error}");
        let file = match setting {
            "server.tls.cert" => cert,
            "server.tls.key" => key,
            _ => ca,
        };
        let told = error.to_string();
        assert!(
            told.contains(&format!("{setting} = \"{}\": ", file.display())) && told.contains(why),
            "{told}"
        );
    }
}

#[tokio::test]
async fn who_does_not_shake_hands_is_closed_and_hinders_nobody() {
    let authority = Authority::new();
    let toml = authority
        .config(&authority.server(), "")
        .replace("[server]\n", "[server]\ntimes = { header = '300ms' }\n");
    let served = Served::start(Server::new(routes()), &toml).await;
    let mut silent = TcpStream::connect(served.address).await.expect("it listens");
    // Cleartext is answered with an alert, and the connection ends.
    let reply = served.get("/who", "").await;
    assert_eq!(reply.status, 0, "{reply:?}");
    let nobody = authority.caller("nobody", served.address, "").await;
    assert_eq!(ask(&nobody, "/who").await, (200, "nobody".to_owned()));
    let rest = tokio::time::timeout(Duration::from_secs(5), silent.read(&mut [0])).await;
    assert!(matches!(rest, Ok(Ok(0) | Err(_))), "closed after server.times.header: {rest:?}");
    assert_eq!(served.stop().await.code(), 0);
}

/// The admin listener by certificate: a change has the name that stands in it.
#[tokio::test]
async fn an_operator_is_known_by_his_certificate() {
    let authority = Authority::new();
    let (server, ca) = (authority.server(), authority.ca());
    let toml = format!(
        "[admin]\nlisten = '127.0.0.1:0'\npeers = ['spiffe://shop/on-call/*']\n\
         tls = {{ cert = '{}', key = '{}', client_ca = '{}' }}",
        server.cert.display(),
        server.key.display(),
        ca.display()
    );
    let config = Config::builder().toml(toml).load().expect("a configuration");
    let app = App::builder("orders").config(config).start().await.expect("a start");
    app.add(Admin::new(&app).expect("a section"));
    let running = context::spawn(app.clone().run_until_stopped());
    app.phases().reached(Phase::Ready).await;
    let admin = app.address("admin").expect("it listens");

    let caller = async |name: &str, uri: Option<&str>| {
        let own = uri
            .map(|uri| authority.issue(name, uri, |_| {}))
            .map(|own| format!(", cert = '{}', key = '{}'", own.cert.display(), own.key.display()));
        let toml = format!(
            "[clients.{name}]\ntarget = 'https://{admin}'\n[clients.{name}.connect]\ntls = {{ ca = '{}'{} }}",
            ca.display(),
            own.unwrap_or_default()
        );
        let config = Config::builder().toml(toml).load().expect("a configuration");
        let app = App::builder("operator").config(config).start().await.expect("a start");
        Client::for_target(&app, name).expect("a client")
    };
    let change = serde_json::json!({ "name": "drill", "target": "payments", "abort": 503, "why": "INC-42" });
    let ann = caller("ann", Some("spiffe://shop/on-call/ann")).await;
    let reply = ann.post("/platform/faults").json(&change).send().await.expect("a reply");
    let record: serde_json::Value = reply.json().await.expect("a change");
    assert_eq!((&record["who"], &record["kind"]), (&"spiffe://shop/on-call/ann".into(), &"fault".into()));
    let cart = caller("cart", Some("spiffe://shop/cart")).await;
    let nobody = caller("nobody", None).await;
    for (client, path, status) in [
        (&cart, "/platform/info", 403),
        (&cart, "/livez", 200),
        (&nobody, "/metrics", 200),
        (&nobody, "/platform/info", 200),
    ] {
        assert_eq!(ask(client, path).await.0, status, "{path}");
    }
    // On this machine a name is enough to change something, and to have none is not.
    for (client, status) in [(&cart, 403), (&nobody, 401)] {
        let reply = client.post("/platform/faults").json(&change).send().await.expect("a reply");
        assert_eq!(reply.status(), status);
    }
    // A page of another site is refused, whatever certificate its browser shows.
    let crossed =
        ann.put("/platform/log").header("origin", "https://attacker.example").json(&change).send().await;
    assert_eq!(crossed.expect("a reply").status(), 403);
    let told = app.metrics().encode();
    let mut renewals = told.lines().filter(|line| line.starts_with("platform_tls_renewal_seconds{"));
    assert!(renewals.any(|line| line.contains("certificate=\"admin.tls.cert\"")), "{told}");
    app.stop("test", "over");
    assert_eq!(running.await.expect("no panic").expect("an end").code(), 0);
}

#[tokio::test]
async fn curl_is_served_by_either_protocol() {
    let authority = Authority::new();
    let toml = authority.config(&authority.server(), &authority.asking("optional"));
    let served = Served::start(Server::new(routes()), &toml).await;
    let desk = authority.issue("desk", "spiffe://shop/desk", |_| {});
    for (protocol, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let mut command = Command::new("curl");
        command
            .args(["-sS", "--max-time", "10", protocol, "-w", " %{http_version}", "--cacert"])
            .arg(authority.ca());
        command.arg("--cert").arg(&desk.cert).arg("--key").arg(&desk.key);
        command.arg(format!("https://{}/desk", served.address));
        let ran = tokio::task::spawn_blocking(move || command.output()).await.expect("it does not panic");
        let output = match ran {
            Ok(output) => output,
            Err(error) => {
                let required =
                    std::env::var("PLATFORM_REQUIRE_OUTSIDE").is_ok_and(|required| required == "1");
                assert!(!required, "curl: {error}");
                eprintln!("skipped: curl is not installed");
                return;
            }
        };
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            format!("spiffe://shop/desk {version}"),
            "{told}"
        );
    }
    assert_eq!(served.stop().await.code(), 0);
}
