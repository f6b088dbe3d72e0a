//! Replies are compressed for who asks for it, where the server was told to.

use std::io::Read as _;

use axum::{Router, routing::get};
use platform_core::ErrorKind;
use platform_http::{Problem, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::served::Served;

fn server() -> Server {
    let problem = || async { Err::<(), _>(Problem::new(ErrorKind::NotFound, "no such film ".repeat(40))) };
    let routes = Router::new().route("/films", get(|| async { film() })).route("/problem", get(problem));
    Server::new(routes).compression()
}

fn film() -> String {
    "a long film ".repeat(100)
}

/// Head and bytes; a length or a chunk ends the body.
async fn ask(served: &Served, path: &str, accept: &str) -> (String, Vec<u8>) {
    let mut socket = served.connect().await;
    // HTTP/1.0 has no chunks: what comes until the end is the body.
    let request = format!("GET {path} HTTP/1.0\r\naccept-encoding: {accept}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.expect("it takes the request");
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).await.expect("an orderly end");
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    (String::from_utf8(bytes[..end].to_vec()).expect("a head is text"), bytes[end + 4..].to_vec())
}

#[tokio::test]
async fn a_reply_is_compressed_for_who_accepts_it_and_told_when_it_was_read() {
    let served = Served::start(server(), "").await;
    let (head, body) = ask(&served, "/films", "gzip").await;
    assert!(head.contains("content-encoding: gzip"), "{head}");
    assert!(body.len() < film().len() / 4, "{}", body.len());
    let mut read = String::new();
    flate2::read::GzDecoder::new(&*body).read_to_string(&mut read).unwrap();
    assert_eq!(read, film());
    assert_eq!(served.lines(1).await[0]["http.response.status_code"], 200);

    let (head, body) = ask(&served, "/films", "identity").await;
    assert!(!head.contains("content-encoding"), "{head}");
    assert_eq!(body, film().into_bytes());
    assert_eq!(served.stop().await.code(), 0);
}

#[tokio::test]
async fn a_problem_is_what_its_head_says() {
    let served = Served::start(server(), "").await;
    let (head, body) = ask(&served, "/problem", "gzip").await;
    assert!(!head.contains("content-encoding"), "{head}");
    let document: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(document["reason"], "not_found");
    assert_eq!(served.stop().await.code(), 0);
}
