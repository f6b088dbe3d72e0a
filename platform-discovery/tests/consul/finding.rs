//! What is believed of a service in Consul?

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use platform_core::{Result, context};
use platform_discovery::{
    List as _, Resolve as _, Snapshot, Snapshots, State, Target, config, source::Consul,
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::double::Double;

fn config(double: &Double) -> config::Consul {
    config::Consul { address: format!("http://{}", double.address), ..config::Consul::default() }
}

struct Heard(Snapshots);

impl Heard {
    fn of(config: &config::Consul, target: &str) -> Self {
        let consul = Consul::of(config).expect("an agent");
        Heard(consul.resolve(&Target::parse(target).expect("a target")))
    }

    async fn next(&mut self) -> Result<Snapshot> {
        let next = timeout(Duration::from_secs(10), self.0.next()).await;
        next.expect("the source says something").expect("the source goes on")
    }

    async fn ready(&mut self) -> Vec<String> {
        ready(&self.next().await.expect("an answer"))
    }

    async fn error(&mut self) -> String {
        self.next().await.expect_err("no answer").detail().to_owned()
    }
}

fn ready(snapshot: &Snapshot) -> Vec<String> {
    let found = snapshot.found().iter().filter(|found| found.endpoint.state == State::Ready);
    found.map(|found| found.endpoint.instance.clone()).collect()
}

fn catalog(id: &str, tags: &[&str]) -> Value {
    json!({"ID": id, "Name": "catalog", "Address": "10.0.0.7", "Port": 8080, "Tags": tags})
}

#[tokio::test]
async fn a_change_is_heard_while_the_question_is_held() {
    let double = Double::start().await;
    double.agent.put(catalog("a", &["v1"]), "passing");
    let mut heard = Heard::of(&config(&double), "consul://catalog");
    assert_eq!(heard.ready().await, ["a"]);
    let agent = double.agent.clone();
    let later = async move {
        sleep(Duration::from_millis(700)).await;
        agent
            .put(json!({"ID": "b", "Name": "catalog", "Address": "", "Port": 8080, "Tags": null}), "passing");
        Instant::now()
    };
    let (seen, changed) = tokio::join!(heard.ready(), later);
    assert_eq!(seen, ["a", "b"]);
    assert!(changed.elapsed() < Duration::from_millis(300), "{:?}", changed.elapsed());
    double.agent.put(catalog("a", &[]), "critical");
    assert_eq!(heard.ready().await, ["b"], "critical takes no new calls");
    double.agent.remove("b");
    assert!(heard.ready().await.is_empty());
    let asked = double.agent.catalogue().asked.clone();
    assert_eq!(asked[0], "health catalog stale=");
    assert!(asked[1].starts_with("health catalog index=11 stale= wait="), "{asked:?}");
}

#[tokio::test]
async fn a_tag_is_asked_for_and_the_same_set_is_the_same_answer() {
    let double = Double::start().await;
    double.agent.put(catalog("a", &["v1"]), "passing");
    double.agent.put(
        json!({"ID": "b", "Name": "catalog", "Address": "10.0.0.8", "Port": 1, "Tags": ["v2"]}),
        "warning",
    );
    let mut heard = Heard::of(&config(&double), "consul://catalog?tag=v2");
    let first = heard.next().await.expect("an answer");
    assert_eq!(ready(&first), ["b"]);
    double.agent.busy();
    let second = heard.next().await.expect("an answer");
    assert!(Arc::ptr_eq(first.found(), second.found()));
}

#[tokio::test]
async fn a_busy_catalogue_is_asked_at_most_twice_a_second() {
    let double = Double::start().await;
    let mut heard = Heard::of(&config(&double), "consul://catalog");
    let agent = double.agent.clone();
    let busy = context::spawn(async move {
        loop {
            agent.busy();
            sleep(Duration::from_millis(5)).await;
        }
    });
    let begun = Instant::now();
    for _ in 0..4 {
        heard.next().await.expect("an answer");
    }
    busy.abort();
    assert!(begun.elapsed() >= Duration::from_millis(1_500), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_index_that_goes_backwards_starts_over() {
    let double = Double::start().await;
    double.agent.put(catalog("a", &[]), "passing");
    let mut heard = Heard::of(&config(&double), "consul://catalog");
    assert_eq!(heard.ready().await, ["a"]);
    let agent = double.agent.clone();
    let later = async move {
        sleep(Duration::from_millis(700)).await;
        agent.restore(3);
        agent.put(catalog("c", &[]), "passing");
    };
    let (seen, ()) = tokio::join!(heard.ready(), later);
    assert_eq!(seen, ["c"]);
    assert_eq!(heard.ready().await, ["c"], "asked at once and not held");
    assert_eq!(double.agent.catalogue().asked[2], "health catalog stale=");
    let (agent, begun) = (double.agent.clone(), Instant::now());
    let later = async move {
        sleep(Duration::from_millis(700)).await;
        agent.put(catalog("d", &[]), "passing");
    };
    let (seen, ()) = tokio::join!(heard.ready(), later);
    assert_eq!(seen, ["c", "d"]);
    assert!(begun.elapsed() < Duration::from_secs(2), "the new index is what is waited behind");
}

#[tokio::test]
async fn a_copy_that_is_too_old_is_not_believed() {
    let double = Double::start().await;
    double.agent.put(catalog("a", &[]), "passing");
    double.agent.catalogue().last_contact_ms = 60_000;
    let mut heard = Heard::of(&config(&double), "consul://catalog");
    assert_eq!(heard.ready().await, ["a"]);
    assert_eq!(double.agent.catalogue().asked, ["health catalog stale=", "health catalog "]);
    double.agent.catalogue().last_contact_ms = 0;
    double.agent.catalogue().known_leader = false;
    let mut heard = Heard::of(&config(&double), "consul://catalog");
    assert_eq!(heard.ready().await, ["a"]);
    assert_eq!(double.agent.catalogue().asked[2..], ["health catalog stale=", "health catalog "]);
}

#[tokio::test]
async fn what_cannot_be_asked_is_an_error_and_then_asked_from_the_beginning() {
    let double = Double::start().await;
    double.agent.put(catalog("a", &[]), "passing");
    let mut heard = Heard::of(&config(&double), "consul://catalog");
    let before = heard.next().await.expect("an answer");
    double.agent.catalogue().broken = true;
    double.agent.busy();
    // The question that was held is answered; the next is refused.
    let error = loop {
        if let Err(error) = heard.next().await {
            break error;
        }
    };
    assert!(error.detail().contains("answered 500: rpc error: No cluster leader"), "{error}");
    double.agent.catalogue().broken = false;
    let after = loop {
        if let Ok(answer) = heard.next().await {
            break answer;
        }
    };
    assert!(Arc::ptr_eq(before.found(), after.found()));
    assert_eq!(double.agent.catalogue().asked.last().expect("it was asked"), "health catalog stale=");

    let address = double.address;
    drop(double);
    let gone = config::Consul { address: format!("http://{address}"), ..config::Consul::default() };
    assert!(Heard::of(&gone, "consul://catalog").error().await.contains("cannot be reached"));
}

#[tokio::test]
async fn a_missing_right_is_an_error_and_never_an_empty_set() {
    let double = Double::start().await;
    double.agent.put(catalog("a", &[]), "passing");
    double.agent.catalogue().token = Some("secret");
    let error = Heard::of(&config(&double), "consul://catalog").error().await;
    assert!(error.contains("hides the instances of catalog from us"), "{error}");

    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), "secret\n").expect("room for it");
    let with = config::Consul { token_file: file.path().to_owned(), ..config(&double) };
    assert_eq!(Heard::of(&with, "consul://catalog").ready().await, ["a"]);
    std::fs::write(file.path(), "wrong\n").expect("room for it");
    let error = Heard::of(&with, "consul://catalog").error().await;
    assert!(error.contains("answered 403: ACL not found; the token may not do this"), "{error}");
    std::fs::remove_file(file.path()).expect("it is there");
    let error = Heard::of(&with, "consul://catalog").error().await;
    assert!(error.contains("discovery.consul.token_file"), "{error}");
}

#[tokio::test]
async fn the_catalogue_says_which_services_it_knows() {
    let double = Double::start().await;
    double.agent.put(catalog("a", &["v1"]), "passing");
    double.agent.put(catalog("b", &[]), "critical");
    double
        .agent
        .put(json!({"ID": "x", "Name": "Not_A_Name", "Address": "", "Port": 1, "Tags": null}), "passing");
    let consul = Consul::of(&config(&double)).expect("an agent");
    let services: Vec<String> =
        consul.services().await.expect("a list").iter().map(ToString::to_string).collect();
    assert_eq!(services, ["catalog", "consul"], "Consul counts itself");
    double.agent.catalogue().broken = true;
    let error = consul.services().await.expect_err("no answer is no empty list");
    assert!(error.detail().contains("No cluster leader"), "{error}");
}
