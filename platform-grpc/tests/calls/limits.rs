//! How long a call may take, on both sides.

use std::time::Duration;

use platform_grpc_protos::Word;
use tokio::time::Instant;
use tonic::{Code, Request};
use tonic_types::StatusExt as _;

use crate::house::{House, soon, word};

fn within(ms: u64, word: Word) -> Request<Word> {
    let mut request = Request::new(word);
    request.set_timeout(Duration::from_millis(ms));
    request
}

/// A caller that believes in its own deadline, and does not cut what it calls itself.
async fn raw(house: &House, path: &str, timeout: &str, word: &Word) -> (String, Duration) {
    use http_body_util::BodyExt as _;
    use prost::Message as _;

    let mut bytes = vec![0];
    let message = word.encode_to_vec();
    bytes.extend_from_slice(&u32::try_from(message.len()).expect("a short word").to_be_bytes());
    bytes.extend_from_slice(&message);
    let client = platform_http::Client::builder(&house.app, "raw")
        .target(format!("fixed://{}", house.address))
        .connect(|connect| connect.protocol = platform_http::client::Protocol::H2)
        .build()
        .expect("a client");
    let request = http::Request::post(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", timeout)
        .body(platform_http::Body::full(bytes))
        .expect("a request");
    let begun = Instant::now();
    let reply = soon(client.send(request)).await.expect("a reply").into_http();
    let head = reply.headers().get("grpc-status").cloned();
    let rest = soon(reply.into_body().collect()).await.expect("a whole reply");
    let status = head.or_else(|| rest.trailers()?.get("grpc-status").cloned()).expect("a status");
    (status.to_str().expect("digits").to_owned(), begun.elapsed())
}

#[tokio::test]
async fn the_server_ends_a_call_with_its_callers_deadline_and_says_so() {
    let house = House::open("").await;
    let slow = Word { wait_ms: 60_000, ..word("late") };
    let (status, took) = raw(&house, "/platform.test.Echo/Say", "80m", &slow).await;
    assert_eq!(status, "4");
    assert!(took >= Duration::from_millis(80) && took < Duration::from_secs(5), "{took:?}");
    // Also in the middle of a stream, whose head has long said that all is well.
    let stream = Word { times: 1_000, wait_ms: 30, ..word("a") };
    let (status, took) = raw(&house, "/platform.test.Echo/Repeat", "100000u", &stream).await;
    assert_eq!(status, "4");
    assert!(took >= Duration::from_millis(100) && took < Duration::from_secs(5), "{took:?}");
    let lines = house.lines(2).await;
    for line in lines {
        assert_eq!(
            (line["rpc.response.status_code"].as_str(), line["reason"].as_str()),
            (Some("DEADLINE_EXCEEDED"), Some("timeout"))
        );
        assert_eq!(line["outcome"], "timeout");
    }
    house.end().await;
}

#[tokio::test]
async fn what_nobody_waits_for_is_refused_before_any_work() {
    let house = House::open("").await;
    let (status, _) = raw(&house, "/platform.test.Echo/Say", "0m", &word("dead")).await;
    assert_eq!((status.as_str(), house.asked()), ("4", 0));
    assert_eq!(house.lines(1).await[0]["reason"], "expired");
    house.end().await;
}

#[tokio::test]
async fn the_channel_ends_a_call_with_its_deadline() {
    let house = House::open("").await;
    let begun = Instant::now();
    let late =
        soon(house.client().add(within(80, Word { wait_ms: 60_000, ..word("late") }))).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    assert!(begun.elapsed() < Duration::from_secs(5));
    // The server was told the same, and says so about as soon; who of the two was first is nobody's business.
    let stream = within(100, Word { times: 1_000, wait_ms: 30, ..word("a") });
    let mut words = soon(house.client().repeat(stream)).await.unwrap().into_inner();
    let (mut heard, end) = (0, loop_to_end(&mut words).await);
    heard += end.0;
    assert_eq!(end.1, Code::DeadlineExceeded);
    assert!((1..=4).contains(&heard), "{heard}");
    house.end().await;
}

async fn loop_to_end(words: &mut tonic::Streaming<Word>) -> (u32, Code) {
    let mut heard = 0;
    loop {
        match soon(words.message()).await {
            Ok(Some(_)) => heard += 1,
            Ok(None) => return (heard, Code::Ok),
            Err(status) => return (heard, status.code()),
        }
    }
}

#[tokio::test]
async fn the_policys_limit_is_told_with_its_layer() {
    let house = House::open("").await;
    let mut client = house.tuned(|policy| {
        policy.timeout = Some(Duration::from_millis(150));
        policy.attempt_timeout = Some(Duration::from_millis(100));
    });
    let late = soon(client.add(Word { wait_ms: 60_000, ..word("late") })).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    assert_eq!(late.get_details_error_info().unwrap().metadata["layer"], "attempt-deadline");
    assert!(late.message().contains("no answer within 100ms"), "{}", late.message());
    assert_eq!(platform_grpc::error(&late).endpoint(), Some(house.address.to_string().as_str()));
    house.end().await;
}

#[tokio::test]
async fn a_stream_outlives_the_policys_limit_and_a_handler_sees_its_deadline() {
    let house = House::open("[server.policy]\ntimeout = \"100ms\"").await;
    let mut client = house.tuned(|policy| policy.timeout = Some(Duration::from_millis(150)));
    let stream = Word { times: 10, wait_ms: 40, ..word("a") };
    let mut words = soon(client.repeat(stream)).await.unwrap().into_inner();
    assert_eq!(loop_to_end(&mut words).await, (10, Code::Ok));

    // Nor is the server told of a limit that is for the head, and cuts the rest itself.
    let patient = House::open("").await;
    let mut client = patient.tuned(|policy| policy.timeout = Some(Duration::from_millis(150)));
    let mut words =
        soon(client.repeat(Word { times: 10, wait_ms: 40, ..word("a") })).await.unwrap().into_inner();
    assert_eq!(loop_to_end(&mut words).await, (10, Code::Ok));
    patient.end().await;

    let left = soon(house.client().say(within(5_000, word("left")))).await.unwrap().into_inner().text;
    let left: u32 = left.trim_start_matches("Some(").trim_end_matches(')').parse().expect(&left);
    assert!(left <= 100, "the smallest of caller, client and server: {left}");
    // Whoever makes the messages of a stream finds the context too, with the caller's deadline.
    let mut words =
        soon(house.client().repeat(within(5_000, Word { times: 1, ..word("left") }))).await.unwrap();
    let left = soon(words.get_mut().message()).await.unwrap().unwrap().text;
    assert!(left.starts_with("Some("), "{left}");
    house.end().await;
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_refused_and_one_within_is_not() {
    let house = House::open("").await;
    let load = |size: usize| Word { load: vec![7; size], ..Word::default() };
    let said = soon(house.client().say(load(1_000_000))).await.unwrap().into_inner();
    assert_eq!(said.load.len(), 1_000_000);
    let refused = soon(house.client().say(load(1_100_000))).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
    house.end().await;
}
