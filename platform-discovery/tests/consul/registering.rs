//! What does Consul hear of an instance, from its first word to its last?

use std::time::Duration;

use futures_util::StreamExt as _;
use platform_core::ErrorKind;
use platform_discovery::{
    Config, Record, Registration, Resolve as _, State, Target,
    config::{self, Registry},
    source::Consul,
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::double::Double;

fn config(double: &Double) -> Config {
    let consul =
        config::Consul { address: format!("http://{}", double.address), ..config::Consul::default() };
    let register = config::Register {
        lease: Duration::from_millis(1_000),
        renew: Duration::from_millis(300),
        ..config::Register::default()
    };
    Config { registry: Registry::Consul, consul, register, ..Config::default() }
}

fn record(address: &str) -> Record {
    let text = json!({
        "name": "catalog", "instance": "catalog-7d4f", "address": address, "admin": "127.0.0.1:9464",
        "protocol": "h2", "zone": "b", "version": "1.4.2", "variant": "canary", "weight": 3, "owner": "team",
        "expires_unix_ms": 0,
    });
    serde_json::from_value(text).expect("a record")
}

const ID: &str = "catalog:catalog-7d4f";

#[tokio::test]
async fn an_instance_is_found_as_it_registered_and_then_drains_and_goes() {
    let double = Double::start().await;
    let config = config(&double);
    let own = record("[::1]:8080");
    let registration = Registration::new(&config, own.clone()).expect("a registration");
    registration.announce().await.expect("it is written");
    let (told, status) = double.agent.told(ID).expect("it is there");
    assert_eq!(status, "passing");
    assert_eq!(told["Check"]["DeregisterCriticalServiceAfter"], "60s");
    assert_eq!(told["Tags"], json!(["canary"]));

    let consul = Consul::of(&config.consul).expect("an agent");
    let mut heard = consul.resolve(&Target::parse("consul://catalog").expect("a target"));
    let first = heard.next().await.expect("an answer").expect("an answer");
    let found = &first.found()[0].endpoint;
    let seen =
        (found.address, found.admin, found.zone.as_str(), found.version.as_str(), found.variant.as_str());
    assert_eq!(seen, (own.address, own.admin, "b", "1.4.2", "canary"));
    assert_eq!((found.weight, found.protocol.as_str(), found.instance.as_str()), (3, "h2", "catalog-7d4f"));

    sleep(Duration::from_millis(1_500)).await;
    assert_eq!(double.agent.told(ID).expect("it is there").1, "passing", "it is renewed");
    // Renewals, and the first word.
    let renewals = double.agent.catalogue().asked.iter().filter(|asked| asked.starts_with("update")).count();
    assert!((3..=8).contains(&renewals), "{renewals}");

    registration.draining().await.expect("it is written");
    let (told, status) = double.agent.told(ID).expect("it is there");
    assert_eq!((told["Meta"]["state"].as_str(), status.as_str()), (Some("draining"), "critical"));
    loop {
        let answer = heard.next().await.expect("an answer").expect("an answer");
        if answer.found()[0].endpoint.state == State::Draining {
            break;
        }
    }
    registration.withdraw().await.expect("it is removed");
    assert!(double.agent.told(ID).is_none());
    sleep(Duration::from_millis(600)).await;
    assert!(double.agent.told(ID).is_none(), "nothing follows the end");
}

#[tokio::test]
async fn an_agent_that_forgot_is_told_again_within_a_second() {
    let double = Double::start().await;
    let registration = Registration::new(&config(&double), record("127.0.0.1:8080")).expect("a registration");
    registration.announce().await.expect("it is written");
    double.agent.remove(ID);
    let begun = Instant::now();
    while double.agent.told(ID).is_none() {
        assert!(begun.elapsed() < Duration::from_millis(1_500), "it was not told again");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn one_that_dies_without_a_word_is_critical_when_its_lease_ends() {
    let double = Double::start().await;
    let registration = Registration::new(&config(&double), record("127.0.0.1:8080")).expect("a registration");
    registration.announce().await.expect("it is written");
    drop(registration);
    let begun = Instant::now();
    while double.agent.told(ID).expect("it is there").1 == "passing" {
        assert!(begun.elapsed() < Duration::from_secs(3), "its lease never ends");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_living_instance_elsewhere_keeps_its_name() {
    let double = Double::start().await;
    let living = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let first = record(&living.local_addr().expect("it is bound").to_string());
    let other = Registration::new(&config(&double), first).expect("a registration");
    other.announce().await.expect("it is written");
    let own = Registration::new(&config(&double), record("127.0.0.1:1")).expect("a registration");
    let error = own.announce().await.expect_err("the name is taken");
    assert_eq!(error.kind(), ErrorKind::Start);
    assert!(error.detail().contains("service.instance"), "{error}");
    own.withdraw().await.expect("there is nothing to remove");
    assert!(double.agent.told(ID).is_some(), "not its own to remove");
    drop(living);
    let heir = Registration::new(&config(&double), record("127.0.0.1:1")).expect("a registration");
    heir.announce().await.expect("nobody listens where the other was");
}

#[tokio::test]
async fn a_missing_right_says_which_setting_to_look_at() {
    let double = Double::start().await;
    double.agent.catalogue().token = Some("secret");
    let registration = Registration::new(&config(&double), record("127.0.0.1:8080")).expect("a registration");
    let error = registration.announce().await.expect_err("it may not");
    assert!(error.detail().contains("set discovery.consul.token_file"), "{error}");
}

#[tokio::test]
async fn what_a_successor_under_the_same_name_wrote_is_neither_changed_nor_removed() {
    let double = Double::start().await;
    let gone = Registration::new(&config(&double), record("127.0.0.1:1")).expect("a registration");
    gone.announce().await.expect("it is written");
    let living = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = living.local_addr().expect("it is bound");
    let heir = Registration::new(&config(&double), record(&address.to_string())).expect("a registration");
    heir.announce().await.expect("nobody listens where the other was");
    let theirs = |double: &Double| {
        let (told, status) = double.agent.told(ID).expect("it is there");
        (told["Port"].as_u64(), status)
    };
    let wanted = (Some(address.port().into()), "passing".to_owned());
    let error = gone.draining().await.expect_err("it is another's");
    assert!(error.detail().contains(&address.to_string()), "{error}");
    assert_eq!(theirs(&double), wanted);
    sleep(Duration::from_millis(1_500)).await;
    assert_eq!(theirs(&double), wanted, "nobody writes over it");
    gone.withdraw().await.expect("there is nothing of its own to remove");
    assert_eq!(theirs(&double), wanted);
    heir.withdraw().await.expect("it is removed");
    assert!(double.agent.told(ID).is_none());
}

#[tokio::test]
async fn what_was_written_without_an_answer_is_removed_all_the_same() {
    let double = Double::start().await;
    let registration = Registration::new(&config(&double), record("127.0.0.1:8080")).expect("a registration");
    double.agent.catalogue().mute = true;
    registration.announce().await.expect_err("nobody answered");
    assert!(double.agent.told(ID).is_some());
    double.agent.catalogue().mute = false;
    registration.withdraw().await.expect("it is removed");
    assert!(double.agent.told(ID).is_none());
}
