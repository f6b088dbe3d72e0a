//! An instance leaves while it is asked.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use platform_core::context;
use platform_http::Client;

use crate::town::{Town, soon};

/// Asks until told to stop; who answered how often, and what went wrong.
async fn ask_on(catalog: Client, over: Arc<AtomicBool>) -> (BTreeMap<String, u32>, Vec<String>) {
    let (mut answered, mut failed) = (BTreeMap::new(), Vec::new());
    while !over.load(Relaxed) {
        let asked = async {
            let reply = catalog.get("/films/7").send().await?;
            reply.json::<serde_json::Value>().await
        };
        match asked.await {
            Ok(film) => {
                *answered.entry(film["instance"].as_str().expect("a name").to_owned()).or_insert(0) += 1;
            }
            Err(error) => failed.push(error.to_string()),
        }
    }
    (answered, failed)
}

async fn loses_nothing(protocol: &str) {
    let town = Town::new();
    let one = town.catalog("catalog-1", "").await;
    let two = town.catalog("catalog-2", "").await;
    let edge = town.edge(&format!("[clients.catalog.connect]\nprotocol = \"{protocol}\"")).await;
    let catalog = Client::for_target(&edge.app, "catalog").expect("a client");
    let over = Arc::new(AtomicBool::new(false));
    let askers: Vec<_> = (0..8).map(|_| context::spawn(ask_on(catalog.clone(), Arc::clone(&over)))).collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    two.end().await;
    // Comes back under its old name, on another port.
    let two = town.catalog("catalog-2", "").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    one.end().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    over.store(true, Relaxed);
    let mut by_instance = BTreeMap::new();
    for asker in askers {
        let (answered, failed) = soon(asker).await.expect("it does not panic");
        assert_eq!(failed, Vec::<String>::new());
        for (instance, count) in answered {
            *by_instance.entry(instance).or_insert(0) += count;
        }
    }
    // Both were asked, steadily: a few milliseconds a call.
    assert!(by_instance.len() == 2 && by_instance.values().all(|count| *count > 50), "{by_instance:?}");
    edge.end().await;
    two.end().await;
}

#[tokio::test]
async fn a_drain_loses_no_request_on_kept_connections() {
    loses_nothing("http1").await;
}

#[tokio::test]
async fn a_drain_loses_no_request_on_one_connection_with_streams() {
    loses_nothing("h2").await;
}
