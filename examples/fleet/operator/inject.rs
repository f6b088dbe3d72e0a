//! How does a fault reach those whose calls go wrong?
//!
//! As an operator's would: by a change on the admin listener of every caller, with a reason and an end. Changes
//! belong to one process, so one that starts while the fault lasts is told for the rest of it.

use std::{net::SocketAddr, time::Duration};

use http::{Request, StatusCode, header};
use platform_core::config::duration;
use serde_json::{Map, Value, json};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use super::{
    instance::{Event, Instance},
    scrape::exchange,
};
use crate::fault::{Fault, name};

/// Brings every fault when its time comes, on tasks that end with what is returned.
pub(crate) fn bring(
    faults: &[Fault],
    instances: &[Instance],
    tell: &mpsc::UnboundedSender<Event>,
) -> JoinSet<()> {
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for (place, fault) in faults.iter().enumerate() {
        let callers = instances.iter().filter(|each| each.post.role.calls().contains(&fault.target));
        let injected =
            Injected { name: name(place), fault: fault.clone(), ends: began + fault.after + fault.length };
        tasks.spawn(injected.last(callers.cloned().collect(), tell.clone()));
    }
    tasks
}

/// A fault with its name and its end.
#[derive(Clone, Debug)]
struct Injected {
    name: String,
    fault: Fault,
    ends: Instant,
}

impl Injected {
    async fn last(self, callers: Vec<Instance>, tell: mpsc::UnboundedSender<Event>) {
        // Nobody listens any more only when the fleet ends.
        let say = |line| drop(tell.send(Event::Fault(line)));
        sleep_until(self.ends - self.fault.length).await;
        let length = duration::format(self.fault.length).unwrap_or_default();
        say(format!("Fault: {} for {length}", self.fault));
        let mut held = JoinSet::new();
        for caller in callers {
            held.spawn(self.clone().hold(caller, tell.clone()));
        }
        // None of them ends by itself: a caller may start again until the fault is over.
        let _ = timeout_at(self.ends, async { while held.join_next().await.is_some() {} }).await;
        say(format!("Fault: {} is over", self.fault));
    }

    /// Tells every life of one caller, until the fault is over.
    async fn hold(self, caller: Instance, tell: mpsc::UnboundedSender<Event>) {
        let mut told = 0;
        loop {
            caller.ready_after(told).await;
            let state = caller.state();
            let Some(addresses) = state.addresses else { continue };
            match self.start(addresses.admin).await {
                Some(Ok(())) => told = state.life,
                Some(Err(why)) => {
                    let line = format!("Fault: {} refused {}: {why}", caller.post.instance, self.fault);
                    // Nobody listens any more only when the fleet ends.
                    let _ = tell.send(Event::Fault(line));
                    told = state.life;
                }
                // It may be on its way out, or busy.
                None => sleep(AGAIN).await,
            }
        }
    }

    /// What this caller answered; `None` if it did not.
    async fn start(&self, admin: SocketAddr) -> Option<Result<(), String>> {
        let rest = self.ends.saturating_duration_since(Instant::now());
        let request = Request::post("/platform/faults")
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-platform-actor", "fleet");
        let body = order(&self.name, &self.fault, rest).to_string();
        let (status, answer) = exchange(admin, request, body.into()).await?;
        Some(if status == StatusCode::OK { Ok(()) } else { Err(format!("{status} {answer}")) })
    }
}

/// The body of the change: the keys of a fault's text are the keys of its JSON.
fn order(name: &str, fault: &Fault, rest: Duration) -> Value {
    // Whole milliseconds, and never none at all: an end that is almost here is still an end.
    let rest = format!("{}ms", rest.as_millis().max(1));
    let effect = fault.effect.to_string();
    let parts = effect.split(',').filter_map(|part| part.split_once('=')).map(|(key, value)| {
        let share = value.parse::<f64>().ok().filter(|_| key.ends_with("share"));
        (key.to_owned(), share.map_or_else(|| json!(value), |share| json!(share)))
    });
    let own = [
        ("name", name.to_owned()),
        ("target", fault.target.name().to_owned()),
        ("why", format!("fleet --fault {}:{}", fault.target.name(), fault.written)),
        ("for", rest),
    ];
    let own = own.into_iter().map(|(key, value)| (key.to_owned(), Value::String(value)));
    Value::Object(own.chain(parts).collect::<Map<_, _>>())
}

/// An instance that does not answer is asked again so soon that nobody sees the gap.
const AGAIN: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_the_bodys_of_the_contract() {
        for (text, rest, expected) in [
            (
                "ratings:error=100%",
                Duration::from_micros(9_500_700),
                json!({"name": "fleet-1", "target": "ratings", "why": "fleet --fault ratings:error=100%",
                    "for": "9500ms", "abort": "503"}),
            ),
            (
                "catalog:delay=500ms,share=20%",
                Duration::ZERO,
                json!({"name": "fleet-1", "target": "catalog", "why": "fleet --fault catalog:delay=500ms,share=20%",
                    "for": "1ms", "delay": "500ms", "share": 0.2}),
            ),
            (
                "catalog:delay=1s,error=5%",
                Duration::from_secs(1),
                json!({"name": "fleet-1", "target": "catalog", "why": "fleet --fault catalog:delay=1s,error=5%",
                    "for": "1000ms", "delay": "1s", "abort": "503", "delay_share": 1.0, "abort_share": 0.05}),
            ),
        ] {
            let fault = Fault::parse(text).unwrap();
            let told = order(&name(0), &fault, rest);
            // Numbers are compared as written: 1 and 1.0 are one ratio.
            assert_eq!(
                told.to_string().replace("1.0", "1"),
                expected.to_string().replace("1.0", "1"),
                "{text}"
            );
        }
    }
}
