//! What goes wrong on purpose, from the operator's word to the caller's reply and back.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::town::{House, Town, ask, soon};

/// A change on the admin listener; its status.
pub(crate) async fn change(house: &House, method: &str, path: &str, body: &str) -> u16 {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\nx-platform-actor: ann\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        house.admin,
        body.len()
    );
    let mut text = String::new();
    soon(async {
        let mut socket = TcpStream::connect(house.admin).await?;
        socket.write_all(request.as_bytes()).await?;
        socket.read_to_string(&mut text).await
    })
    .await
    .expect("it answers");
    text.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
}

#[tokio::test]
async fn a_fault_is_felt_as_a_real_one_is_seen_everywhere_and_ends_with_the_kill_switch() {
    let town = Town::new();
    let catalog = town.catalog("catalog-1", "").await;
    let edge = town.edge("[clients.catalog.policy]\nrecovery = \"none\"").await;
    let fault = r#"{"name":"drill","target":"catalog","abort":503,"why":"a drill","for":"1m"}"#;
    assert!((200..300).contains(&change(&edge, "POST", "/platform/faults", fault).await));

    let sampled = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";
    let hit = edge.get("/films/7", sampled).await;
    assert_eq!(hit.status, 502, "{}", hit.body);
    assert!(hit.body.contains("answered 503"), "{}", hit.body);
    let line = &edge.lines("4bf92f3577b34da6a3ce929d0e0e4736", 1).await[0];
    assert_eq!(line["fault"], "drill", "{line}");
    let text = ask(edge.admin, "/metrics", "").await.body;
    let counted = |line: &&str| {
        line.starts_with("platform_faults_injected_total{")
            && line.contains("fault=\"drill\"")
            && line.contains("kind=\"abort\"")
    };
    assert!(text.lines().find(counted).is_some_and(|line| line.ends_with(" 1")), "{text}");
    // Probes and the admin listener itself are no calls of a client.
    assert_eq!(ask(edge.admin, "/readyz", "").await.status, 200);

    assert!(
        (200..300).contains(&change(&edge, "DELETE", "/platform/faults", r#"{"why":"seen enough"}"#).await)
    );
    assert_eq!(edge.get("/films/7", "").await.status, 200);
    edge.end().await;
    catalog.end().await;
}

#[tokio::test]
async fn an_injected_failure_of_one_endpoint_is_repeated_at_another_and_nobody_sees_it() {
    let town = Town::new();
    let one = town.catalog("catalog-1", "").await;
    let two = town.catalog("catalog-2", "").await;
    // In turn, so that the one that fails is asked however slow the other is.
    let edge = town.edge("[clients.catalog.balance]\npick = \"round_robin\"").await;
    // Both are known by now to somebody who asks often enough.
    for _ in 0..100 {
        if edge.get("/films/7", "").await.json()["instance"] == "catalog-2" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let fault = format!(
        r#"{{"name":"one-down","target":"catalog","endpoint":"{}","abort":"unreachable","why":"a drill","for":"1m"}}"#,
        one.address
    );
    assert!((200..300).contains(&change(&edge, "POST", "/platform/faults", &fault).await));
    for _ in 0..30 {
        let reply = edge.get("/films/7", "").await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        assert_eq!(reply.json()["instance"], "catalog-2");
    }
    let text = ask(edge.admin, "/metrics", "").await.body;
    let repeated = |line: &&str| {
        line.starts_with("platform_client_attempts_total{")
            && (line.contains("kind=\"retry\"") || line.contains("kind=\"requeue\""))
            && line.contains("outcome=\"ok\"")
    };
    assert!(text.lines().any(|line| repeated(&line) && !line.ends_with(" 0")), "{text}");
    edge.end().await;
    one.end().await;
    two.end().await;
}
