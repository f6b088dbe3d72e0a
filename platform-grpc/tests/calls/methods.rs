//! What single methods have of their own.

use std::time::Duration;

use futures_util::stream;
use platform_core::{ErrorKind, config::Mode, recovery::Recovery};
use platform_grpc::{Channel, channel::Builder};
use platform_grpc_protos::{DESCRIPTORS, Word, echo_client::EchoClient};
use tokio::time::Instant;
use tonic::Code;

use crate::house::{House, soon, word};

const ECHO: &str = "platform.test.Echo";

fn failing(code: Code) -> Word {
    Word { code: code as u32, ..word("as the word wants") }
}

fn channel(house: &House) -> Builder {
    Channel::builder(&house.app, "echo").target(format!("fixed://{}", house.address)).descriptors(DESCRIPTORS)
}

fn client(house: &House, change: impl FnOnce(Builder) -> Builder) -> EchoClient<Channel> {
    EchoClient::new(change(channel(house)).build().expect("a channel"))
}

#[tokio::test]
async fn a_method_is_repeated_and_limited_as_its_own_section_says() {
    let file = r#"
        [clients.echo.methods."platform.test.Echo/*"]
        policy = { timeout = "300ms" }
        [clients.echo.methods."platform.test.Echo/Add"]
        idempotent = true
        policy = { retry = { max_attempts = 2, backoff = "1ms" } }
        [clients.echo.methods."platform.test.Echo/Join"]
        policy = { timeout = "none" }
    "#;
    let house = House::open(file).await;
    let mut client = client(&house, |channel| {
        channel.method("platform.test.Echo/Add", |own| own.policy.retry.max_attempts = 4)
    });
    soon(client.add(failing(Code::Internal))).await.unwrap_err();
    assert_eq!(house.asked(), 2, "the file is stronger than the code, and says that it may be asked again");
    soon(client.say(failing(Code::Internal))).await.unwrap_err();
    assert_eq!(house.asked(), 5, "the others are repeated as ever");

    let begun = Instant::now();
    let late = soon(client.say(Word { wait_ms: 60_000, ..word("late") })).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "300ms are for the whole service: {:?}",
        begun.elapsed()
    );
    let slow = stream::iter([Word { wait_ms: 400, ..word("slow") }]);
    assert_eq!(soon(client.join(slow)).await.unwrap().into_inner().text, "slow");

    let shown = platform_http::client::described(&house.app);
    let (_, rows) = shown.iter().find(|(target, _)| &**target == "echo").unwrap();
    let own = &rows.iter().find(|row| row.layer == "methods").unwrap().settings;
    assert_eq!(own["platform.test.Echo/Say"], "attempt_timeout=300ms timeout=300ms");
    assert_eq!(own["platform.test.Echo/Join"], "attempt_timeout=300ms timeout=none");
    assert_eq!(
        own["platform.test.Echo/Add"],
        "attempt_timeout=300ms retry.backoff=1ms retry.max_attempts=2 timeout=300ms"
    );
    assert!(own.contains_key("platform.test.Echo/*"), "{own:?}");
    let effective = house.app.config().effective();
    let key = "clients.echo.methods.\"platform.test.Echo/Add\".policy.retry.max_attempts";
    assert_eq!(effective.iter().find(|one| one.key == key).unwrap().value, 2);
    house.end().await;
}

#[tokio::test]
async fn the_guards_are_the_targets_whichever_method_is_called() {
    let house = House::open("").await;
    let mut client = client(&house, |channel| {
        channel.method("platform.test.Echo/Add", |own| own.policy.recovery = Recovery::None)
    });
    for _ in 0..7 {
        soon(client.add(failing(Code::Internal))).await.unwrap_err();
    }
    let refused = soon(client.say(word("hello"))).await.unwrap_err();
    assert_eq!(platform_grpc::error(&refused).kind(), ErrorKind::BreakerOpen);
    assert_eq!(house.asked(), 7);
    house.end().await;
}

#[tokio::test]
async fn a_service_config_says_which_codes_are_repeated() {
    let config = format!(
        r#"{{"methodConfig": [{{"name": [{{"service": "{ECHO}"}}], "timeout": "5s", "retryPolicy": {{
            "maxAttempts": 4, "initialBackoff": "0.001s", "maxBackoff": "0.01s", "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE", "ABORTED"]}}}}]}}"#
    );
    let house = House::open("").await;
    let mut client = client(&house, |channel| {
        channel.service_config(config).policy(|policy| policy.breaker.mode = Mode::Off)
    });
    for (code, asked) in
        [(Code::Aborted, 4), (Code::Unavailable, 4), (Code::Internal, 1), (Code::NotFound, 1)]
    {
        let before = house.asked();
        let status = soon(client.add(failing(code))).await.unwrap_err();
        assert_eq!((status.code(), house.asked() - before), (code, asked));
    }
    // Whatever the list says: who did not begin may be asked again.
    let before = house.asked();
    soon(client.say(word("full"))).await.unwrap_err();
    assert_eq!(house.asked() - before, 5);
    house.end().await;
}

#[tokio::test]
async fn without_descriptors_a_methods_section_counts_all_the_same() {
    let config = r#"{"methodConfig": [{"name": [{}], "timeout": "1s"}]}"#;
    let file = "[clients.bare.methods.\"platform.test.Echo/Add\"]\nidempotent = true";
    let house = House::open(file).await;
    let bare = Channel::builder(&house.app, "bare").target(format!("fixed://{}", house.address));
    let mut client = EchoClient::new(bare.service_config(config).build().unwrap());
    soon(client.add(failing(Code::Internal))).await.unwrap_err();
    assert_eq!(house.asked(), 3);
    let late = soon(client.say(Word { wait_ms: 60_000, ..word("late") })).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    house.end().await;
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_by_name() {
    let section = |rest: &str| format!("[clients.echo.methods.{rest}");
    for (file, words) in [
        (section("\"platform.test.Echo/Sya\"]"), "there is platform.test.Echo/Add, platform.test.Echo/Chat"),
        (section("\"platform.test.Nobody/*\"]"), "is not in the channel's descriptors"),
        (section("Say]"), "write \"film.Ratings/Get\""),
        (section("\"platform.test.Echo/Say\"]\npolicy = { breaker = { mode = \"off\" } }"), "breaker"),
        (section("\"platform.test.Echo/Say\"]\nidempotnet = true"), "idempotnet"),
        (section("\"platform.test.Echo/Say\"]\nretry_codes = [\"OK\"]"), "is no code of a failure"),
        (
            section("\"platform.test.Echo/Say\"]\npolicy = { timeout = \"1s\", attempt_timeout = \"2s\" }"),
            "2s, longer",
        ),
        ("[defaults.methods.\"platform.test.Echo/Say\"]".to_owned(), "write it under [clients.NAME.methods]"),
    ] {
        let house = House::open(&file).await;
        let error = channel(&house).build().unwrap_err();
        assert!(error.kind() == ErrorKind::Config && error.detail().contains(words), "{file}: {error}");
        house.app.stop("test", "over");
    }
    let house = House::open(&section("\"GET /stock\"]")).await;
    let error = platform_http::Client::for_target(&house.app, "echo").unwrap_err();
    assert!(error.detail().contains("`clients.echo.methods` is for clients that speak gRPC"), "{error}");
    let error = channel(&house).service_config(r#"{"methodConfig": {}}"#).build().unwrap_err();
    assert!(error.detail().contains("service config, line 1: `methodConfig` is {}; write a list"), "{error}");
}

#[tokio::test]
async fn a_service_config_is_a_file_that_the_section_names() {
    let recommends = |attempts: u32| {
        let text = r#"{"methodConfig": [{
            "name": [{"service": "platform.test.Echo"}],
            "retryPolicy": {"maxAttempts": ATTEMPTS, "initialBackoff": "0.001s", "maxBackoff": "0.01s",
                "backoffMultiplier": 2, "retryableStatusCodes": ["ABORTED"]}}]}"#;
        text.replace("ATTEMPTS", &attempts.to_string())
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), recommends(2)).unwrap();
    let toml = format!("[clients.echo]\nservice_config = \"{}\"", file.path().display());
    let house = House::open(&toml).await;
    // It takes the place of the one that the code hands over.
    let handed = recommends(4);
    let mut with_file = client(&house, |channel| channel.service_config(&handed));
    soon(with_file.say(failing(Code::Aborted))).await.unwrap_err();
    assert_eq!(house.asked(), 2);

    std::fs::write(file.path(), recommends(1)).unwrap();
    let error = channel(&house).build().unwrap_err();
    let place =
        format!("[clients.echo]: service config {}:3: `methodConfig[0].retryPolicy", file.path().display());
    assert!(error.detail().starts_with(&place), "{error}");
    let page = platform_http::Client::builder(&house.app, "echo").target("fixed://127.0.0.1:1").build();
    assert!(
        page.unwrap_err().detail().contains("`clients.echo.service_config` is for clients that speak gRPC")
    );
    house.end().await;
}
