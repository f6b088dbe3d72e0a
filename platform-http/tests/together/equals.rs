//! Instances of one service share what their repeats may cost a target.

use std::time::Duration;

use crate::town::{Town, ask, soon};

#[tokio::test]
async fn the_floor_of_a_budget_is_divided_by_the_instances_of_the_client() {
    let town = Town::new();
    let catalog = town.catalog("catalog-1", "").await;
    let edge = town.edge("").await;
    let clients = async |admin| {
        let stack = ask(admin, "/platform/stack", "").await.json();
        let rows = stack[0]["layers"].as_array().expect("a list").clone();
        let budget = rows.into_iter().find(|row| row["layer"] == "budget").expect("a budget");
        budget["settings"]["clients"].as_str().expect("a number").to_owned()
    };
    let becomes = async |wanted: &str| {
        soon(async {
            while clients(edge.admin).await != wanted {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    };
    becomes("1").await;
    let others = [town.another_edge("edge-2").await, town.another_edge("edge-3").await];
    becomes("3").await;
    // Who drains no longer counts.
    for other in others {
        other.end().await;
    }
    becomes("1").await;
    // Its own set is nobody's target.
    let targets = ask(edge.admin, "/platform/targets", "").await.json();
    let names: Vec<_> = targets.as_array().expect("a list").iter().map(|one| one["target"].clone()).collect();
    assert_eq!(names, ["catalog"]);
    edge.end().await;
    catalog.end().await;
}
