//! Layers of a team in a channel's three slots.

use std::sync::{Arc, Mutex};

use platform_grpc::Channel;
use platform_grpc_protos::{DESCRIPTORS, Word, echo_client::EchoClient};
use platform_http::{
    Body,
    client::slots::{Around, Rest, To},
};
use tonic::{Code, Status};
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    does::does,
    house::{House, soon, word},
};

type Log = Arc<Mutex<Vec<String>>>;

/// Notes its name, the method, whether the headers are there, and for whom it is.
fn notes(name: &'static str, log: &Log) -> impl Layer<Rest, Service: Around> + Send + Sync + 'static + use<> {
    let log = Arc::clone(log);
    does(move |mut rest, request| {
        let written =
            ["grpc-timeout", "traceparent", "host"].iter().all(|name| request.headers().contains_key(*name));
        let to = request.extensions().get::<To>().is_some();
        let line = format!("{name} {} {written} {to}", request.uri().path());
        log.lock().expect("nobody panics").push(line);
        Box::pin(rest.call(request))
    })
}

fn builder(house: &House) -> platform_grpc::channel::Builder {
    let channel = Channel::builder(&house.app, "echo").target(format!("fixed://{}", house.address));
    channel.descriptors(DESCRIPTORS)
}

#[tokio::test]
async fn each_slot_sees_calls_tries_and_endpoints_as_it_does_over_http() {
    let house = House::open("").await;
    let log = Log::default();
    let channel = builder(&house)
        .around_endpoint(notes("endpoint", &log))
        .around_attempt(notes("attempt", &log))
        .around_call(notes("call", &log))
        .build()
        .expect("a channel");
    let layers: Vec<_> = channel.describe().into_iter().map(|row| row.layer).collect();
    for layer in ["slot-call", "slot-attempt", "slot-endpoint"] {
        assert!(layers.contains(&layer), "{layers:?}");
    }
    let mut client = EchoClient::new(channel);
    assert_eq!(soon(client.say(word("a"))).await.unwrap().into_inner().text, "a");
    let say = [
        "call /platform.test.Echo/Say false false",
        "attempt /platform.test.Echo/Say true true",
        "endpoint /platform.test.Echo/Say true true",
    ];
    assert_eq!(std::mem::take(&mut *log.lock().unwrap()), say);
    // Below what is repeated a layer sees each try, and what is judged is what came through.
    soon(client.say(Word { code: 13, ..word("broken") })).await.unwrap_err();
    assert_eq!(std::mem::take(&mut *log.lock().unwrap()), [&say[..], &say[1..], &say[1..]].concat());
    let mut words = soon(client.repeat(Word { times: 2, ..word("a") })).await.unwrap().into_inner();
    let mut heard = 0;
    while soon(words.message()).await.unwrap().is_some() {
        heard += 1;
    }
    assert_eq!((heard, log.lock().unwrap().len()), (2, 3));
    house.end().await;
}

#[tokio::test]
async fn a_layer_answers_for_the_target_and_its_status_is_the_verdict() {
    let house = House::open("").await;
    let answers = does(|mut rest, request| {
        if request.headers().contains_key("known") {
            let status = Status::new(Code::FailedPrecondition, "known already");
            return Box::pin(async move { Ok(status.into_http::<()>().map(|()| Body::empty())) });
        }
        Box::pin(rest.call(request))
    });
    let channel = builder(&house).around_call(answers).build().expect("a channel");
    let mut client = EchoClient::new(channel);
    let mut request = tonic::Request::new(word("a"));
    request.metadata_mut().insert("known", "yes".parse().unwrap());
    let status = soon(client.say(request)).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message(), house.asked()),
        (Code::FailedPrecondition, "known already", 0)
    );
    let caller = ["target=\"echo\"", "outcome=\"caller\""];
    assert_eq!(house.metric("platform_client_call_duration_seconds_count", &caller), 1.0);
    assert_eq!(soon(client.say(word("b"))).await.unwrap().into_inner().text, "b");
    house.end().await;
}
