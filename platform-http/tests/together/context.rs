//! What travels with a request, from service to service.

use serde_json::json;

use crate::town::Town;

#[tokio::test]
async fn tenant_importance_and_a_teams_own_value_arrive_two_services_on() {
    let town = Town::new();
    let catalog = town.catalog("catalog-1", "").await;
    let edge = town.edge("").await;
    let baggage = "baggage: platform-tenant=acme,platform-criticality=sheddable,basket=two%20films\r\n";
    let reply = edge.get("/films/7", baggage).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let seen = reply.json();
    assert_eq!(seen["tenant"], "acme");
    assert_eq!(seen["criticality"], "sheddable");
    assert_eq!(seen["basket"], "two films");
    assert!(seen["client"].as_str().is_some_and(|agent| agent.starts_with("edge/1.4.2 platform/")), "{seen}");
    edge.end().await;
    catalog.end().await;
}

#[tokio::test]
async fn the_callers_deadline_arrives_shortened() {
    let town = Town::new();
    let catalog = town.catalog("catalog-1", "").await;
    // Without limits of its own, so that what arrives is the caller's.
    let edge = town.edge("[clients.catalog.policy]\ntimeout = \"none\"\nattempt_timeout = \"none\"").await;
    let left = edge.get("/films/7", "platform-timeout-ms: 5000\r\n").await.json()["left_ms"].clone();
    let left = left.as_u64().expect("a deadline");
    assert!((1_000..=5_000).contains(&left), "{left} ms are left of 5000");

    // What is left when the edge asks is less than what it was given: the wait is counted.
    let edge = {
        edge.end().await;
        town.open(
            ("edge", "edge-2"),
            "[clients.catalog.policy]\ntimeout = \"none\"\nattempt_timeout = \"none\"",
            |app| {
                let catalog = platform_http::Client::for_target(app, "catalog").expect("a client");
                let late = move || {
                    let catalog = catalog.clone();
                    async move {
                        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
                        let reply = catalog.get("/films/7").send().await.expect("a reply");
                        reply.text().await.expect("a film")
                    }
                };
                axum::Router::new().route("/late", axum::routing::get(late))
            },
        )
        .await
    };
    let seen = edge.get("/late", "platform-timeout-ms: 5000\r\n").await.json();
    let left = seen["left_ms"].as_u64().expect("a deadline");
    assert!((1_000..=4_700).contains(&left), "{left} ms are left of 5000 after 300");
    // And where nobody says anything, the limit of the server that was asked first travels on.
    let seen = edge.get("/late", "").await.json();
    let left = seen["left_ms"].as_u64().expect("a deadline");
    assert!((20_000..=29_700).contains(&left), "{left} ms are left of the server's 30 s");
    edge.end().await;
    catalog.end().await;
}

#[tokio::test]
async fn one_request_is_one_trace_id_in_the_lines_of_both() {
    let town = Town::new();
    let catalog = town.catalog("catalog-1", "").await;
    let edge = town.edge("").await;
    for (headers, status) in [("", 200), ("platform-timeout-ms: 0\r\n", 504)] {
        let trace = format!("4bf92f3577b34da6a3ce929d0e0e{status:04}");
        let parent = format!("traceparent: 00-{trace}-00f067aa0ba902b7-00\r\n{headers}");
        assert_eq!(edge.get("/films/7", &parent).await.status, status);
        let line = &edge.lines(&trace, 1).await[0];
        assert_eq!(line["service.name"], "edge");
        assert_eq!(line["http.route"], if status == 200 { json!("/films/{id}") } else { json!("") });
        assert_eq!(line["attempts"], u32::from(status == 200));
        if status == 200 {
            let line = &catalog.lines(&trace, 1).await[0];
            assert_eq!(line["service.name"], "catalog");
            assert_eq!(line["http.route"], "/films/{id}");
        }
    }
    // Without an id of the caller's the edge makes one, and the catalog has the same.
    let reply = edge.get("/films/7", "").await;
    let id =
        reply.head.lines().find_map(|line| line.strip_prefix("x-request-id: ")).expect("an id").to_owned();
    assert_eq!(edge.lines(&id, 1).await.len(), 1);
    assert_eq!(catalog.lines(&id, 1).await.len(), 1);
    edge.end().await;
    catalog.end().await;
}
