//! A call as a collector sees it.

use crate::{
    house::{House, word},
    sink::Sink,
};

#[tokio::test]
async fn the_span_of_a_call_shows_what_may_be_seen_and_nothing_else() {
    let Some(sink) = Sink::start("grpc", "answer") else { return };
    let house = House::open(&format!(
        "[telemetry.traces]\nendpoint = 'http://127.0.0.1:{}'\nratio = 1.0\n[server.show]\nheaders = ['x-cart']\n",
        sink.port
    ))
    .await;
    let mut request = tonic::Request::new(word("hello"));
    for (name, value) in [("x-cart", "c-7"), ("x-other", "hunter2")] {
        request.metadata_mut().insert(name, value.parse().expect("a value"));
    }
    house.client().say(request).await.expect("it says so");
    house.end().await;
    let spans = [sink.line(), sink.line()];
    let served = spans.iter().find(|span| span["kind"] == "SPAN_KIND_SERVER").expect("one of the server");
    assert_eq!(served["attributes"]["http.request.header.x-cart"], "c-7", "{served:#}");
    assert!(!served.to_string().contains("hunter2"), "{served:#}");
    assert!(sink.says_no_more(), "a call is two spans: who asks and who answers");
}
