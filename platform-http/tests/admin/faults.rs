//! What an operator may make go wrong, for how long, and how it stops.

use std::time::Duration;

use platform_core::{
    Context,
    fault::{Abort, Effect, Rule},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::house::{House, app, ready};

const PAY_DOWN: &str =
    r#"{"name":"pay-down","target":"payments","abort":503,"why":"INC-42 drill","for":"15m"}"#;

/// What becomes of a call of `target`: the fault's name.
fn hit(house: &House, target: &str) -> Option<String> {
    let now = Instant::now();
    let planned = house.app.faults().plan(&Context::root(now), target, None, "", now, [0, 0]);
    planned.map(|planned| planned.rule.to_string())
}

async fn names(house: &House) -> Vec<Value> {
    let listed = house.get("/platform/faults").await.json();
    listed["faults"].as_array().expect("a list").iter().map(|fault| fault["name"].clone()).collect()
}

#[tokio::test]
async fn a_fault_is_started_listed_and_stopped_by_name() {
    let house = ready(app("").await).await;
    assert_eq!(house.get("/platform/faults").await.json(), json!({ "active": 0, "faults": [] }));

    let change = house.change("POST", "/platform/faults", PAY_DOWN).await.json();
    assert_eq!(
        (&change["kind"], &change["who"], &change["why"]),
        (&"fault".into(), &"ann".into(), &"INC-42 drill".into())
    );
    assert_eq!(change["what"], "fault `pay-down`: abort=503 on payments");
    let length = change["until_unix_ms"].as_u64().unwrap() - change["at_unix_ms"].as_u64().unwrap();
    assert_eq!(length, 15 * 60 * 1000);
    assert_eq!(hit(&house, "payments").as_deref(), Some("pay-down"));
    assert_eq!(hit(&house, "ratings"), None);

    let now = Instant::now();
    let held = house.app.faults().plan(&Context::root(now), "payments", None, "", now, [0, 0]);
    let mut listed = house.get("/platform/faults").await.json();
    let remaining = listed["faults"][0]["remaining_ms"].take().as_u64().unwrap();
    assert!((14 * 60_000..=15 * 60_000).contains(&remaining), "{remaining}");
    let shown = json!({
        "name": "pay-down", "target": "payments", "effect": "abort=503", "scope": "all", "max_active": 100,
        "remaining_ms": null,
    });
    assert_eq!(listed, json!({ "active": 1, "faults": [shown] }));
    drop(held);

    // Probes, metrics and this listener are answered by a server, which no fault can hit.
    for path in ["/livez", "/readyz", "/metrics", "/platform/info"] {
        assert_eq!(house.get(path).await.status, 200, "{path}");
    }
    assert!(house.get("/metrics").await.body.contains("fault=\"pay-down\",kind=\"abort\""));

    let back = house.change("DELETE", "/platform/faults/pay-down", r#"{"why":"seen enough"}"#).await.json();
    assert_eq!((&back["kind"], &back["what"]), (&"fault".into(), &"fault `pay-down` stopped".into()));
    assert_eq!(hit(&house, "payments"), None);
    let id = change["id"].as_u64().unwrap();
    assert!(house.app.changes().find(id).unwrap().undone);
    let again = house.change("DELETE", "/platform/faults/pay-down", r#"{"why":"sure"}"#).await;
    again.refuses(404, "no fault `pay-down` is in force; there is none");
    let undo = house.change("DELETE", &format!("/platform/changes/{id}"), r#"{"why":"sure"}"#).await;
    undo.refuses(400, "is in force no more");
    house.stop().await;
}

#[tokio::test]
async fn everything_about_a_fault_can_be_said() {
    let house = ready(app("").await).await;
    let body = r#"{"name":"zone-a-slow","target":"payments","delay":"300ms","abort":"unreachable","share":0.2,
        "abort_share":0.05,"scope":"consent","endpoint":"10.0.0.7:8080","zone":"a","max_active":7,"why":"x"}"#;
    let change = house.change("POST", "/platform/faults", body).await.json();
    assert_eq!(
        change["what"],
        "fault `zone-a-slow`: delay=300ms,abort=unreachable,delay_share=0.2,abort_share=0.05 on payments, endpoint \
         10.0.0.7:8080, zone a, for requests that consent"
    );
    let mut listed = house.get("/platform/faults").await.json();
    listed["faults"][0]["remaining_ms"].take();
    let shown = json!({
        "name": "zone-a-slow", "target": "payments", "endpoint": "10.0.0.7:8080", "zone": "a",
        "effect": "delay=300ms,abort=unreachable,delay_share=0.2,abort_share=0.05", "scope": "consent",
        "max_active": 7, "remaining_ms": null,
    });
    assert_eq!(listed["faults"], json!([shown]));
    house.stop().await;
}

#[tokio::test]
async fn a_fault_goes_back_by_itself_and_undone_by_its_change() {
    let house = ready(app("").await).await;
    let short = r#"{"name":"pay-slow","target":"payments","delay":"1s","why":"x","for":"50ms"}"#;
    let change = house.change("POST", "/platform/faults", short).await.json();
    let id = change["id"].as_u64().unwrap();
    let over = async {
        while !house.app.changes().find(id).unwrap().undone {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    super::house::soon(over).await;
    assert_eq!(hit(&house, "payments"), None);
    let back = house.get("/platform/changes").await.json()[0].take();
    assert_eq!((&back["who"], &back["why"]), (&"platform".into(), &"its time is over".into()));
    assert_eq!(back["what"], format!("no fault `pay-slow`, as before change {id}"));

    // The same name replaces, another one stands beside it.
    let first = house.change("POST", "/platform/faults", PAY_DOWN).await.json();
    let second = house.change("POST", "/platform/faults", &PAY_DOWN.replace("503", "404")).await.json();
    house.change("POST", "/platform/faults", &PAY_DOWN.replace("pay", "more")).await;
    assert!(house.app.changes().find(first["id"].as_u64().unwrap()).unwrap().undone);
    assert_eq!(names(&house).await, ["pay-down", "more-down"]);
    let path = format!("/platform/changes/{}", second["id"]);
    let undone = house.change("DELETE", &path, r#"{"why":"x"}"#).await.json();
    assert_eq!(undone["what"], format!("no fault `pay-down`, as before change {}", second["id"]));
    assert_eq!(names(&house).await, ["more-down"]);
    house.stop().await;
}

#[tokio::test]
async fn the_kill_switch_stops_what_anybody_started() {
    let house = ready(app("").await).await;
    let change = house.change("POST", "/platform/faults", PAY_DOWN).await.json();
    let now = Instant::now();
    let by_code =
        Rule::new("by-code", "ratings", Effect::abort(Abort::Unreachable), now + Duration::from_secs(60));
    house.app.faults().start(by_code, now).unwrap();

    house.ask("DELETE", "/platform/faults", &[], "").await.refuses(401, "x-platform-actor: YOUR-NAME");
    house.change("DELETE", "/platform/faults", "{}").await.refuses(400, "missing field `why`");
    assert_eq!(names(&house).await, ["pay-down", "by-code"]);

    let killed = house.change("DELETE", "/platform/faults", r#"{"why":"customers notice"}"#).await;
    assert_eq!(
        (killed.status, &killed.json()["what"]),
        (200, &"all faults stopped: pay-down, by-code".into())
    );
    assert_eq!((hit(&house, "payments"), hit(&house, "ratings")), (None, None));
    let id = change["id"].as_u64().unwrap();
    assert!(house.app.changes().find(id).unwrap().undone);
    let again = house.change("DELETE", "/platform/faults", r#"{"why":"to be sure"}"#).await.json();
    assert_eq!(again["what"], "all faults stopped: none");
    house.stop().await;
}

#[tokio::test]
async fn a_fault_that_cannot_be_meant_is_explained() {
    let house = ready(app("").await).await;
    for (fields, told) in [
        (r#""delay":"5""#, "`delay`: \"5\" has no unit"),
        (r#""delay":"11m""#, "write 10m or less"),
        (r#""abort":999"#, "write 503, UNAVAILABLE or unreachable"),
        (r#""abort":"down""#, "\"down\" is not an HTTP status"),
        (r#""abort":[503]"#, "`abort` is a status or a word, such as 503"),
        (r#""abort":503,"share":1.5"#, "1.5 percent is 0.015"),
        (r#""abort":503,"share":-1"#, "which lies between 0.0 and 1.0"),
        (r#""abort":503,"share":0"#, "it would do nothing"),
        (r#""share":0.5"#, "without `delay` and `abort` does nothing; write one or both"),
        (r#""abort":503,"max_active":0"#, "write 1 or more"),
        (r#""abort":503,"scope":"some""#, "expected `all` or `consent`"),
        (r#""abort":503,"endpoint":"pay-1""#, "such as 10.0.0.7:8080"),
        (r#""abort":503,"percentage":5"#, "unknown field `percentage`"),
        (r#""abort":503,"for":"25h""#, "at most 24h"),
    ] {
        let body = format!(r#"{{"name":"pay-down","target":"payments","why":"x",{fields}}}"#);
        let refused = house.change("POST", "/platform/faults", &body).await;
        refused.refuses(400, told);
        refused.refuses(400, r#"send {"name": "pay-down", "target": "payments""#);
    }
    for (body, told) in [
        (PAY_DOWN.replace(r#""why":"INC-42 drill","#, ""), "missing field `why`"),
        (PAY_DOWN.replace("INC-42 drill", " "), "`why` is a reason"),
        (PAY_DOWN.replace("pay-down", "Pay Down"), "did you mean `pay-down`"),
        (PAY_DOWN.replace("pay-down", "consent"), "is what requests ask for themselves"),
        (PAY_DOWN.replace("payments", "*"), "target: \"*\" is not a name"),
        (PAY_DOWN.replace(r#""target":"payments","#, ""), "missing field `target`"),
    ] {
        house.change("POST", "/platform/faults", &body).await.refuses(400, told);
    }
    assert_eq!(names(&house).await, Vec::<Value>::new());
    assert_eq!(house.app.changes().latest().len(), 2, "start and ready, and nothing else");
    house.stop().await;
}
