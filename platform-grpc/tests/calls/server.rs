//! What the server's page says in gRPC, and what it tells of calls.

use http::header;
use platform_core::{Outcome, recovery::Recovery};
use platform_grpc_protos::Word;
use platform_http::Client;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::house::{House, soon, word};

#[tokio::test]
async fn a_call_is_answered_counted_and_told_by_its_method() {
    let house = House::open("").await;
    let mut client = house.client();
    let said = soon(client.say(word("hello"))).await.unwrap();
    assert_eq!(said.get_ref().text, "hello");
    assert!(said.metadata().get("x-request-id").is_some(), "every reply names its request");
    let refused = soon(client.say(Word { code: 5, ..word("no such word") })).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::NotFound, "no such word"));
    let failed = soon(client.add(Word { code: 13, ..word("broken") })).await.unwrap_err();
    assert_eq!(failed.code(), Code::Internal);

    let lines = house.lines(3).await;
    let told = |line: &serde_json::Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    assert_eq!(told(&lines[0], "rpc.method"), "platform.test.Echo/Say");
    assert_eq!(told(&lines[0], "rpc.response.status_code"), "OK");
    assert_eq!(told(&lines[0], "outcome"), "ok");
    assert!(lines[0].get("http.route").is_none(), "{}", lines[0]);
    assert_eq!(told(&lines[1], "outcome"), "caller");
    assert_eq!((told(&lines[2], "outcome"), told(&lines[2], "level")), ("server".into(), "error".into()));

    let count = "rpc_server_call_duration_seconds_count";
    let say = "rpc_method=\"platform.test.Echo/Say\"";
    for (labels, expected) in [
        (vec![say, "rpc_response_status_code=\"OK\"", "error_type=\"\""], 1.0),
        (vec![say, "rpc_response_status_code=\"NOT_FOUND\"", "error_type=\"\""], 1.0),
        (vec!["Echo/Add", "rpc_response_status_code=\"INTERNAL\"", "error_type=\"INTERNAL\""], 1.0),
    ] {
        assert_eq!(house.metric(count, &labels), expected, "{labels:?}\n{}", house.app.metrics().encode());
    }
    assert_eq!(house.metric("http_server_request_duration_seconds_count", &[]), 0.0, "not by HTTP's 200");
    house.end().await;
}

#[tokio::test]
async fn a_panic_is_internal_and_the_next_call_is_served() {
    let house = House::open("").await;
    let mut client = house.client();
    let failed = soon(client.add(word("panic"))).await.unwrap_err();
    assert_eq!(failed.code(), Code::Internal);
    assert_eq!(failed.get_details_error_info().unwrap().reason, "PANIC");
    let mut words = soon(client.repeat(Word { times: 1, ..word("panic") })).await.unwrap().into_inner();
    let failed = soon(words.message()).await.unwrap_err();
    assert_eq!(
        (failed.code(), failed.get_details_error_info().unwrap().reason.as_str()),
        (Code::Internal, "PANIC")
    );
    assert_eq!(soon(client.say(word("still here"))).await.unwrap().into_inner().text, "still here");
    assert_eq!(house.metric("platform_server_panics_total", &[]), 2.0);
    house.end().await;
}

#[tokio::test]
async fn what_is_not_there_is_unimplemented_and_makes_no_label() {
    let house = House::open("").await;
    let mut other = tonic::client::Grpc::new(house.channel("other"));
    for path in ["/platform.test.Echo/Shout", "/platform.test.Nobody/Say"] {
        other.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<Word, Word>::default();
        let asked = other.unary(tonic::Request::new(word("x")), path.parse().unwrap(), codec);
        assert_eq!(soon(asked).await.unwrap_err().code(), Code::Unimplemented, "{path}");
    }
    let labels = ["rpc_method=\"_OTHER\"", "rpc_response_status_code=\"UNIMPLEMENTED\""];
    assert_eq!(house.metric("rpc_server_call_duration_seconds_count", &labels), 2.0);
    house.end().await;
}

#[tokio::test]
async fn an_error_of_ours_tells_reason_layer_and_delay() {
    let house = House::open("").await;
    let full =
        soon(house.tuned(|policy| policy.recovery = Recovery::None).say(word("full"))).await.unwrap_err();
    assert_eq!((full.code(), full.message()), (Code::Unavailable, "42 calls wait"));
    assert_eq!(full.metadata().get("platform-retry").unwrap(), "safe");
    assert_eq!(full.metadata().get("grpc-retry-pushback-ms").unwrap(), "30");
    let info = full.get_details_error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.metadata["layer"].as_str()), ("OVERLOADED", "test"));
    let error = platform_grpc::error(&full);
    assert_eq!(error.outcome(), Outcome::Overload);
    let line = &house.lines(1).await[0];
    assert_eq!((line["reason"].as_str(), line["outcome"].as_str()), (Some("overloaded"), Some("overload")));
    house.end().await;
}

#[tokio::test]
async fn http_and_grpc_share_a_port() {
    let house = House::open("").await;
    let http =
        Client::builder(&house.app, "page").target(format!("fixed://{}", house.address)).build().unwrap();
    assert_eq!(soon(http.get("/hello").send()).await.unwrap().text().await.unwrap(), "hello");
    let missing = soon(http.get("/nothing").send()).await.unwrap();
    assert_eq!(
        missing.headers()[header::CONTENT_TYPE],
        "application/problem+json",
        "HTTP is answered in HTTP"
    );
    assert_eq!(soon(house.client().say(word("hello"))).await.unwrap().into_inner().text, "hello");
    let lines = house.lines(3).await;
    assert_eq!(lines[0]["http.route"], "/hello");
    house.end().await;
}

#[tokio::test]
async fn strangers_do_not_learn_what_went_wrong_inside() {
    let house = House::open("[server]\ntrust = { inbound = \"edge\" }").await;
    let failed = soon(house.client().add(word("panic"))).await.unwrap_err();
    assert_eq!((failed.code(), failed.message()), (Code::Internal, ""));
    let line = &house.lines(1).await[0];
    assert!(line["error"].as_str().unwrap().contains("as the word wanted"), "{line}");
    house.end().await;
}
