//! Bearer tokens and lists of whom a method serves, in gRPC's words.

use std::{fs, time::SystemTime};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use platform_core::{App, config::Config};
use platform_grpc::Services;
use platform_grpc_protos::{DESCRIPTORS, Word, echo_server::EchoServer};
use rcgen::KeyPair;
use serde_json::json;
use tonic::{Code, Request};

use crate::house::{House, Says, soon, word};

/// Where the public key lies, and the configuration that names it.
fn issuer(key: &KeyPair, lists: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("key.pem");
    fs::write(&path, key.public_key_pem()).expect("a file");
    let toml = format!(
        "[server.bearer]\nkeys = ['{}']\nissuer = 'login'\naudience = 'echo'\ntokens = 'optional'\n[server.allow]\n{lists}\n",
        path.display()
    );
    (folder, toml)
}

fn token(key: &KeyPair, scope: &str) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    let claims = json!({ "iss": "login", "aud": "echo", "sub": "ann", "exp": now + 60, "scope": scope });
    let signing = EncodingKey::from_ec_der(&key.serialize_der());
    encode(&Header::new(Algorithm::ES256), &claims, &signing).expect("a token")
}

fn with(token: Option<&str>, word: Word) -> Request<Word> {
    let mut request = Request::new(word);
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().expect("a value");
        request.metadata_mut().insert("authorization", value);
    }
    request
}

#[tokio::test]
async fn a_method_serves_whom_its_list_names() {
    let key = KeyPair::generate().expect("a key");
    let (_folder, toml) = issuer(
        &key,
        "'/platform.test.Echo/{method}' = ['sub:*']\n'/platform.test.Echo/Add' = ['scope:words.add']",
    );
    let house = House::open(&toml).await;
    let mut client = house.client();
    let (plain, adding) = (token(&key, "words.say"), token(&key, "words.add"));
    assert_eq!(soon(client.say(with(Some(&plain), word("hello")))).await.unwrap().get_ref().text, "hello");
    assert_eq!(soon(client.add(with(Some(&adding), word("hello")))).await.unwrap().get_ref().text, "hello");
    for (token, code) in [(None, Code::Unauthenticated), (Some("a.b.c"), Code::Unauthenticated)] {
        assert_eq!(soon(client.say(with(token, word("x")))).await.unwrap_err().code(), code);
        assert_eq!(soon(client.add(with(token, word("x")))).await.unwrap_err().code(), code);
    }
    let refused = soon(client.add(with(Some(&plain), word("x")))).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    assert_eq!(house.asked.load(std::sync::atomic::Ordering::Relaxed), 2, "nobody else was served");

    let lines = house.lines(7).await;
    assert_eq!(
        (&lines[0]["subject"], &lines[0]["rpc.method"]),
        (&"ann".into(), &"platform.test.Echo/Say".into())
    );
    let told: String = lines.iter().map(ToString::to_string).collect();
    assert!(!told.contains(plain.rsplit('.').next().expect("a signature")), "a token is in the log");
    house.end().await;
}

#[tokio::test]
async fn a_list_of_a_method_that_is_not_there_is_refused() {
    let key = KeyPair::generate().expect("a key");
    for (path, known) in [
        ("/platform.test.Echo/Say", true),
        ("/platform.test.Echo/Sya", false),
        ("/platform.test.Ech/Say", false),
        ("/platform.test.Echo", false),
        ("/grpc.health.v1.Health/Check", true),
    ] {
        let (_folder, toml) = issuer(&key, &format!("'{path}' = ['sub:*']"));
        let config = Config::builder().toml(toml).set("server.listen", "127.0.0.1:0").load().expect("TOML");
        let app = App::builder("echo").config(config).start().await.expect("a start");
        let services = Services::new().service(EchoServer::new(Says::default())).descriptors(DESCRIPTORS);
        app.add(services.into_server(&app).expect("a server"));
        app.on_start("over", {
            let app = app.clone();
            move || async move {
                app.stop("test", "it began");
                Ok(())
            }
        });
        let ended = soon(app.run_until_stopped()).await;
        let told = ended.as_ref().map(|_| ()).map_err(ToString::to_string);
        assert_eq!(ended.is_ok(), known, "{path}: {told:?}");
        assert!(known || told.unwrap_err().contains(&format!("`{path}`")));
    }
}
