//! Do programs that others wrote get what they expect?

use std::{
    env,
    process::{Command, Output},
};

use platform_http::server::Served;

use crate::ground::Ground;

/// Runs an outside program; `None` where it is missing and may be.
async fn run(program: &'static str, arguments: Vec<String>) -> Option<Output> {
    let ran = tokio::task::spawn_blocking(move || Command::new(program).args(arguments).output());
    match ran.await.expect("running it does not panic") {
        Ok(output) => Some(output),
        Err(error) => {
            let required = env::var("PLATFORM_REQUIRE_OUTSIDE").is_ok_and(|required| required == "1");
            assert!(!required, "{program}: {error}");
            eprintln!("skipped: {program} is not installed");
            None
        }
    }
}

fn nine_mebibytes() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), vec![b'x'; 9 << 20]).expect("room for it");
    file
}

async fn curl(ground: &Ground, arguments: &[&str], paths: &[&str]) -> Option<(String, String)> {
    let mut all: Vec<String> =
        ["-sv", "--max-time", "10"].iter().chain(arguments).map(ToString::to_string).collect();
    all.extend(paths.iter().map(|path| format!("http://{}{path}", ground.address)));
    let output = run("curl", all).await?;
    Some((
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    ))
}

#[tokio::test]
async fn curl_keeps_its_connection_over_http1() {
    let ground = Ground::open().await;
    let Some((body, told)) = curl(&ground, &["--http1.1"], &["/", "/"]).await else { return };
    assert_eq!(body, "hellohello");
    assert!(told.contains("< HTTP/1.1 200 OK") && told.contains("Re-using existing connection"), "{told}");
    assert_eq!(ground.drain().await, Served::default());
}

// curl 7.88 loses a reply over HTTP/2 whose stream ends at once (it does so with every server): here it asks only for
// what it gets right, and nghttp asks for the rest.
#[tokio::test]
async fn curl_speaks_http2_by_prior_knowledge() {
    let ground = Ground::open().await;
    let Some((body, told)) = curl(&ground, &["--http2-prior-knowledge"], &["/"]).await else { return };
    assert_eq!(body, "hello");
    assert!(told.contains("< HTTP/2 200"), "{told}");
}

#[tokio::test]
async fn curl_hears_431_for_200_kib_of_headers() {
    let ground = Ground::open().await;
    let fields: Vec<_> = (0..10).map(|n| format!("h{n}: {}", "x".repeat(20 << 10))).collect();
    let arguments: Vec<_> =
        ["--http1.1"].into_iter().chain(fields.iter().flat_map(|field| ["-H", field])).collect();
    let Some((_, told)) = curl(&ground, &arguments, &["/"]).await else { return };
    assert!(told.contains("< HTTP/1.1 431"), "{}", told.lines().last().unwrap_or_default());
}

#[tokio::test]
async fn curl_sends_a_body_after_100_continue_and_hears_a_refusal_of_one() {
    let ground = Ground::open().await;
    let body = "x".repeat(100_000);
    let expect = ["--http1.1", "-H", "expect: 100-continue", "--data-raw", &body];
    let Some((echoed, told)) = curl(&ground, &expect, &["/echo"]).await else { return };
    assert!(echoed == body && told.contains("< HTTP/1.1 100 Continue"), "{told}");

    let large = nine_mebibytes();
    let upload = format!("@{}", large.path().display());
    let arguments = ["--http1.1", "-H", "expect:", "--data-binary", &upload];
    let Some((_, told)) = curl(&ground, &arguments, &["/refuse"]).await else { return };
    assert!(told.contains("< HTTP/1.1 413"), "{told}");
}

#[tokio::test]
async fn nghttp_hears_every_refusal_over_http2() {
    let ground = Ground::open().await;
    let large = nine_mebibytes();
    let body = vec!["-d".to_owned(), large.path().display().to_string()];
    // nghttp sends at most 64 KiB of headers; each field also counts 32 bytes (RFC 9113, section 6.5.2).
    let bytes = (0..90).flat_map(|n| ["-H".to_owned(), format!("h{n}: {}", "x".repeat(700))]).collect();
    let fields = (0..101).flat_map(|n| ["-H".to_owned(), format!("h{n}: x")]).collect();
    for (path, arguments, status) in [("/refuse", body, "413"), ("/", bytes, "431"), ("/", fields, "431")] {
        let url = format!("http://{}{path}", ground.address);
        let all = [vec!["-nv".to_owned()], arguments, vec![url]].concat();
        let Some(output) = run("nghttp", all).await else { return };
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(told.contains(&format!(":status: {status}")), "{path} {told}");
    }
    assert_eq!(ground.drain().await, Served::default());
}

#[tokio::test]
async fn nghttp_sees_our_settings_and_our_goaway() {
    let ground = Ground::open().await;
    let address = ground.address;
    let asking =
        run("nghttp", vec!["-nv".into(), "-m".into(), "3".into(), format!("http://{address}/sleep/600")]);
    let draining = async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        ground.drain().await
    };
    let (output, served) = tokio::join!(asking, draining);
    let Some(output) = output else { return };
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("SETTINGS_MAX_CONCURRENT_STREAMS(0x03):200"), "{told}");
    assert!(told.contains("SETTINGS_MAX_HEADER_LIST_SIZE(0x06):65536"), "{told}");
    assert_eq!(told.matches(":status: 200").count(), 3, "{told}");
    assert!(told.contains("recv GOAWAY") && told.contains("error_code=NO_ERROR"), "{told}");
    assert_eq!(served, Served::default());
}
