//! What the channel repeats, refuses and tells.

use platform_core::{ErrorKind, Outcome, recovery::Recovery};
use platform_grpc::Channel;
use platform_grpc_protos::{Word, echo_client::EchoClient};
use platform_http::client::Protocol;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::house::{House, nobody, soon, word};

#[tokio::test]
async fn a_failure_is_repeated_where_the_proto_allows_it() {
    let house = House::open("").await;
    let mut client = house.client();
    let failing = || Word { code: 13, ..word("broken") };
    soon(client.say(failing())).await.unwrap_err();
    assert_eq!(house.asked(), 3, "NO_SIDE_EFFECTS: it may be asked again");
    soon(client.add(failing())).await.unwrap_err();
    assert_eq!(house.asked(), 4, "nothing is said of it, so it is done once");
    let attempts = |kind: &str| {
        house.metric("platform_client_attempts_total", &["target=\"echo\"", &format!("kind=\"{kind}\"")])
    };
    assert_eq!((attempts("first"), attempts("retry")), (2.0, 2.0));
    let say = ["Echo/Say", "server_address=\"echo\"", "rpc_response_status_code=\"INTERNAL\""];
    assert_eq!(house.metric("rpc_client_call_duration_seconds_count", &say), 3.0);
    house.end().await;
}

#[tokio::test]
async fn a_refusal_before_work_is_repeated_whatever_the_method_and_not_too_soon() {
    let house = House::open("").await;
    let begun = tokio::time::Instant::now();
    let full = soon(house.client().add(word("full"))).await.unwrap_err();
    assert_eq!(
        (full.code(), house.asked()),
        (Code::Unavailable, 4),
        "the last that was never processed allows one more"
    );
    assert!(begun.elapsed().as_millis() >= 90, "the pushback of 30ms is kept: {:?}", begun.elapsed());
    house.end().await;
}

#[tokio::test]
async fn nobody_there_is_unavailable_with_its_reason() {
    let house = House::open("").await;
    let channel = Channel::builder(&house.app, "gone").target(format!("fixed://{}", nobody()));
    let channel = channel.build().unwrap();
    let status = soon(EchoClient::new(channel).say(word("hello"))).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let info = status.get_details_error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("UNREACHABLE", "platform"));
    assert_eq!(info.metadata["target"], "gone");
    let error = platform_grpc::error(&status);
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unreachable, Outcome::Unreachable));
    house.end().await;
}

#[tokio::test]
async fn an_open_breaker_answers_at_once_and_names_itself() {
    let house = House::open("").await;
    let mut client = house.tuned(|policy| policy.recovery = Recovery::None);
    for _ in 0..7 {
        soon(client.add(Word { code: 13, ..word("broken") })).await.unwrap_err();
    }
    let refused = soon(client.say(word("hello"))).await.unwrap_err();
    assert_eq!((refused.code(), house.asked()), (Code::Unavailable, 7));
    let info = refused.get_details_error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.metadata["layer"].as_str()), ("BREAKER_OPEN", "breaker"));
    assert_eq!(refused.metadata().get("grpc-retry-pushback-ms").unwrap(), "-1");
    house.end().await;
}

#[tokio::test]
async fn the_page_is_shown_as_data_and_a_wrong_protocol_refused() {
    let house = House::open("").await;
    let layers: Vec<_> = house.channel("echo").describe().into_iter().map(|row| row.layer).collect();
    for layer in ["context", "breaker", "attempt-deadline", "balance", "inject", "judge"] {
        assert!(layers.contains(&layer), "{layers:?}");
    }
    let old = Channel::builder(&house.app, "old").target("fixed://127.0.0.1:1");
    let error = old.connect(|connect| connect.protocol = Protocol::Http1).build().unwrap_err();
    assert!(error.detail().contains("clients.old.connect.protocol"), "{error}");
    house.end().await;
}
