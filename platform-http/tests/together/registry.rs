//! The registry goes away while services run.

use std::{fs, time::Duration};

use crate::town::Town;

#[tokio::test]
async fn calls_go_on_while_the_registry_is_gone_and_it_comes_back_by_itself() {
    let town = Town::new();
    let catalog = town.catalog("catalog-1", "").await;
    let edge = town.edge("").await;
    fs::remove_dir_all(town.registry()).expect("it is there");
    // Longer than a look of the client, and than a second, when instances write themselves anew.
    for _ in 0..60 {
        let reply = edge.get("/films/7", "").await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    for record in ["catalog/catalog-1.json", "edge/edge-1.json"] {
        assert!(town.registry().join(record).is_file(), "{record} is back");
    }
    // What the client believes is again what is written: who drains now is obeyed.
    catalog.end().await;
    assert_eq!(edge.get("/films/7", "platform-timeout-ms: 300\r\n").await.json()["status"], 503);
    edge.end().await;
}

#[tokio::test]
async fn a_registry_that_cannot_be_written_keeps_nobody_from_serving() {
    let town = Town::new();
    // A file where the folder should be: nobody can write there, not even root.
    fs::write(town.registry(), "").expect("a file");
    let catalog = town.catalog("catalog-1", "").await;
    assert_eq!(catalog.get("/films/7", "").await.status, 200);
    // It is tried again every second.
    fs::remove_file(town.registry()).expect("it is there");
    let edge = town.edge("").await;
    assert_eq!(edge.get("/films/7", "").await.status, 200);
    edge.end().await;
    catalog.end().await;
}
