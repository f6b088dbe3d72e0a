//! Endpoints that say of themselves whether they serve, and channels that listen.

use std::{net::SocketAddr, time::Duration};

use platform_core::{App, config::Mode};
use platform_discovery::{EndpointView, balance::Picker};
use platform_grpc::Channel;
use platform_grpc_protos::{DESCRIPTORS, echo_client::EchoClient};
use tokio::time::{Instant, sleep};

use crate::{
    house::{House, soon, word},
    python::Peer,
};

const ECHO: &str = "platform.test.Echo";

/// A client of all of these that listens to their health.
fn listening(app: &App, addresses: &[SocketAddr], mode: Mode, service: &'static str) -> EchoClient<Channel> {
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    let channel = Channel::builder(app, "many").target(format!("fixed://{}", addresses.join(",")));
    let channel = channel.balance(move |balance| {
        // One after the other, so that whoever may be asked is.
        balance.pick = Picker::RoundRobin;
        balance.health.mode = mode;
        balance.health.service = service.to_owned();
    });
    EchoClient::new(channel.descriptors(DESCRIPTORS).build().expect("a channel"))
}

fn seen(app: &App, address: SocketAddr) -> EndpointView {
    let targets = platform_http::discovery(app).expect("it calls somebody").targets();
    let many = targets.into_iter().find(|target| target.target == "many").expect("it was called");
    many.endpoints.into_iter().find(|endpoint| endpoint.address == address).expect("it is believed in")
}

/// Until the operator sees this of it.
async fn until(app: &App, address: SocketAddr, health: &str, ejected: bool) -> EndpointView {
    let begun = Instant::now();
    loop {
        let seen = seen(app, address);
        if seen.health == Some(health) && seen.ejected == ejected {
            return seen;
        }
        assert!(begun.elapsed() < Duration::from_secs(15), "{health} {ejected}: {seen:?}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Asks often enough for both of two to be asked.
async fn ask_often(client: &mut EchoClient<Channel>) {
    for _ in 0..60 {
        soon(client.say(word("again:often"))).await.expect("an answer");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_that_it_is_not_serving_gets_nothing_until_it_does() {
    let Some(one) = Peer::start(&["health=1"]).await else { return };
    let Some(other) = Peer::start(&["health=1"]).await else { return };
    let app = &one.house.app;
    let mut client = listening(app, &[one.address, other.address], Mode::Enforce, ECHO);
    ask_often(&mut client).await;
    for peer in [&one, &other] {
        until(app, peer.address, "serving", false).await;
        assert_ne!(peer.asked("often").await, "0");
    }
    soon(one.client().say(word("health:NOT_SERVING"))).await.unwrap();
    let shown = until(app, one.address, "not_serving", true).await;
    assert_eq!(shown.sick.as_deref(), Some("it says itself that it is not serving"));
    let labels = ["target=\"many\"", "reason=\"health\"", "mode=\"enforce\""];
    assert_eq!(one.house.metric("platform_balance_ejections_total", &labels), 1.0);
    let before = one.asked("often").await;
    ask_often(&mut client).await;
    assert_eq!(one.asked("often").await, before, "it gets nothing");
    // Where all say so, all are asked: an answer is better than none.
    soon(other.client().say(word("health:NOT_SERVING"))).await.unwrap();
    until(app, other.address, "not_serving", false).await;
    ask_often(&mut client).await;
    assert_ne!(one.asked("often").await, before);

    soon(one.client().say(word("health:SERVING"))).await.unwrap();
    until(app, one.address, "serving", false).await;
    let before = other.asked("often").await;
    ask_often(&mut client).await;
    assert_eq!(other.asked("often").await, before);
    other.house.end().await;
    one.house.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn observed_it_is_told_and_nobody_is_left_out() {
    let Some(one) = Peer::start(&["health=1"]).await else { return };
    let Some(other) = Peer::start(&["health=1"]).await else { return };
    let app = &one.house.app;
    let mut client = listening(app, &[one.address, other.address], Mode::Observe, ECHO);
    ask_often(&mut client).await;
    soon(one.client().say(word("health:NOT_SERVING"))).await.unwrap();
    until(app, one.address, "not_serving", false).await;
    let before = one.asked("often").await;
    ask_often(&mut client).await;
    assert_ne!(one.asked("often").await, before);
    other.house.end().await;
    one.house.end().await;
}

/// Connections end all the time, and with them the streams: each is opened again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_ends_is_opened_again() {
    let ages = ["health=1", "grpc.max_connection_age_ms=150", "grpc.max_connection_age_grace_ms=100"];
    let Some(one) = Peer::start(&ages).await else { return };
    let Some(other) = Peer::start(&ages).await else { return };
    let app = &one.house.app;
    let mut client = listening(app, &[one.address, other.address], Mode::Enforce, ECHO);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(700) {
        soon(client.say(word("again:a"))).await.unwrap();
    }
    for (says, health, ejected) in [("NOT_SERVING", "not_serving", true), ("SERVING", "serving", false)] {
        soon(one.client().say(word(&format!("health:{says}")))).await.unwrap();
        until(app, one.address, health, ejected).await;
        // What it said counts also while nobody can hear it.
        sleep(Duration::from_millis(500)).await;
        assert_eq!(seen(app, one.address).ejected, ejected);
        soon(client.say(word("again:a"))).await.unwrap();
    }
    other.house.end().await;
    one.house.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_health_service_is_well_and_an_unknown_service_is_not() {
    let Some(none) = Peer::start(&[]).await else { return };
    let Some(some) = Peer::start(&["health=1"]).await else { return };
    let app = &none.house.app;
    let mut client = listening(app, &[none.address, some.address], Mode::Enforce, "platform.test.Wrong");
    ask_often(&mut client).await;
    until(app, some.address, "not_serving", true).await;
    let before = some.asked("often").await;
    ask_often(&mut client).await;
    assert_eq!(some.asked("often").await, before, "SERVICE_UNKNOWN is not SERVING");
    let well = seen(app, none.address);
    assert_eq!((well.health, well.ejected, well.sick), (None, false, None));
    some.house.end().await;
    none.house.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_servers_say_it_too_and_again_after_a_restart() {
    let caller = House::open("").await;
    let (one, other) = (House::open("").await, House::open("").await);
    let address = one.address;
    let mut client = listening(&caller.app, &[address, other.address], Mode::Enforce, "");
    ask_often(&mut client).await;
    until(&caller.app, address, "serving", false).await;
    one.app.health().degrade("disk", "full");
    until(&caller.app, address, "not_serving", true).await;
    let asked = one.asked();
    ask_often(&mut client).await;
    assert_eq!(one.asked(), asked);
    // It drains in this state, and another process takes its place.
    one.end().await;
    assert!(seen(&caller.app, address).ejected);
    let one = House::open_at(address).await;
    until(&caller.app, address, "serving", false).await;
    ask_often(&mut client).await;
    assert_ne!(one.asked(), 0);
    for house in [one, other, caller] {
        house.end().await;
    }
}

/// A17's `serviceName`: whose health is asked for, where nobody here says it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_config_names_the_service_that_is_asked_for() {
    let recommends = |name: &str| format!(r#"{{"healthCheckConfig": {{"serviceName": "{name}"}}}}"#);
    let table = [
        // In the section, by the code, by the owner; what is asked for, and what our server says to that.
        ("", "", "", "", "serving"),
        ("", "", ECHO, ECHO, "serving"),
        ("", "", "platform.test.Wrong", "platform.test.Wrong", "not_serving"),
        ("", ECHO, "platform.test.Wrong", ECHO, "serving"),
        ("service = \"platform.test.Echo\",", "", "platform.test.Wrong", ECHO, "serving"),
        ("service = \"\",", "", "platform.test.Wrong", "", "serving"),
    ];
    for (section, code, owner, asked, says) in table {
        let house =
            House::open(&format!("[clients.many.balance]\nhealth = {{ {section} mode = \"observe\" }}"))
                .await;
        let channel = Channel::builder(&house.app, "many")
            .target(format!("fixed://{}", house.address))
            .service_config(recommends(owner))
            .balance(move |balance| balance.health.service = code.to_owned());
        let channel = channel.build().expect("a channel");
        let row = channel.describe().into_iter().find(|row| row.layer == "balance").expect("it chooses");
        assert_eq!(row.settings["health.service"], asked, "{section} {code} {owner}");
        soon(EchoClient::new(channel).say(word("a"))).await.expect("an answer");
        until(&house.app, house.address, says, false).await;
        house.end().await;
    }
    // Whether anybody is asked at all is not its business.
    let house = House::open("").await;
    let channel = Channel::builder(&house.app, "many").target(format!("fixed://{}", house.address));
    let channel = channel.service_config(recommends("platform.test.Wrong")).build().expect("a channel");
    soon(EchoClient::new(channel).say(word("a"))).await.expect("an answer");
    assert_eq!(seen(&house.app, house.address).health, None);
    house.end().await;
}

#[tokio::test]
async fn http_has_no_word_for_health() {
    let house = House::open("[clients.page.balance]\nhealth = { mode = \"enforce\" }").await;
    let page = platform_http::Client::builder(&house.app, "page").target("fixed://127.0.0.1:1");
    let error = page.build().unwrap_err();
    assert!(
        error.detail().contains("`clients.page.balance.health` is for clients that speak gRPC"),
        "{error}"
    );
    house.end().await;
    // What is written for all is for those that can.
    let house = House::open("[defaults.balance]\nhealth = { mode = \"enforce\" }").await;
    platform_http::Client::builder(&house.app, "page").target("fixed://127.0.0.1:1").build().unwrap();
    house.end().await;
}
