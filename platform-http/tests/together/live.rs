//! What the live page is told, over real sockets.

use std::time::Duration;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    faults::change,
    town::{House, Town, ask, soon},
};

/// The state, once it is as `wanted`.
async fn state(house: &House, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    for _ in 0..150 {
        last = ask(house.admin, "/platform/state", "").await.json();
        if wanted(&last) {
            return last;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it never comes to that: {last:#}")
}

#[tokio::test]
async fn a_browser_gets_the_page_and_a_terminal_the_list() {
    let town = Town::new();
    let catalog = town.catalog("catalog-1", "").await;
    let page = ask(catalog.admin, "/", "accept: text/html,*/*;q=0.8\r\n").await;
    assert_eq!(page.status, 200);
    assert!(page.body.starts_with("<!doctype html>"), "{}", page.body);
    for header in ["content-type: text/html; charset=utf-8", "content-security-policy: default-src 'none';"] {
        assert!(page.head.contains(header), "{header} is not in {}", page.head);
    }
    let list = ask(catalog.admin, "/", "").await;
    assert!(list.body.contains("GET    /platform/stream"), "{}", list.body);
    // The page is open to everybody, and the list is not.
    let far = "x-forwarded-for: 10.1.2.3\r\n";
    assert_eq!(ask(catalog.admin, "/", far).await.status, 401);
    assert_eq!(ask(catalog.admin, "/", &format!("{far}accept: text/html\r\n")).await.status, 200);
    for path in ["/platform/state", "/platform/stream"] {
        assert_eq!(ask(catalog.admin, path, far).await.status, 401, "{path}");
    }
    catalog.end().await;
}

#[tokio::test]
async fn the_state_tells_what_callers_feel_and_why() {
    let town = Town::new();
    let catalog = town.catalog("catalog-1", "").await;
    let edge = town.edge("[clients.catalog.policy]\nrecovery = \"none\"").await;
    for _ in 0..20 {
        assert_eq!(edge.get("/films/1", "").await.status, 200);
    }
    let state = state_of(&edge, 20, 0).await;
    let target = &state["targets"][0];
    assert_eq!(target["target"], "catalog", "{state:#}");
    assert_eq!(target["known"]["ready"], 1, "{target:#}");
    assert_eq!(target["breakers"][0]["state"], "closed", "{target:#}");
    assert_eq!(target["budget"], 1.0, "{target:#}");
    // A film takes 5 ms.
    assert!(target["p50"]["ms"].as_f64() > Some(4.0), "{target:#}");
    assert_eq!(state["info"]["identity"]["instance"], "edge-1");
    assert_eq!(state["worries"], serde_json::json!([]), "{state:#}");
    assert!(state["served"]["outcomes"]["ok"].as_u64() >= Some(20), "{state:#}");

    let fault = r#"{"name":"drill","target":"catalog","abort":503,"why":"a drill","for":"1m"}"#;
    assert_eq!(change(&edge, "POST", "/platform/faults", fault).await, 200);
    for _ in 0..30 {
        edge.get("/films/1", "").await;
    }
    let state = state_of(&edge, 20, 25).await;
    let told = state["worries"].to_string();
    for text in ["of the calls to catalog fail", "breaker of catalog is ", "fault drill (abort=503)"] {
        assert!(told.contains(text), "{text:?} is not in {told}");
    }
    assert_eq!(state["worries"][0]["level"], "bad", "{told}");
    assert_eq!(state["changes"][0]["kind"], "fault", "{state:#}");
    let line = state["targets"][0]["line"].as_array().expect("a line");
    let failed: u64 = line.iter().filter_map(|second| second[1].as_u64()).sum();
    assert!(failed >= 25, "{line:?}");
    edge.end().await;
    catalog.end().await;
}

/// The state once so many calls were made in its window, and so many failed.
async fn state_of(house: &House, calls: u64, failed: u64) -> Value {
    let enough =
        |target: &Value| target["calls"].as_u64() >= Some(calls) && target["failed"].as_u64() >= Some(failed);
    state(house, |state| enough(&state["targets"][0])).await
}

#[tokio::test]
async fn the_stream_tells_each_second_and_ends_with_the_drain() {
    let town = Town::new();
    let catalog = town.catalog("catalog-1", "").await;
    let mut stream = Stream::open(&catalog, "").await;
    let states = [stream.next().await, stream.next().await];
    let at = |state: &Value| state["now_unix_ms"].as_u64().expect("a time");
    let apart = at(&states[1]) - at(&states[0]);
    assert!((500..5_000).contains(&apart), "{apart} ms apart");
    assert_eq!(states[1]["info"]["phase"], "ready");

    // A listener that waited for its readers would cut them, which is no status 0.
    let ended = catalog.stop();
    soon(stream.ends_well()).await;
    assert_eq!(soon(ended).await.unwrap().unwrap().code(), 0);
}

#[tokio::test]
async fn the_places_are_few_and_not_for_other_sites() {
    let town = Town::new();
    let catalog = town.catalog("catalog-1", "").await;
    let refused = ask(catalog.admin, "/platform/stream", "sec-fetch-site: same-site\r\n").await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    let mut readers = Vec::new();
    for _ in 0..16 {
        readers.push(Stream::open(&catalog, "sec-fetch-site: same-origin\r\n").await);
    }
    let refused = ask(catalog.admin, "/platform/stream", "").await;
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert!(refused.body.contains("16 pages look at this process already"), "{}", refused.body);
    // Who leaves is noticed at the next second, and its place is free.
    drop(readers.pop());
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut again = Stream::open(&catalog, "").await;
        if again.head().await.contains("200 OK") {
            drop((readers, again));
            return catalog.end().await;
        }
    }
    panic!("the place is never free again");
}

/// A reader of a stream.
pub(crate) struct Stream {
    socket: TcpStream,
    text: String,
}

impl Stream {
    pub(crate) async fn open(house: &House, headers: &str) -> Stream {
        Self::open_at(house, "/platform/stream", headers).await
    }

    pub(crate) async fn open_at(house: &House, path: &str, headers: &str) -> Stream {
        let mut socket = soon(TcpStream::connect(house.admin)).await.expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n{headers}\r\n", house.admin);
        soon(socket.write_all(request.as_bytes())).await.expect("it reads");
        let mut stream = Stream { socket, text: String::new() };
        stream.head().await;
        stream
    }

    async fn head(&mut self) -> &str {
        while !self.text.contains("\r\n\r\n") {
            assert!(self.more().await > 0, "it ended: {}", self.text);
        }
        &self.text
    }

    /// What it tells next.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            if let Some((_, rest)) = self.text.split_once("\ndata: ")
                && let Some((data, rest)) = rest.split_once("\n\n")
            {
                let state = serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"));
                self.text = rest.to_owned();
                return state;
            }
            assert!(self.more().await > 0, "it ended: {}", self.text);
        }
    }

    /// The end of the reply, in order: its last chunk.
    async fn ends_well(mut self) {
        while self.more().await > 0 {}
        assert!(self.text.ends_with("0\r\n\r\n"), "{:?}", self.text);
    }

    async fn more(&mut self) -> usize {
        let mut bytes = vec![0; 64 * 1024];
        let read = soon(self.socket.read(&mut bytes)).await.expect("the connection is well");
        self.text.push_str(&String::from_utf8_lossy(&bytes[..read]));
        read
    }
}
