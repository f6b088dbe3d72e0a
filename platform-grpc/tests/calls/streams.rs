//! Streams of all kinds, and how they end.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use platform_grpc::{Channel, channel::Builder};
use platform_grpc_protos::{DESCRIPTORS, Word, echo_client::EchoClient};
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use crate::house::{House, soon, word};

#[tokio::test]
async fn words_go_both_ways_one_by_one() {
    let house = House::open("").await;
    let mut client = house.client();
    let mut words = soon(client.repeat(Word { times: 3, ..Word::default() })).await.unwrap().into_inner();
    let mut heard = Vec::new();
    while let Some(word) = soon(words.message()).await.unwrap() {
        heard.push(word.text);
    }
    assert_eq!(heard, ["0", "1", "2"]);

    let slowly = stream::iter(["a", "b", "c"]).then(|text| async move {
        tokio::time::sleep(Duration::from_millis(5)).await;
        word(text)
    });
    assert_eq!(soon(client.join(slowly)).await.unwrap().into_inner().text, "abc");
    assert_eq!(soon(client.join(stream::empty())).await.unwrap().into_inner().text, "");

    // One word and its answer, then the next: nobody waits for what is not said yet.
    let (say, said) = mpsc::channel(1);
    let mut answers = soon(client.chat(ReceiverStream::new(said))).await.unwrap().into_inner();
    for text in ["ping", "pong", "ping"] {
        say.send(word(text)).await.unwrap();
        assert_eq!(soon(answers.message()).await.unwrap().unwrap().text, text);
    }
    drop(say);
    assert_eq!(soon(answers.message()).await.unwrap(), None);
    house.end().await;
}

#[tokio::test]
async fn callers_that_fall_silent_hold_no_place() {
    let one = "[server.policy]\nconcurrency = { start = 1, min = 1, max = 1, queue_wait = '5s' }\n";
    let house = House::open(one).await;
    let mut silent = Vec::new();
    for _ in 0..10 {
        let (say, said) = mpsc::channel(2);
        let mut client = house.client();
        let joined =
            platform_core::context::spawn(async move { client.join(ReceiverStream::new(said)).await });
        say.send(word("a")).await.unwrap();
        silent.push((say, joined));
    }
    for _ in 0..5 {
        assert_eq!(soon(house.client().say(word("b"))).await.unwrap().into_inner().text, "b");
    }
    for (say, joined) in silent {
        say.send(word("c")).await.unwrap();
        drop(say);
        assert_eq!(soon(joined).await.unwrap().unwrap().into_inner().text, "ac");
    }
    house.end().await;
}

#[tokio::test]
async fn without_descriptors_a_silent_stream_begins_all_the_same() {
    let house = House::open("").await;
    let channel = Channel::builder(&house.app, "bare").target(format!("fixed://{}", house.address));
    let mut client = EchoClient::new(channel.build().unwrap());
    let (say, said) = mpsc::channel(1);
    let mut answers = soon(client.chat(ReceiverStream::new(said))).await.unwrap().into_inner();
    say.send(word("late")).await.unwrap();
    assert_eq!(soon(answers.message()).await.unwrap().unwrap().text, "late");
    drop(say);
    assert_eq!(soon(answers.message()).await.unwrap(), None);
    assert_eq!(soon(client.say(word("a"))).await.unwrap().into_inner().text, "a");
    house.end().await;
}

#[tokio::test]
async fn who_stops_listening_is_told_as_one_who_left() {
    let house = House::open("").await;
    let mut words = soon(house.client().repeat(Word { times: 1_000, wait_ms: 20, ..word("a") }))
        .await
        .unwrap()
        .into_inner();
    soon(words.message()).await.unwrap();
    drop(words);
    let line = &house.lines(1).await[0];
    assert_eq!(
        (line["rpc.response.status_code"].as_str(), line["outcome"].as_str()),
        (Some("CANCELLED"), Some("abandoned"))
    );
    let asked = house.asked();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(house.asked() <= asked + 1, "nobody works on");
    house.end().await;
}

#[tokio::test]
async fn a_stream_that_fails_is_told_by_its_trailers() {
    let house = House::open("").await;
    let mut words = soon(house.client().repeat(Word { times: 1, code: 9, ..word("not now") }))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(soon(words.message()).await.unwrap_err().code(), Code::FailedPrecondition);
    let line = &house.lines(1).await[0];
    assert_eq!(
        (line["rpc.response.status_code"].as_str(), line["outcome"].as_str()),
        (Some("FAILED_PRECONDITION"), Some("caller"))
    );
    house.end().await;
}

#[tokio::test]
async fn a_stream_ends_at_the_hard_stop() {
    let house = House::open("[lifecycle]\ngrace = \"300ms\"\nflush = \"1s\"").await;
    let mut words = soon(house.client().repeat(Word { times: 100_000, wait_ms: 10, ..word("a") }))
        .await
        .unwrap()
        .into_inner();
    soon(words.message()).await.unwrap();
    let stopped = platform_core::context::spawn(house.stop());
    let status = loop {
        match soon(words.message()).await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a stream that was cut does not end well"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    let ended = soon(stopped).await.unwrap();
    assert_eq!(ended.code(), 1, "a call was cut");
}

#[tokio::test]
async fn a_call_under_way_ends_well_in_a_drain() {
    let house = House::open("").await;
    let mut client = house.client();
    let slow =
        platform_core::context::spawn(async move { client.add(Word { wait_ms: 400, ..word("slow") }).await });
    while house.asked() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    house.end().await;
    assert_eq!(soon(slow).await.unwrap().unwrap().into_inner().text, "slow");
}

#[tokio::test]
async fn who_leaves_in_the_middle_of_its_messages_is_no_fault_of_the_server() {
    let house = House::open("").await;
    let (say, said) = mpsc::channel(1);
    let mut client = house.client();
    let mut answers = soon(client.chat(ReceiverStream::new(said))).await.unwrap().into_inner();
    say.send(word("a")).await.unwrap();
    soon(answers.message()).await.unwrap();
    drop(answers);
    let (say, said) = mpsc::channel(1);
    let joining = platform_core::context::spawn(async move { client.join(ReceiverStream::new(said)).await });
    say.send(word("a")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    joining.abort();
    for line in house.lines(2).await {
        let told = (line["rpc.response.status_code"].as_str(), line["outcome"].as_str());
        assert_eq!(told, (Some("CANCELLED"), Some("abandoned")), "{line}");
    }
    house.end().await;
}

fn with(house: &House, change: impl FnOnce(Builder) -> Builder) -> EchoClient<Channel> {
    let channel = Channel::builder(&house.app, "echo").target(format!("fixed://{}", house.address));
    EchoClient::new(change(channel.descriptors(DESCRIPTORS)).build().expect("a channel"))
}

#[tokio::test]
async fn a_stream_may_last_and_be_silent_as_long_as_its_method_says() {
    let house = House::open("").await;
    let mut client = with(&house, |channel| {
        channel.method("platform.test.Echo/Repeat", |own| {
            own.stream_timeout = Some(Duration::from_millis(400));
            own.stream_idle = Some(Duration::from_millis(150));
        })
    });
    let begun = Instant::now();
    for (stream, words) in [
        (Word { times: 3, wait_ms: 20, ..word("short") }, None),
        (Word { times: 2, wait_ms: 60_000, ..word("silent") }, Some("nothing came of it within 150ms")),
        (Word { times: 10_000, wait_ms: 20, ..word("long") }, Some("its end was not there within 400ms")),
    ] {
        let mut heard = soon(client.repeat(stream)).await.unwrap().into_inner();
        let ended = loop {
            match soon(heard.message()).await {
                Ok(Some(_)) => {}
                Ok(None) => break None,
                Err(status) => break Some(status),
            }
        };
        match (ended, words) {
            (None, None) => {}
            (Some(status), Some(words)) => {
                assert_eq!(status.code(), Code::DeadlineExceeded);
                assert!(status.message().contains(words), "{status}");
            }
            (ended, words) => panic!("{words:?} was wanted: {ended:?}"),
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    house.end().await;
}

#[tokio::test]
async fn more_streams_than_a_connection_carries_are_all_open_at_once() {
    let house = House::open("").await;
    let client = with(&house, |channel| channel.policy(|policy| policy.bulkhead.max_in_flight = 1_000));
    let mut open = Vec::new();
    for number in 0..450_u32 {
        let (say, said) = mpsc::channel(1);
        let mut client = client.clone();
        let mut answers = soon(client.chat(ReceiverStream::new(said))).await.unwrap().into_inner();
        say.send(word(&number.to_string())).await.unwrap();
        let heard = soon(answers.message()).await.expect("a connection more, or it would wait for ever");
        assert_eq!(heard.unwrap().text, number.to_string());
        open.push((say, answers));
    }
    drop(open);
    house.end().await;
}

#[tokio::test]
async fn a_stream_that_fails_after_its_head_counts_against_its_endpoint_and_not_its_target() {
    let house = House::open("").await;
    let mut client = house.client();
    let failures = || {
        let targets = platform_http::discovery(&house.app).unwrap().targets();
        targets.iter().flat_map(|target| &target.endpoints).map(|seen| seen.failures).sum::<u64>()
    };
    for expected in 1..=8 {
        // Its head is there at once, its status later.
        let stream = Word { times: 1, wait_ms: 50, code: 13, ..word("broken") };
        let mut words = soon(client.repeat(stream)).await.unwrap().into_inner();
        assert_eq!(soon(words.message()).await.unwrap_err().code(), Code::Internal);
        assert_eq!(failures(), expected);
    }
    // Eight failures in a row would have opened the breaker.
    soon(client.say(word("hello"))).await.unwrap();
    let mut words = soon(client.repeat(Word { times: 1, ..word("a") })).await.unwrap().into_inner();
    soon(words.message()).await.unwrap().unwrap();
    drop(words);
    assert_eq!(failures(), 8, "who leaves blames nobody");
    house.end().await;
}
