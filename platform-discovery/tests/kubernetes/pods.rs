//! What is believed of a service's pods?

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use kube::Client;
use platform_core::Result;
use platform_discovery::{Resolve as _, Snapshot, Snapshots, State, Target, config, source::Kubernetes};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::double::Double;

struct Heard(Snapshots);

impl Heard {
    fn of(double: &Double, target: &str) -> Self {
        let url = format!("http://{}", double.address).parse().expect("an address");
        let client = Client::try_from(kube::Config::new(url)).expect("a client");
        let kubernetes = Kubernetes::with(&config::Kubernetes::default(), client);
        Heard(kubernetes.resolve(&Target::parse(target).expect("a target")))
    }

    async fn next(&mut self) -> Result<Snapshot> {
        let next = timeout(Duration::from_secs(15), self.0.next()).await;
        next.expect("the source says something").expect("the source goes on")
    }

    async fn told(&mut self) -> Vec<String> {
        told(&self.next().await.expect("an answer"))
    }

    async fn until(&mut self, wanted: &[&str]) {
        while self.told().await != wanted {}
    }
}

fn told(snapshot: &Snapshot) -> Vec<String> {
    let mut told: Vec<_> = snapshot
        .found()
        .iter()
        .map(|found| {
            let state = if found.endpoint.state == State::Ready { "" } else { " draining" };
            format!("{}{state}", found.endpoint.instance)
        })
        .collect();
    told.sort_unstable();
    told
}

/// A slice of `shop/catalog` with these pods; a name that begins with `-` is on its way out.
fn slice(name: &str, pods: &[&str]) -> Value {
    let pods: Vec<_> = pods
        .iter()
        .map(|pod| {
            let bare = pod.trim_start_matches('-');
            let last = bare.bytes().map(u32::from).sum::<u32>() % 250;
            json!({
                "addresses": [format!("10.0.0.{last}")],
                "conditions": {"ready": bare == *pod, "serving": true, "terminating": bare != *pod},
                "targetRef": {"kind": "Pod", "name": bare, "uid": bare}, "zone": "a",
            })
        })
        .collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {
            "name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": "catalog"},
        },
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": pods,
    })
}

#[tokio::test]
async fn pods_come_drain_and_go_as_their_slices_say() {
    let double = Double::start().await;
    // Three slices are two pages.
    for (name, pods) in [("s1", &["a", "b"]), ("s2", &["c", "d"]), ("s3", &["e", "f"])] {
        double.cluster.apply(name, slice(name, pods));
    }
    let mut other = slice("other", &["z"]);
    other["metadata"]["labels"] = json!({"kubernetes.io/service-name": "ratings"});
    double.cluster.apply("other", other);
    let mut heard = Heard::of(&double, "k8s://shop/catalog:http");
    let first = heard.next().await.expect("an answer");
    assert_eq!(told(&first), ["a", "b", "c", "d", "e", "f"]);
    assert_eq!(first.found()[0].endpoint.address.port(), 8080);
    double.cluster.apply("s3", slice("s3", &["e", "-f", "g"]));
    assert_eq!(heard.told().await, ["a", "b", "c", "d", "e", "f draining", "g"]);
    double.cluster.delete("s1");
    assert_eq!(heard.told().await, ["c", "d", "e", "f draining", "g"]);
    double.cluster.delete("s2");
    double.cluster.delete("s3");
    heard.until(&[]).await;
}

#[tokio::test]
async fn a_watch_that_is_cut_goes_on_from_its_last_bookmark() {
    let double = Double::start().await;
    double.cluster.apply("s1", slice("s1", &["a"]));
    let mut heard = Heard::of(&double, "k8s://shop/catalog");
    assert_eq!(heard.told().await, ["a"]);
    // The stream moves only while it is polled.
    let cluster = double.cluster.clone();
    let outside = async {
        cluster.watched(1).await;
        cluster.bookmark();
        tokio::time::sleep(Duration::from_millis(200)).await;
        cluster.cut();
        cluster.watched(2).await;
        cluster.apply("s1", slice("s1", &["a", "b"]));
    };
    let (seen, ()) = tokio::join!(heard.told(), outside);
    assert_eq!(seen, ["a", "b"]);
    let known = double.cluster.known();
    assert_eq!((known.lists, known.watched_from.as_slice()), (1, &[11, 111][..]));
}

#[tokio::test]
async fn what_is_forgotten_is_listed_anew_and_no_error() {
    let double = Double::start().await;
    double.cluster.apply("s1", slice("s1", &["a"]));
    let mut heard = Heard::of(&double, "k8s://shop/catalog");
    assert_eq!(heard.told().await, ["a"]);
    let cluster = double.cluster.clone();
    let outside = async {
        cluster.watched(1).await;
        // While the connection is cut the slice is replaced and the past forgotten: nothing else runs before the end.
        cluster.cut();
        cluster.apply("s2", slice("s2", &["b"]));
        cluster.delete("s1");
        cluster.compact();
    };
    let (seen, ()) = tokio::join!(heard.told(), outside);
    assert_eq!(seen, ["b"]);
    assert_eq!(double.cluster.known().lists, 2);
}

#[tokio::test]
async fn a_server_that_refuses_is_an_error_and_then_everything_is_listed_anew() {
    let double = Double::start().await;
    double.cluster.apply("s1", slice("s1", &["a"]));
    double.cluster.known().refuse = Some(403);
    let mut heard = Heard::of(&double, "k8s://shop/catalog");
    let error = heard.next().await.expect_err("it may not");
    assert!(error.detail().contains("grant list and watch on endpointslices"), "{error}");
    double.cluster.known().refuse = None;
    let before = heard.next().await.expect("an answer");
    assert_eq!(told(&before), ["a"]);

    double.cluster.known().refuse = Some(500);
    let cluster = double.cluster.clone();
    let outside = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        cluster.cut();
    };
    let (seen, ()) = tokio::join!(heard.next(), outside);
    assert!(seen.expect_err("it fails").detail().contains("Kubernetes' service catalog"));
    double.cluster.known().refuse = None;
    let after = heard.next().await.expect("an answer");
    assert!(Arc::ptr_eq(before.found(), after.found()));
}

#[tokio::test]
async fn a_port_that_nobody_has_is_an_error_that_names_those_there_are() {
    let double = Double::start().await;
    double.cluster.apply("s1", slice("s1", &["a"]));
    let error = Heard::of(&double, "k8s://shop/catalog:grpc").next().await.expect_err("no such port");
    assert!(error.detail().contains("its pods have no port grpc; they have http (8080)"), "{error}");
}
