//! What becomes of calls while a server goes.

use std::time::Duration;

use platform_grpc::Channel;
use platform_grpc_protos::{DESCRIPTORS, Word, echo_client::EchoClient};
use tokio::time::Instant;
use tonic::Code;

use crate::house::{House, soon, word};

/// A caller of its own, which both servers may leave.
async fn caller(houses: [&House; 2]) -> (House, EchoClient<Channel>) {
    let caller = House::open("").await;
    let [one, other] = houses.map(|house| house.address);
    let channel = Channel::builder(&caller.app, "echo").target(format!("fixed://{one},{other}"));
    let client = EchoClient::new(channel.descriptors(DESCRIPTORS).build().expect("a channel"));
    (caller, client)
}

/// A rolling restart: one of two drains while a stream is open on it and calls go on.
async fn restart(grace: &str, words: u32) -> (Code, u32) {
    let file = format!("[lifecycle]\ngrace = \"{grace}\"\nflush = \"1s\"");
    let (one, other) = (House::open(&file).await, House::open(&file).await);
    let (caller, mut client) = caller([&one, &other]).await;
    let before = [one.asked(), other.asked()];
    let stream = Word { times: words, wait_ms: 10, ..word("a") };
    let mut stream = soon(client.repeat(stream)).await.expect("it begins").into_inner();
    soon(stream.message()).await.expect("it goes on").expect("a word");
    let (goes, stays) = if one.asked() > before[0] { (one, other) } else { (other, one) };
    let stopped = platform_core::context::spawn(goes.stop());
    let calls = platform_core::context::spawn(async move {
        let begun = Instant::now();
        let mut count = 0_u32;
        while begun.elapsed() < Duration::from_millis(800) {
            // Of a method that nobody may repeat blindly.
            client.add(word("again")).await?;
            count += 1;
        }
        Ok::<_, tonic::Status>(count)
    });
    let mut heard = 1;
    let code = loop {
        match soon(stream.message()).await {
            Ok(Some(_)) => heard += 1,
            Ok(None) => break Code::Ok,
            Err(status) => break status.code(),
        }
    };
    let count = soon(calls).await.expect("no panic").expect("no call is lost while one of two goes");
    assert!(count > 20, "{count}");
    assert!(stays.asked() > 20, "new calls go to the other one");
    let ended = soon(stopped).await.expect("no panic");
    assert_eq!(ended.code() == 0, code == Code::Ok, "what was cut is told in the exit status: {ended:?}");
    stays.end().await;
    caller.end().await;
    (code, heard)
}

#[tokio::test]
async fn a_stream_that_ends_within_the_grace_ends_well_and_new_calls_go_elsewhere() {
    assert_eq!(restart("10s", 60).await, (Code::Ok, 60));
}

#[tokio::test]
async fn a_stream_that_does_not_end_is_told_so_and_new_calls_go_elsewhere() {
    let (code, heard) = restart("300ms", 1_000_000).await;
    assert_eq!(code, Code::Unavailable);
    assert!(heard > 5, "{heard}");
}
