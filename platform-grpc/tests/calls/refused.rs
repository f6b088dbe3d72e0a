//! What a caller with another implementation of gRPC is told when it is refused.

use serde_json::Value;

use crate::{house::House, python::Python};

/// How so many calls ended, one every so many milliseconds, each of which works for so long.
async fn calls(house: &House, baggage: &str, [count, every, work]: [u32; 3]) -> Option<Vec<Value>> {
    let (address, numbers) =
        (house.address.to_string(), [count, every, work].map(|number| number.to_string()));
    let after = [&[baggage][..], &numbers.each_ref().map(String::as_str)].concat();
    let mut python = Python::start("grpcio_refused.py", &[&address], &after)?;
    let (said, wrong) = python.said().await;
    let ended: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(ended.len(), count as usize, "{wrong}");
    Some(ended)
}

/// The details of this kind.
fn detail<'a>(ended: &'a Value, kind: &str) -> &'a Value {
    &ended["details"][format!("google.rpc.{kind}")]
}

/// Which layer refused it.
fn layer(ended: &Value) -> Option<&str> {
    detail(ended, "ErrorInfo")["metadata"]["layer"].as_str()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_beyond_its_rate_hears_whose_quota_it_is_and_when_to_come_back() {
    let rate = "[server.policy]\nrate_limit = { mode = \"enforce\", per_second = 0.1, burst = 2 }\n";
    let house = House::open(rate).await;
    let Some(ended) = calls(&house, "platform-tenant=acme", [3, 100, 0]).await else { return };
    assert_eq!(ended.iter().filter(|one| one["code"] == "OK").count(), 2, "{ended:?}");
    let refused = ended.iter().find(|one| one["code"] == "RESOURCE_EXHAUSTED").expect("the third");
    assert_eq!(refused["platform-retry"], "safe");
    let pushback: u64 = refused["grpc-retry-pushback-ms"].as_str().unwrap().parse().unwrap();
    assert!((1..=10_000).contains(&pushback), "{refused}");
    let delay = detail(refused, "RetryInfo")["retryDelay"].as_str().unwrap().trim_end_matches('s');
    // The trailer is whole milliseconds, rounded up.
    assert!((delay.parse::<f64>().unwrap() * 1e3 - pushback as f64).abs() <= 1.0, "{refused}");
    let info = detail(refused, "ErrorInfo");
    assert_eq!((&info["reason"], &info["domain"]), (&"RATE_LIMITED".into(), &"platform".into()));
    assert_eq!(layer(refused), Some("rate-limit"));
    let violations = detail(refused, "QuotaFailure")["violations"].as_array().unwrap();
    assert_eq!((violations.len(), &violations[0]["subject"]), (1, &"tenant".into()));
    assert_eq!(violations[0]["description"], refused["text"]);
    assert_eq!(house.asked(), 2, "it was refused before any work");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_and_one_under_pressure_say_who_refused_and_whether_to_come_back_soon() {
    let one = "[server.policy]\nconcurrency = { start = 1, min = 1, max = 1, queue_wait = \"50ms\" }\n\
               shed = { sources = [\"queue_wait\"] }\n";
    let house = House::open(one).await;
    // Five times what one slot can do, for two seconds.
    let baggage = "platform-criticality=sheddable";
    let Some(ended) = calls(&house, baggage, [200, 10, 50]).await else { return };
    let refused: Vec<_> = ended.iter().filter(|one| one["code"] != "OK").collect();
    assert!((100..200).contains(&refused.len()), "{}", refused.len());
    for one in &refused {
        assert_eq!((&one["code"], &one["platform-retry"]), (&"UNAVAILABLE".into(), &"safe".into()), "{one}");
        assert_eq!(detail(one, "ErrorInfo")["reason"], "OVERLOADED");
        assert!(detail(one, "QuotaFailure").is_null());
        // Both ways to tell a delay tell the same, and both are there or none is.
        let delay = detail(one, "RetryInfo")["retryDelay"].as_str();
        assert_eq!(delay.map(|_| "1000"), one["grpc-retry-pushback-ms"].as_str(), "{one}");
        assert!(delay.is_none_or(|delay| delay == "1s"), "{one}");
    }
    let by = |name: &str| refused.iter().filter(|one| layer(one) == Some(name)).count();
    assert_eq!(by("shed") + by("concurrency"), refused.len());
    assert!(by("concurrency") > 0 && by("shed") > 0, "{} {}", by("concurrency"), by("shed"));
    let late = refused.iter().filter(|one| one["grpc-retry-pushback-ms"] == "1000").count();
    assert!(late > refused.len() / 2, "{late} of {}", refused.len());
    house.end().await;
}
