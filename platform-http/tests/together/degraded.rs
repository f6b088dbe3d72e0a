//! A page without an optional dependency.

use crate::town::Town;

#[tokio::test]
async fn a_reply_without_a_dependency_says_so_to_ours_and_only_that_much_to_strangers() {
    let town = Town::new();
    let catalog = town.catalog("catalog-1", "").await;
    let ours = town.edge("").await;
    let open = town.edge("[server.trust]\ninbound = \"edge\"").await;
    for edge in [&ours, &open] {
        let whole = edge.get("/maybe/7", "").await;
        assert_eq!(whole.status, 200);
        assert!(!whole.head.contains("platform-degraded"), "{}", whole.head);
    }
    catalog.end().await;
    for (edge, told) in [(&ours, "platform-degraded: catalog"), (&open, "platform-degraded: yes")] {
        let reply = edge.get("/maybe/7", TRACE).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, "null"));
        assert!(reply.head.contains(told), "{}", reply.head);
    }
    let line = &ours.lines("4bf92f3577b34da6a3ce929d0e0e4736", 1).await[0];
    assert_eq!(line["degraded"], "catalog", "{line}");
    assert!(
        line["why"].as_str().is_some_and(|why| why.contains("catalog:refused(balance no_endpoints)")),
        "{line}"
    );
    ours.end().await;
    open.end().await;
}

const TRACE: &str = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";
