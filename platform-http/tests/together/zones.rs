//! An operator leaves a zone before it fails.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;

use crate::{
    faults::change,
    town::{House, Town, ask},
};

/// Who answers forty requests.
async fn answer(edge: &House) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for _ in 0..40 {
        let reply = edge.get("/films/7", "").await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        seen.insert(reply.json()["instance"].as_str().expect("an instance").to_owned());
    }
    seen
}

async fn evacuated(edge: &House) -> Value {
    let targets = ask(edge.admin, "/platform/targets", "").await.json();
    targets[0]["evacuated"].clone()
}

#[tokio::test]
async fn an_evacuated_zone_is_not_asked_until_its_time_is_over() {
    let town = Town::new();
    let here = town.catalog("catalog-1", "[service]\nzone = \"a\"").await;
    let there = town.catalog("catalog-2", "[service]\nzone = \"b\"").await;
    // In turn, so that it is not for their speed that one of two has all the calls.
    let edge = town.edge("[service]\nzone = \"a\"\n[clients.catalog.balance]\npick = \"round_robin\"").await;
    let both = BTreeSet::from(["catalog-1".to_owned(), "catalog-2".to_owned()]);
    for _ in 0..100 {
        if answer(&edge).await == both {
            break;
        }
    }
    assert_eq!(answer(&edge).await, both, "two are too few for a choice of zones");

    let known = change(&edge, "PUT", "/platform/zones/c", r#"{"why":"a drill"}"#).await;
    assert_eq!(known, 404);
    assert_eq!(change(&edge, "PUT", "/platform/zones/a", r#"{"for":"1m"}"#).await, 400, "without a reason");
    assert_eq!(change(&edge, "PUT", "/platform/zones/a", r#"{"why":"a drill","for":"3s"}"#).await, 200);
    assert_eq!(answer(&edge).await, BTreeSet::from(["catalog-2".to_owned()]));
    assert_eq!(evacuated(&edge).await, serde_json::json!(["a"]));
    let changes = ask(edge.admin, "/platform/changes", "").await.json();
    let made =
        changes.as_array().expect("a list").iter().find(|made| made["kind"] == "zone").expect("a change");
    assert_eq!((&made["what"], &made["who"]), (&Value::from("zone a evacuated"), &Value::from("ann")));

    for _ in 0..200 {
        if answer(&edge).await == both {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(answer(&edge).await, both, "its time is over");
    assert_eq!(evacuated(&edge).await, serde_json::json!([]));
    edge.end().await;
    there.end().await;
    here.end().await;
}
