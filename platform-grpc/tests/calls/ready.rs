//! Calls that wait until there is somebody to ask.

use std::{net::SocketAddr, time::Duration};

use platform_grpc::{Channel, channel::WaitForReady};
use platform_grpc_protos::{DESCRIPTORS, Word, echo_client::EchoClient};
use tokio::time::{Instant, sleep};
use tonic::{Code, Request};

use crate::house::{House, nobody, soon, word};

fn client(house: &House, address: SocketAddr) -> EchoClient<Channel> {
    let channel = Channel::builder(&house.app, "late").target(format!("fixed://{address}"));
    EchoClient::new(channel.descriptors(DESCRIPTORS).build().expect("a channel"))
}

fn waiting(word: Word) -> Request<Word> {
    let mut request = Request::new(word);
    request.extensions_mut().insert(WaitForReady(true));
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_waits_for_ready_is_answered_when_there_is_somebody() {
    let (caller, address) = (House::open("").await, nobody());
    let mut client = client(&caller, address);
    // One that does not wait hears at once, and so often that the breaker opens.
    for _ in 0..8 {
        let gone = soon(client.say(word("a"))).await.unwrap_err();
        assert_eq!(gone.code(), Code::Unavailable);
    }
    let calls: Vec<_> = (0..10)
        .map(|number| {
            let mut client = client.clone();
            platform_core::context::spawn(async move {
                // Not idempotent, and it is done once all the same: nothing was sent before.
                let said = if number % 2 == 0 {
                    client.add(waiting(word("late"))).await?.into_inner().text
                } else {
                    let words = client.repeat(waiting(Word { times: 1, ..word("late") })).await?;
                    words.into_inner().message().await?.expect("one word").text
                };
                Ok::<_, tonic::Status>(said)
            })
        })
        .collect();
    // Longer than a call waits for an empty set, or an attempt lasts before anybody is there.
    sleep(Duration::from_millis(1_500)).await;
    let late = House::open_at(address).await;
    for call in calls {
        assert_eq!(soon(call).await.unwrap().unwrap(), "late");
    }
    assert_eq!(late.asked(), 10);
    late.end().await;
    caller.end().await;
}

#[tokio::test]
async fn it_waits_no_longer_than_its_deadline_and_says_for_what() {
    let caller = House::open("").await;
    let mut client = client(&caller, nobody());
    for call in [word("a"), word("b")] {
        let mut request = waiting(call);
        request.set_timeout(Duration::from_millis(300));
        let begun = Instant::now();
        let late = soon(client.say(request)).await.unwrap_err();
        let took = begun.elapsed();
        assert_eq!(late.code(), Code::DeadlineExceeded);
        assert!(late.message().contains("nobody was there to ask"), "{late}");
        assert!(took >= Duration::from_millis(250) && took < Duration::from_secs(5), "{took:?}");
    }
    let timeouts = ["target=\"late\"", "outcome=\"timeout\""];
    assert_eq!(caller.metric("platform_client_call_duration_seconds_count", &timeouts), 2.0);
    caller.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_method_waits_by_its_settings_and_a_call_has_the_last_word() {
    let toml = "[clients.late.methods.\"platform.test.Echo/*\"]\nwait_for_ready = true";
    let (caller, address) = (House::open(toml).await, nobody());
    let mut client = client(&caller, address);
    let mut request = waiting(word("a"));
    request.extensions_mut().insert(WaitForReady(false));
    assert_eq!(soon(client.say(request)).await.unwrap_err().code(), Code::Unavailable);
    let mut waits = client.clone();
    let call = platform_core::context::spawn(async move { waits.say(word("b")).await });
    sleep(Duration::from_millis(300)).await;
    assert!(!call.is_finished());
    let late = House::open_at(address).await;
    assert_eq!(soon(call).await.unwrap().unwrap().into_inner().text, "b");
    late.end().await;
    caller.end().await;
}
