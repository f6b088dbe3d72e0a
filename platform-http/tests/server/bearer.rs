//! Bearer tokens on the server: which are good, what the others get, and what is never seen of any.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use axum::{Extension, Json, Router, routing::get};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderValue, Method, header::AUTHORIZATION};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use platform_core::{App, ErrorKind, config::Config, context};
use platform_http::{Server, bearer::Bearer};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData as _};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use serde_json::{Value, json};
use tower_http::cors::CorsLayer;
use tower_layer::layer_fn;
use tracing_subscriber::{layer::SubscriberExt as _, registry};

use crate::{
    served::{Reply, Served},
    slots::by_key,
};

/// Who issues tokens, and where its public keys lie.
struct Issuer {
    folder: tempfile::TempDir,
    keys: BTreeMap<&'static str, KeyPair>,
}

impl Issuer {
    /// One key of each kind, named after it.
    fn new() -> Self {
        let kinds = [
            ("p256", &PKCS_ECDSA_P256_SHA256),
            ("p384", &PKCS_ECDSA_P384_SHA384),
            ("ed25519", &PKCS_ED25519),
        ];
        let keys = kinds.map(|(name, kind)| (name, KeyPair::generate_for(kind).expect("a key")));
        let issuer = Issuer { folder: tempfile::tempdir().expect("a folder"), keys: keys.into() };
        issuer.publish(&["p256", "p384", "ed25519"]);
        issuer
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes these keys, and no others, as a JWK Set.
    fn publish(&self, names: &[&str]) {
        let keys: Vec<Value> = names.iter().map(|name| jwk(name, &self.keys[name])).collect();
        self.write("keys.json", &json!({ "keys": keys }).to_string());
    }

    fn write(&self, name: &str, text: &str) {
        // Beside it and renamed, as whoever distributes files does.
        let beside = self.path(&format!(".{name}"));
        fs::write(&beside, text).expect("a file");
        fs::rename(beside, self.path(name)).expect("a file");
    }

    /// A token with these claims over those of a good one, by the key of this name.
    fn token(&self, name: &'static str, claims: Value) -> String {
        let mut header = Header::new(algorithm(name));
        header.kid = Some(name.to_owned());
        self.signed(&header, name, claims)
    }

    fn signed(&self, header: &Header, name: &'static str, claims: Value) -> String {
        encode(header, &good(claims), &signing(name, &self.keys[name])).expect("a token")
    }

    fn config(&self, more: &str) -> String {
        let keys = self.path("keys.json");
        format!(
            "[server.bearer]\nkeys = ['{}']\nissuer = 'https://login.example'\naudience = 'orders'\ntenant = 'org'\n{more}\n",
            keys.display()
        )
    }
}

fn algorithm(name: &str) -> Algorithm {
    match name {
        "p256" => Algorithm::ES256,
        "p384" => Algorithm::ES384,
        _ => Algorithm::EdDSA,
    }
}

fn signing(name: &str, key: &KeyPair) -> EncodingKey {
    match name {
        "ed25519" => EncodingKey::from_ed_der(&key.serialize_der()),
        _ => EncodingKey::from_ec_der(&key.serialize_der()),
    }
}

fn jwk(name: &str, key: &KeyPair) -> Value {
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let raw = key.der_bytes();
    match name {
        "ed25519" => json!({ "kty": "OKP", "crv": "Ed25519", "kid": name, "x": part(raw) }),
        _ => {
            let (x, y) = raw[1..].split_at(raw.len() / 2);
            let curve = if name == "p384" { "P-384" } else { "P-256" };
            json!({ "kty": "EC", "crv": curve, "kid": name, "use": "sig", "x": part(x), "y": part(y) })
        }
    }
}

/// The claims of a good token with these over them; `null` takes one away.
fn good(claims: Value) -> Value {
    let mut all = json!({
        "iss": "https://login.example", "aud": ["orders", "else"], "sub": "ann", "exp": now() + 60,
        "scope": "orders.read", "org": "acme", "email": SECRET,
    });
    let Value::Object(claims) = claims else { panic!("claims are an object: {claims}") };
    let map = all.as_object_mut().expect("claims");
    for (name, value) in claims {
        if value.is_null() {
            map.remove(&name);
        } else {
            map.insert(name, value);
        }
    }
    all
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs()
}

fn routes() -> Router {
    let who = |bearer: Option<Extension<Bearer>>| async move {
        let bearer = bearer.map(|Extension(bearer)| bearer);
        let tenant = context::current().and_then(|context| context.tenant().map(ToString::to_string));
        Json(json!({
            "subject": bearer.as_ref().map(Bearer::subject),
            "scopes": bearer.as_ref().map(|bearer| bearer.scopes().collect::<Vec<_>>()),
            "printed": format!("{bearer:?}"),
            "tenant": tenant,
        }))
    };
    Router::new().route("/who", get(who)).route("/refunds/{id}", get(who)).route("/open", get(who))
}

async fn show(served: &Served, path: &str, token: &str) -> Reply {
    served.get(path, &format!("authorization: Bearer {token}\r\n")).await
}

/// Stands in every token's claims, and nowhere else may it stand.
const SECRET: &str = "ann-at-home.example";

#[tokio::test]
async fn a_good_token_names_its_subject_its_scopes_and_its_tenant() {
    let issuer = Issuer::new();
    let served = Served::start(Server::new(routes()), &issuer.config("")).await;
    for name in ["p256", "p384", "ed25519"] {
        let reply = show(&served, "/who", &issuer.token(name, json!({}))).await;
        assert_eq!(reply.status, 200, "{name}: {}", reply.body);
        let seen = reply.json();
        assert_eq!((&seen["subject"], &seen["tenant"]), (&"ann".into(), &"acme".into()));
        assert_eq!(seen["scopes"], json!(["orders.read"]));
    }
    // One audience may be written without a list, and a clock may be a little late or early.
    for claims in [json!({ "aud": "orders" }), json!({ "exp": now() - 10 }), json!({ "nbf": now() + 10 })] {
        assert_eq!(
            show(&served, "/who", &issuer.token("p256", claims.clone())).await.status,
            200,
            "{claims}"
        );
    }
    let lines = served.lines(6).await;
    for line in &lines {
        assert_eq!((&line["subject"], &line["tenant"]), (&"ann".into(), &"acme".into()), "{line}");
    }
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn a_token_that_is_not_good_is_answered_401_with_the_reason_and_is_seen_nowhere() {
    let issuer = Issuer::new();
    let served = Served::start(Server::new(routes()), &issuer.config("")).await;
    let stranger = KeyPair::generate().expect("a key");
    let whole = issuer.token("p256", json!({}));
    let parts: Vec<&str> = whole.split('.').collect();
    let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let by_stranger = |header: &Header| {
        encode(header, &good(json!({})), &EncodingKey::from_ec_der(&stranger.serialize_der()))
            .expect("a token")
    };
    let named = |algorithm| Header { kid: Some("p256".to_owned()), ..Header::new(algorithm) };
    let own_key =
        Header { jwk: serde_json::from_value(jwk("p256", &stranger)).ok(), ..named(Algorithm::ES256) };
    // What an attacker has is the public key; as a secret it signs what HS256 is checked with.
    let public = issuer.keys["p256"].public_key_pem();
    let confused =
        encode(&named(Algorithm::HS256), &good(json!({})), &EncodingKey::from_secret(public.as_bytes()));
    let raw = EncodingKey::from_secret(issuer.keys["p256"].der_bytes());
    let confused_raw = encode(&Header::new(Algorithm::HS256), &good(json!({})), &raw);
    let critical = Header { crit: Some(vec!["exp".to_owned()]), ..named(Algorithm::ES256) };
    let rows: Vec<(&str, String, &str)> = vec![
        (
            "none",
            format!("{}.{}.", part(json!({ "alg": "none", "typ": "JWT" })), parts[1]),
            "names an algorithm that is not accepted",
        ),
        (
            "None",
            format!("{}.{}.{}", part(json!({ "alg": "None" })), parts[1], parts[2]),
            "names an algorithm that is not accepted",
        ),
        ("HS256 by the public key", confused.expect("a token"), "another algorithm"),
        ("HS256 by its bytes", confused_raw.expect("a token"), "another algorithm"),
        (
            "another algorithm of the same kind",
            issuer.signed(&named(Algorithm::ES384), "p384", json!({})),
            "another algorithm",
        ),
        ("somebody else's key", by_stranger(&named(Algorithm::ES256)), "none of the keys here has signed it"),
        ("a key of its own in the header", by_stranger(&own_key), "none of the keys here has signed it"),
        (
            "no kid, somebody else's key",
            by_stranger(&Header::new(Algorithm::ES256)),
            "none of the keys here has signed it",
        ),
        (
            "an unknown kid",
            issuer.signed(&Header { kid: Some("p999".into()), ..named(Algorithm::ES256) }, "p256", json!({})),
            "no key here has the name",
        ),
        ("a critical header", issuer.signed(&critical, "p256", json!({})), "critical headers"),
        (
            "changed claims",
            format!("{}.{}.{}", parts[0], part(good(json!({ "sub": "bob" }))), parts[2]),
            "none of the keys here has signed it",
        ),
        ("no signature", format!("{}.{}.", parts[0], parts[1]), "none of the keys here has signed it"),
        ("ended", issuer.token("p256", json!({ "exp": now() - 31 })), "it has ended"),
        ("not begun", issuer.token("p256", json!({ "nbf": now() + 40 })), "it has not begun"),
        ("without an end", issuer.token("p256", json!({ "exp": null })), "it does not say when it ends"),
        ("an end that is a text", issuer.token("p256", json!({ "exp": "never" })), "when it ends"),
        (
            "a beginning that is a text",
            issuer.token("p256", json!({ "nbf": "never" })),
            "a time in it is no number",
        ),
        (
            "another issuer",
            issuer.token("p256", json!({ "iss": "https://login.example.attacker" })),
            "another issuer",
        ),
        ("no issuer", issuer.token("p256", json!({ "iss": null })), "who issued it"),
        ("another audience", issuer.token("p256", json!({ "aud": "payments" })), "another audience"),
        ("no audience", issuer.token("p256", json!({ "aud": null })), "for whom it is"),
        ("no subject", issuer.token("p256", json!({ "sub": null })), "whom it names"),
        (
            "a subject of two lines",
            issuer.token("p256", json!({ "sub": "ann\nroot" })),
            "its subject is no line",
        ),
        ("huge", issuer.token("p256", json!({ "pad": "x".repeat(9000) })), "longer than 8 KiB"),
        ("two parts", format!("{}.{}", parts[0], parts[1]), "it is no JWT"),
        ("four parts", format!("{whole}.x"), "it is no JWT"),
        ("no base64", "a.b.c".to_owned(), "it is no JWT"),
        ("nothing", String::new(), "it is no bearer token"),
    ];
    for (name, token, why) in &rows {
        let reply = show(&served, "/who", token).await;
        let problem = reply.json();
        assert_eq!((reply.status, &problem["reason"]), (401, &"unauthenticated".into()), "{name}: {problem}");
        assert!(problem["detail"].as_str().unwrap_or_default().contains(why), "{name}: {problem}");
        let challenge = reply.header("www-authenticate").expect("RFC 6750");
        assert!(
            challenge.starts_with("Bearer error=\"invalid_token\", error_description=\""),
            "{name}: {challenge}"
        );
    }
    let missing = served.get("/who", "").await;
    assert_eq!((missing.status, missing.header("www-authenticate")), (401, Some("Bearer")));
    for headers in [
        "authorization: Basic YW5uOmh1bnRlcjI=\r\n".to_owned(),
        format!("authorization: Bearer {whole}\r\nauthorization: Bearer {whole}\r\n"),
        format!("authorization: {whole}\r\n"),
        "authorization: Bearer \u{ff}\r\n".to_owned(),
    ] {
        assert_eq!(served.get("/who", &headers).await.status, 401, "{headers:?}");
    }
    assert_eq!(show(&served, "/nowhere", "x").await.status, 401, "what is there is for who may ask");

    // Nothing of any token is in the log, and nothing of what stands in one.
    let count = rows.len() + 6;
    let lines = served.lines(count).await;
    assert_eq!(lines.len(), count);
    let told = lines.iter().map(Value::to_string).collect::<String>() + &served.app.metrics().encode();
    for (name, token, _) in &rows {
        let tail = token.rsplit('.').next().unwrap_or_default();
        assert!(tail.len() < 8 || !told.contains(tail), "{name} is in the log");
    }
    assert!(!told.contains(SECRET) && !told.contains("YW5uOmh1bnRlcjI="));
    assert_eq!(
        served.metric("http_server_request_duration_seconds_count", &["error_type=\"unauthenticated\""]),
        count as f64
    );
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn a_list_in_a_file_says_whom_a_route_serves() {
    let issuer = Issuer::new();
    let lists = "tokens = 'optional'\n[server.allow]\n\"/refunds/{id}\" = ['scope:refunds.write', 'sub:boss']\n\"/who\" = ['sub:*']\n";
    let served = Served::start(Server::new(routes()), &issuer.config(lists)).await;
    let token = |claims| issuer.token("p256", claims);
    for (path, token, status) in [
        ("/open", None, 200),
        ("/open", Some(token(json!({}))), 200),
        ("/open", Some("x.y.z".to_owned()), 401),
        ("/who", None, 401),
        ("/who", Some(token(json!({}))), 200),
        ("/refunds/7", None, 401),
        ("/refunds/7", Some(token(json!({}))), 403),
        ("/refunds/%37", Some(token(json!({}))), 403),
        ("/refunds/7", Some(token(json!({ "scope": "orders.read refunds.write" }))), 200),
        ("/refunds/7", Some(token(json!({ "sub": "boss" }))), 200),
        ("/refunds/7/x", Some(token(json!({}))), 404),
    ] {
        let headers =
            token.as_ref().map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        let reply = served.get(path, &headers).await;
        assert_eq!(reply.status, status, "{path} {token:?}: {}", reply.body);
        let challenge = reply.header("www-authenticate");
        match (status, path) {
            (403, _) => {
                let challenge = challenge.expect("a challenge");
                assert!(challenge.starts_with("Bearer error=\"insufficient_scope\""), "{challenge}");
                assert!(challenge.ends_with("scope=\"refunds.write\""), "{challenge}");
                assert_eq!(reply.json()["layer"], "allow");
            }
            (401, "/refunds/7") => assert_eq!(challenge, Some("Bearer scope=\"refunds.write\"")),
            (401, _) => assert!(challenge.is_some()),
            _ => assert_eq!(challenge, None),
        }
    }
    assert_eq!(
        served.metric(
            "http_server_request_duration_seconds_count",
            &["http_route=\"/refunds/{id}\"", "error_type=\"forbidden\""]
        ),
        2.0
    );
    assert_eq!(served.stop().await.code(), 0);
}

/// It shows no credentials with its first question, whether it may ask; and what it is refused with its page may read.
#[tokio::test]
async fn a_browser_of_another_origin_may_ask_first_and_is_told_why_it_is_refused() {
    const ORIGIN: &str = "https://shop.example";
    let cors = || {
        let origin = HeaderValue::from_static(ORIGIN);
        CorsLayer::new().allow_origin(origin).allow_methods([Method::GET]).allow_headers([AUTHORIZATION])
    };
    let issuer = Issuer::new();
    let lists = "tokens = 'optional'\n[server.allow]\n\"/refunds/{id}\" = ['sub:boss']\n";
    for (what, server, toml) in [
        ("every route asks", Server::new(routes()).cors(cors()), issuer.config("")),
        ("one route asks", Server::new(routes()).cors(cors()), issuer.config(lists)),
        ("a team's layer asks", Server::new(routes()).cors(cors()).identity(layer_fn(by_key)), String::new()),
    ] {
        let served = Served::start(server, &toml).await;
        let head = format!("/refunds/7 HTTP/1.1\r\nhost: x\r\nconnection: close\r\norigin: {ORIGIN}\r\n");
        let asks = "access-control-request-method: GET\r\naccess-control-request-headers: authorization\r\n";
        let preflight = served.ask(format!("OPTIONS {head}{asks}\r\n")).await;
        assert_eq!((preflight.status, preflight.body.as_str()), (200, ""), "{what}: {preflight:?}");
        assert_eq!(preflight.header("access-control-allow-origin"), Some(ORIGIN), "{what}");
        assert_eq!(preflight.header("access-control-allow-headers"), Some("authorization"), "{what}");
        let refused = served.ask(format!("GET {head}\r\n")).await;
        assert_eq!((refused.status, &refused.json()["reason"]), (401, &"unauthenticated".into()), "{what}");
        assert_eq!(refused.header("access-control-allow-origin"), Some(ORIGIN), "{what}");
        assert_eq!(served.stop().await.code(), 0);
    }
    // Whose server says nothing of other origins has a route like any other.
    let served = Served::start(Server::new(routes()), &issuer.config(lists)).await;
    let head = "OPTIONS /refunds/7 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert_eq!(served.ask(head).await.status, 401);
    assert_eq!(served.stop().await.code(), 0);
}

/// What a service with this configuration is refused with.
async fn refused(toml: &str) -> platform_core::Error {
    let config = Config::builder().toml(toml).set("server.listen", "127.0.0.1:0").load().expect("TOML");
    let app = App::builder("orders").config(config).start().await.expect("a start");
    app.add(Server::new(routes()));
    let ended = tokio::time::timeout(Duration::from_secs(10), app.run_until_stopped()).await;
    ended.expect("it does not serve").map(|_| ()).expect_err(toml)
}

#[tokio::test]
async fn a_list_of_a_route_that_is_not_there_and_keys_that_cannot_be_used_are_said_at_the_start() {
    let issuer = Issuer::new();
    let error = refused(&issuer.config("[server.allow]\n\"/refund/{id}\" = ['sub:ann']")).await;
    assert!(error.kind() == ErrorKind::Config && error.detail().contains("`/refund/{id}`"), "{error}");
    let error = refused("[server.allow]\n\"/who\" = ['scope:a']").await;
    assert!(error.detail().contains("`server.allow.\"/who\"` lets in \"scope:a\""), "{error}");

    let secret = json!({ "keys": [{ "kty": "oct", "k": "aHVudGVyMg", "alg": "HS256" }] }).to_string();
    let encryption =
        json!({ "keys": [{ "kty": "RSA", "use": "enc", "alg": "RSA-OAEP", "n": "AQAB", "e": "AQAB" }] });
    let small = json!({ "keys": [{ "kty": "RSA", "n": URL_SAFE_NO_PAD.encode([0xff; 128]), "e": "AQAB" }] });
    let mismatch = json!({ "keys": [{ "alg": "RS256", "kty": "OKP", "crv": "Ed25519", "x": "AQAB" }] });
    for (text, why) in [
        (secret.as_str(), "there is a shared secret in it"),
        (&encryption.to_string(), "there is no public key in it that signs tokens"),
        (&small.to_string(), "fewer than 2048 bits"),
        (&mismatch.to_string(), "for another kind of key"),
        ("{\"keys\": [{\"kty\": \"EC\", \"hunter2\"", "it is no JWK Set (line 1"),
        ("hunter2", "there is no public key in it"),
        (&issuer.keys["p256"].serialize_pem(), "there is no public key in it"),
    ] {
        issuer.write("keys.json", text);
        let error = refused(&issuer.config("")).await;
        assert_eq!(error.kind(), ErrorKind::Start, "{error}");
        let told = error.to_string();
        assert!(told.contains("server.bearer.keys = \"") && told.contains(why), "{why}: {told}");
        assert!(!told.contains("hunter2") && !told.contains("aHVudGVyMg"), "{told}");
    }
    fs::remove_file(issuer.path("keys.json")).expect("it was there");
    assert!(refused(&issuer.config("")).await.to_string().contains("is it mounted"));
}

#[tokio::test]
async fn keys_are_read_again_and_half_a_file_changes_nothing() {
    let issuer = Issuer::new();
    issuer.publish(&["p256"]);
    let served = Served::start(Server::new(routes()), &issuer.config("")).await;
    let _heard = tracing::subscriber::set_default(registry().with(served.app.logs().layer()));
    let (old, new) = (issuer.token("p256", json!({})), issuer.token("p384", json!({})));
    let status = async |token: &str| show(&served, "/who", token).await.status;
    assert_eq!((status(&old).await, status(&new).await), (200, 401));

    issuer.write("keys.json", "{ \"keys\": [");
    served.said("the keys from before stay in force").await;
    assert_eq!(status(&old).await, 200, "what cannot be read changes nothing");

    issuer.publish(&["p384"]);
    served.said("its files were read again").await;
    assert_eq!((status(&old).await, status(&new).await), (401, 200), "a key that is gone signs nothing");
    let changes = served.app.changes().latest();
    assert!(changes.iter().any(|change| change.what.contains("server.bearer.keys")), "{changes:?}");
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn keys_are_read_as_pem_too() {
    let issuer = Issuer::new();
    let all: String = issuer.keys.values().map(KeyPair::public_key_pem).collect();
    issuer.write("keys.json", &all);
    let served = Served::start(Server::new(routes()), &issuer.config("")).await;
    for name in ["p256", "p384", "ed25519"] {
        // A key without a name is meant by any.
        assert_eq!(show(&served, "/who", &issuer.token(name, json!({}))).await.status, 200, "{name}");
    }
    assert_eq!(served.stop().await.code(), 0);
}

/// Made for these tests, and good for nothing else: what makes the other keys makes none of RSA.
const RSA_KEY: &str = include_str!("keys/rsa.key.pem");
const RSA_PEM: &str = include_str!("keys/rsa.pub.pem");
const RSA_JWK: &str = include_str!("keys/rsa.jwk.json");

#[tokio::test]
async fn rsa_signs_with_what_its_key_says_and_nothing_else() {
    let issuer = Issuer::new();
    let signing = PrivatePkcs8KeyDer::from_pem_slice(RSA_KEY.as_bytes()).expect("a key");
    let signing = EncodingKey::from_rsa_der(signing.secret_pkcs8_der());
    let pinned = |algorithm: &str| {
        let mut jwk: Value = serde_json::from_str(RSA_JWK).expect("a JWK");
        jwk["alg"] = algorithm.into();
        json!({ "keys": [jwk] }).to_string()
    };
    let plain = json!({ "keys": [serde_json::from_str::<Value>(RSA_JWK).expect("a JWK")] }).to_string();
    for (file, good_one) in [
        (RSA_PEM, Algorithm::RS256),
        (plain.as_str(), Algorithm::RS256),
        (&pinned("RS512"), Algorithm::RS512),
        (&pinned("PS256"), Algorithm::PS256),
        (&pinned("PS384"), Algorithm::PS384),
    ] {
        issuer.write("keys.json", file);
        let served = Served::start(Server::new(routes()), &issuer.config("")).await;
        for algorithm in [Algorithm::RS256, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384] {
            let token = encode(&Header::new(algorithm), &good(json!({})), &signing).expect("a token");
            let status = show(&served, "/who", &token).await.status;
            assert_eq!(
                status,
                if algorithm == good_one { 200 } else { 401 },
                "{algorithm:?} by a key of {good_one:?}"
            );
        }
        // The public half, which anybody has, is no secret to sign with.
        let confused = encode(
            &Header::new(Algorithm::HS256),
            &good(json!({})),
            &EncodingKey::from_secret(RSA_PEM.as_bytes()),
        );
        assert_eq!(show(&served, "/who", &confused.expect("a token")).await.status, 401);
        assert_eq!(served.stop().await.code(), 0);
    }
}
