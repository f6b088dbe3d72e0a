//! What people's own tools make of our server: grpcurl and buf, which are written in Go, each with an implementation of
//! gRPC of its own, and know the services by reflection only.

use std::{path::Path, process::Command};

use serde_json::Value;

use crate::{
    house::{House, soon},
    python::{python, tool},
};

/// Runs it, and tells whether it was content, and what it said.
async fn run(tool: &Path, words: &[&str]) -> (bool, String) {
    let mut command = Command::new(tool);
    command.args(words);
    let ran = tokio::task::spawn_blocking(move || command.output());
    let output = soon(ran).await.expect("no panic").expect("it was there a moment ago");
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    (output.status.success(), said)
}

/// grpcurl asks for reflection `v1alpha`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpcurl_finds_calls_and_reads_without_a_proto() {
    let Some(grpcurl) = tool("grpcurl") else { return };
    let house = House::open("").await;
    let address = house.address.to_string();
    let call = async |before: &[&str], after: &[&str]| {
        run(&grpcurl, &[&["-plaintext"], before, &[address.as_str()], after].concat()).await
    };
    let (_, said) = call(&[], &["list"]).await;
    let services: Vec<_> = said.lines().collect();
    for service in ["grpc.health.v1.Health", "platform.test.Echo"] {
        assert!(services.contains(&service), "{said}");
    }
    let (_, said) = call(&[], &["describe", "platform.test.Echo"]).await;
    assert!(
        said.contains("rpc Repeat ( .platform.test.Word ) returns ( stream .platform.test.Word )"),
        "{said}"
    );

    let (well, said) = call(&["-d", r#"{"text": "a", "times": 3}"#], &["platform.test.Echo/Repeat"]).await;
    let words: Vec<Value> =
        serde_json::Deserializer::from_str(&said).into_iter().collect::<Result<_, _>>().expect(&said);
    assert!(well && words.len() == 3 && words.iter().all(|word| word["text"] == "a"), "{said}");
    let (well, said) = call(&["-d", r#"{"text": "full"}"#], &["platform.test.Echo/Say"]).await;
    assert!(!well, "{said}");
    for part in ["Code: Unavailable", "Message: 42 calls wait", "OVERLOADED", "\"retryDelay\":\"0.030s\""] {
        assert!(said.contains(part), "{part}: {said}");
    }

    // The load report stands in the trailers, and is what protobuf's own code reads.
    let (_, said) = call(&["-v", "-d", r#"{"text": "a"}"#], &["platform.test.Echo/Say"]).await;
    let (head, trailers) = said.split_once("Response trailers received:").expect(&said);
    assert!(!head.contains("endpoint-load-metrics"), "{head}");
    let report =
        trailers.lines().find_map(|line| line.strip_prefix("endpoint-load-metrics-bin: ")).expect(&said);
    let decoder = format!("{}/tests/orca.py", env!("CARGO_MANIFEST_DIR"));
    let (well, read) = run(Path::new(&python()), &[&decoder, report.trim()]).await;
    let latency = read.lines().find_map(|line| line.strip_prefix("latency_ms=")).expect(&read);
    let latency: f64 = latency.parse().expect("a number");
    // Beside it there is the stream over which grpcurl has asked for the descriptors.
    assert!(well && (0.0..5_000.0).contains(&latency) && read.contains("rif=1.0"), "{read}");
    house.end().await;
}

/// buf asks for reflection `v1`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buf_calls_without_a_proto() {
    let Some(buf) = tool("buf") else { return };
    let house = House::open("").await;
    let url = |method: &str| format!("http://{}/platform.test.Echo/{method}", house.address);
    let say = ["curl", "--http2-prior-knowledge", "--protocol", "grpc", "-d"];
    let (well, said) = run(&buf, &[&say[..], &[r#"{"text": "a"}"#, &url("Say")]].concat()).await;
    assert!(well && said.contains(r#""text""#), "{said}");
    let (well, said) =
        run(&buf, &[&say[..], &[r#"{"text": "gone", "code": 5}"#, &url("Add")]].concat()).await;
    assert!(!well && said.contains("not_found") && said.contains("gone"), "{said}");
    house.end().await;
}
