//! gRPC's own implementation for Python, on either side.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use platform_core::recovery::Recovery;
use platform_grpc::Channel;
use platform_grpc_protos::{Word, echo_client::EchoClient};
use tokio::time::Instant;
use tonic::{Code, codec::CompressionEncoding, metadata::MetadataValue};
use tonic_types::StatusExt as _;

use crate::{
    house::{House, soon, word},
    python::{Peer, Python, skipped},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpcio_calls_our_server() {
    let house = House::open("").await;
    let Some((ok, wrong)) = Python::calls(house.address, &[]).await else { return };
    assert_eq!(ok, CASES, "{wrong}");
    let labels = ["rpc_method=\"platform.test.Echo/Shout\""];
    assert_eq!(house.metric("rpc_server_call_duration_seconds_count", &labels), 0.0);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_channel_repeats_what_grpcio_did_not_do() {
    let Some(peer) = Peer::start(&[]).await else { return };
    let mut client = peer.client();
    let said = soon(client.say(word("fail-twice:a"))).await.unwrap().into_inner().text;
    assert_eq!(said, "2", "the third says that two were before it");
    let failed = soon(client.add(word("fail-twice:b"))).await.unwrap_err();
    assert_eq!((failed.code(), failed.message()), (Code::Unavailable, "not yet"));
    assert_eq!(peer.asked("b").await, "1", "a bare UNAVAILABLE may have done something");

    // A server that says when to come back has refused before it began.
    let took: u32 = soon(client.add(word("pushback:c"))).await.unwrap().into_inner().text.parse().unwrap();
    assert!((80..5_000).contains(&took), "{took}");
    soon(client.say(word("stop:d"))).await.unwrap_err();
    assert_eq!(peer.asked("d").await, "1", "a negative pushback stops");
    let failed = soon(client.say(word("head-first:e"))).await.unwrap_err();
    assert_eq!((failed.code(), failed.message()), (Code::Internal, "after all"));
    assert_eq!(peer.asked("e").await, "3", "a status in trailers is a verdict as well");
    peer.house.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_never_repeated_once_it_has_begun() {
    let Some(peer) = Peer::start(&[]).await else { return };
    let mut client = peer.client();
    let mut words = soon(client.repeat(word("half:a"))).await.unwrap().into_inner();
    assert_eq!(soon(words.message()).await.unwrap().unwrap().text, "half:a");
    assert_eq!(soon(words.message()).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(peer.asked("a").await, "1");

    let mut words = soon(client.repeat(Word { times: 3, ..word("again:b") })).await.unwrap().into_inner();
    let mut heard = 0;
    while soon(words.message()).await.unwrap().is_some() {
        heard += 1;
    }
    assert_eq!(heard, 3);
    assert_eq!(
        soon(client.join(stream::iter([word("a"), word("b")]))).await.unwrap().into_inner().text,
        "ab"
    );
    let slowly = stream::iter(["a", "b"]).then(|text| async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        word(text)
    });
    let mut words = soon(client.chat(slowly)).await.unwrap().into_inner();
    assert_eq!(soon(words.message()).await.unwrap().unwrap().text, "a");
    assert_eq!(soon(words.message()).await.unwrap().unwrap().text, "b");
    assert_eq!(soon(words.message()).await.unwrap(), None);
    peer.house.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_peer_is_not_waited_for_and_learns_the_deadline() {
    let Some(peer) = Peer::start(&[]).await else { return };
    let begun = Instant::now();
    let mut request = tonic::Request::new(word("slow:a"));
    request.set_timeout(Duration::from_millis(200));
    let late = soon(peer.client().add(request)).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let told = soon(peer.client().say(word("told:b"))).await.unwrap().into_inner().text;
    for part in ["traceparent=00-", "user-agent=echo platform/"] {
        assert!(told.contains(part), "{told}");
    }
    for part in ["grpc-previous-rpc-attempts", "platform-timeout-ms"] {
        assert!(!told.contains(part), "{told}");
    }
    peer.house.end().await;
}

/// GOAWAY every 150 ms or so: what it turned away goes again, on a new connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_end_lose_no_call() {
    let ages = ["grpc.max_connection_age_ms=150", "grpc.max_connection_age_grace_ms=5000"];
    let Some(peer) = Peer::start(&ages).await else { return };
    let until = Instant::now() + Duration::from_millis(1_200);
    let calls = (0..4).map(|_| {
        let mut client = peer.client();
        platform_core::context::spawn(async move {
            let mut count = 0_u32;
            while Instant::now() < until {
                client.add(word("again:g")).await?;
                count += 1;
            }
            Ok::<_, tonic::Status>(count)
        })
    });
    let calls: Vec<_> = calls.collect();
    for call in calls {
        let count = soon(call).await.unwrap().unwrap();
        assert!(count > 10, "{count}");
    }
    peer.house.end().await;
}

/// gRPC's interop cases, as far as they can be asked of this service, in the order in which its documents list them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_channel_passes_grpcs_own_cases() {
    let Some(peer) = Peer::start(&[]).await else { return };
    // One that packs its answers, and now and then for those too who have not said that they can unpack them.
    let Some(packs) = Peer::start(&["grpc.default_compression_algorithm=2"]).await else { return };
    let packed = CompressionEncoding::Gzip;
    let unpacks = packs.client().send_compressed(packed).accept_compressed(packed);
    for (gzip, mut client) in [(false, peer.client()), (true, unpacks)] {
        // empty_unary, large_unary, and both compressed
        assert_eq!(soon(client.say(Word::default())).await.unwrap().into_inner(), Word::default());
        let large = Word { load: vec![7; 314_159], ..Word::default() };
        let said = soon(client.say(large.clone())).await.unwrap();
        let packed = said.metadata().get("grpc-encoding").is_some_and(|encoding| encoding == "gzip");
        assert_eq!((packed, said.into_inner()), (gzip, large));
        // client_streaming, server_streaming, and both compressed
        let words = ["a", "b", "c"].map(|text| word(&text.repeat(9_000)));
        let joined = soon(client.join(stream::iter(words))).await.unwrap().into_inner().text;
        assert_eq!(joined.len(), 27_000);
        let many = Word { times: 4, ..word(&"a".repeat(9_000)) };
        let heard: Vec<_> = soon(client.repeat(many)).await.unwrap().into_inner().collect().await;
        assert_eq!(heard.into_iter().map(|word| word.unwrap().text.len()).sum::<usize>(), 36_000);
    }
    let mut client = peer.client();
    // ping_pong
    let (say, said) = tokio::sync::mpsc::channel(1);
    let said = tokio_stream::wrappers::ReceiverStream::new(said);
    // grpcio sends its head with the first word.
    say.send(word("first")).await.unwrap();
    let mut answers = soon(client.chat(said)).await.unwrap().into_inner();
    assert_eq!(soon(answers.message()).await.unwrap().unwrap().text, "first");
    for text in ["ping", "pong", "ping"] {
        say.send(word(text)).await.unwrap();
        assert_eq!(soon(answers.message()).await.unwrap().unwrap().text, text);
    }
    drop(say);
    assert_eq!(soon(answers.message()).await.unwrap(), None);
    // empty_stream
    let mut nothing = soon(client.chat(stream::empty())).await.unwrap().into_inner();
    assert_eq!(soon(nothing.message()).await.unwrap(), None);
    // custom_metadata
    let mut request = tonic::Request::new(word("metadata:a"));
    request.metadata_mut().insert("echo-initial", "as it was".parse().unwrap());
    request.metadata_mut().insert_bin("echo-trailing-bin", MetadataValue::from_bytes(&[10, 11, 10, 11, 255]));
    let reply = soon(client.say(request)).await.unwrap();
    // tonic gives trailers and headers of a unary call as one.
    assert_eq!(reply.metadata().get("echo-initial").unwrap(), "as it was");
    assert_eq!(
        reply.metadata().get_bin("echo-trailing-bin").unwrap().to_bytes().unwrap().as_ref(),
        [10, 11, 10, 11, 255]
    );
    // status_code_and_message, special_status_message
    for text in ["test status message", SPECIAL] {
        let failed = soon(client.add(Word { code: 2, ..word(text) })).await.unwrap_err();
        assert_eq!((failed.code(), failed.message()), (Code::Unknown, text));
    }
    let failed = match soon(client.chat(stream::iter([Word { code: 2, ..word(SPECIAL) }]))).await {
        Ok(words) => soon(words.into_inner().message()).await.unwrap_err(),
        Err(failed) => failed,
    };
    assert_eq!((failed.code(), failed.message()), (Code::Unknown, SPECIAL));
    // unimplemented_method, unimplemented_service
    for path in ["/platform.test.Echo/Shout", "/platform.test.Nobody/Say"] {
        let mut nobody = tonic::client::Grpc::new(peer.channel());
        let codec = tonic_prost::ProstCodec::<Word, Word>::default();
        let path = http::uri::PathAndQuery::from_static(path);
        let failed = soon(nobody.unary(tonic::Request::new(word("a")), path, codec)).await.unwrap_err();
        assert_eq!(failed.code(), Code::Unimplemented);
    }
    // cancel_after_begin: it was asked, and its messages are not all there yet.
    let (say, said) = tokio::sync::mpsc::channel(1);
    let said = tokio_stream::wrappers::ReceiverStream::new(said);
    let mut joins = client.clone();
    let joining = platform_core::context::spawn(async move { joins.join(said).await });
    say.send(word("join:b")).await.unwrap();
    peer.until("asked:b", "1").await;
    joining.abort();
    peer.until("left:b", "1").await;
    drop(say);
    // cancel_after_first_response
    let endless = Word { times: 100_000, wait_ms: 5, ..word("endless:c") };
    let mut words = soon(client.repeat(endless)).await.unwrap().into_inner();
    soon(words.message()).await.unwrap().unwrap();
    drop(words);
    peer.until("left:c", "1").await;
    // timeout_on_sleeping_server
    let mut request = tonic::Request::new(Word { times: 100_000, wait_ms: 500, ..word("endless:d") });
    request.set_timeout(Duration::from_millis(100));
    let late = match soon(client.repeat(request)).await {
        Ok(words) => soon(words.into_inner().message()).await.unwrap_err(),
        Err(late) => late,
    };
    assert_eq!(late.code(), Code::DeadlineExceeded);
    packs.house.end().await;
    peer.house.end().await;
}

/// As gRPC's case has it.
const SPECIAL: &str = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";

/// What other people's HTTP/2 makes of our frames: nghttp2's own client and load generator.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nghttp2_reads_our_frames() {
    let tools = ["nghttp", "h2load"];
    let found = |tool: &&str| Command::new(tool).arg("--version").stdout(Stdio::null()).status().is_ok();
    if let Some(missing) = tools.iter().find(|tool| !found(tool)) {
        skipped::<()>(&format!("{missing} is missing (nghttp2-client)"));
        return;
    }
    // Frames are looked at, and a busy machine would have reason to refuse some of two hundred calls at once.
    let house =
        House::open("[server.policy]\nconcurrency = { mode = \"off\" }\nshed = { mode = \"off\" }").await;
    let mut message = tempfile::NamedTempFile::new().expect("a file");
    // Not compressed, three bytes: the word `a`.
    message.write_all(&[0, 0, 0, 0, 3, 10, 1, b'a']).expect("room in it");
    let data = message.path().to_str().expect("a path of ours").to_owned();
    let run = |tool: &'static str, words: &[&str], method: &str| {
        let mut command = Command::new(tool);
        command.args(words).args(["-d", &data]);
        command.args(["-H", "content-type: application/grpc", "-H", "te: trailers"]);
        command.arg(format!("http://{}/platform.test.Echo/{method}", house.address)).stdin(Stdio::null());
        let ran = tokio::task::spawn_blocking(move || command.output());
        async move {
            let output = soon(ran).await.expect("no panic").expect("it was there a moment ago");
            [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat()
        }
    };
    let said = run("nghttp", &["-v"], "Say").await;
    for part in [":status: 200", "content-type: application/grpc", "grpc-status: 0", "; END_STREAM"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let said = run("nghttp", &["-v"], "Shout").await;
    assert!(said.contains("grpc-status: 12"), "{said}");
    let asked = house.asked();
    let said = run("h2load", &["-n", "2000", "-c", "4", "-m", "50"], "Say").await;
    assert!(said.contains("2000 succeeded, 0 failed, 0 errored, 0 timeout"), "{said}");
    assert_eq!(house.asked() - asked, 2000);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_a_peer_is_told_in_its_words() {
    let Some(peer) = Peer::start(&[]).await else { return };
    let channel = Channel::builder(&peer.house.app, "once").target(format!("fixed://{}", peer.address));
    let channel = channel.policy(|policy| policy.recovery = Recovery::None).build().unwrap();
    let status = soon(EchoClient::new(channel).say(word("stop:z"))).await.unwrap_err();
    assert!(status.get_details_error_info().is_none(), "it is not ours");
    assert_eq!(platform_grpc::error(&status).detail(), "answered UNAVAILABLE: do not come back");
    peer.house.end().await;
}

/// gRPC's interop cases as far as they can be asked of this service, and ours.
pub(crate) const CASES: [&str; 23] = [
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "custom_metadata",
    "status_code_and_message",
    "special_status_message",
    "unimplemented_method",
    "unimplemented_service",
    "cancel_after_begin",
    "cancel_after_first_response",
    "timeout_on_sleeping_server",
    "deadline_is_seen_by_the_handler",
    "error_details",
    "service_config_retry",
    "health_check_and_watch",
    "reflection_v1alpha",
    "reflection_v1",
    "client_and_server_compressed_unary",
    "client_compressed_streaming",
    "server_compressed_streaming",
];
