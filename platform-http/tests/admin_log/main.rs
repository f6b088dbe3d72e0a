//! The log filter is changed, recorded, and goes back. Alone in its process, because a process has one log.

#[path = "../admin/house.rs"]
mod house;

use std::time::Duration;

use house::{House, app, ready, soon};
use serde_json::{Value, json};
use tracing::{Level, enabled};

#[tokio::test]
async fn a_log_filter_is_changed_recorded_and_goes_back() {
    let house = ready(app("").await).await;
    assert!(enabled!(Level::INFO) && !enabled!(Level::DEBUG));

    // Undone by hand.
    let asked = r#"{"filter": "debug", "why": "INC-42", "for": "1h"}"#;
    let change = house.change("PUT", "/platform/log", asked).await.json();
    assert!(enabled!(Level::DEBUG));
    assert_eq!(
        (&change["kind"], &change["who"], &change["what"], &change["why"], &change["undone"]),
        (&json!("log"), &json!("ann"), &json!("log filter `debug`"), &json!("INC-42"), &json!(false))
    );
    let length = change["until_unix_ms"].as_u64().unwrap() - change["at_unix_ms"].as_u64().unwrap();
    assert_eq!(length, 3_600_000);
    assert_eq!(house.get("/platform/info").await.json()["log_filter"], "debug");
    assert_eq!(latest(&house).await, change);

    let path = format!("/platform/changes/{}", change["id"]);
    let back = house.change("DELETE", &path, r#"{"why": "found it"}"#).await.json();
    assert!(!enabled!(Level::DEBUG));
    assert_eq!(back["what"], format!("log filter `info`, as before change {}", change["id"]));
    assert_eq!(house.get("/platform/changes").await.json()[1]["undone"], true);
    house.change("DELETE", &path, r#"{"why": "again"}"#).await.refuses(400, "is in force no more");

    // Goes back by itself, to what was there before both.
    house.change("PUT", "/platform/log", r#"{"filter": "trace", "why": "INC-43"}"#).await;
    let asked = r#"{"filter": "warn", "why": "too much", "for": "50ms"}"#;
    house.change("PUT", "/platform/log", asked).await;
    let gone_back = async {
        while latest(&house).await["who"] != "platform" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(gone_back).await;
    assert_eq!(house.get("/platform/info").await.json()["log_filter"], "info");
    assert!(enabled!(Level::INFO) && !enabled!(Level::DEBUG));
    assert_eq!(latest(&house).await["why"], "its time is over");

    // A filter that means nothing changes nothing.
    let asked = r#"{"filter": "debgu", "why": "x"}"#;
    house.change("PUT", "/platform/log", asked).await.refuses(400, "`debgu` is no level");
    assert_eq!(house.get("/platform/info").await.json()["log_filter"], "info");
    house.stop().await;
}

async fn latest(house: &House) -> Value {
    house.get("/platform/changes").await.json()[0].take()
}
