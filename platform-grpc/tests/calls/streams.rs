//! Streams of all kinds, and how they end.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use platform_grpc_protos::Word;
use tokio::sync::mpsc;
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
async fn without_descriptors_a_silent_stream_begins_all_the_same() {
    let house = House::open("").await;
    let channel =
        platform_grpc::Channel::builder(&house.app, "bare").target(format!("fixed://{}", house.address));
    let mut client = platform_grpc_protos::echo_client::EchoClient::new(channel.build().unwrap());
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
