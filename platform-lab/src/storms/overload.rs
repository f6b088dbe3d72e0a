//! S3 and S6: more is asked than can be served. How much is served, and whose requests are they?

use std::{sync::Arc, time::Duration};

use platform_core::{
    Context, Result,
    context::{Criticality, Tenant},
    stack::ServerPolicy,
    testing::Ask,
};
use platform_http::client::Preset;
use tokio::time::Instant;

use super::{
    client::{Client, Felt, Way},
    runs::{MEAN, Scale, Seen, clients, interactive},
    told::refusals,
    town::{DRAIN, Town, Weather, chance, gap, roll, seed},
};

/// S3: twice, five and ten times of what can be served, and then less than can be.
pub(crate) async fn s3(number: u64, scale: Scale) -> Result<Seen> {
    let (mut rows, mut passed) = (Vec::new(), true);
    let naive = || Way::Naive {
        attempts: 5,
        attempt: Preset::Interactive.policy().attempt_timeout.unwrap_or(MEAN),
        whole: Duration::from_secs(1),
    };
    for (times, bar) in [(2.0, 0.95), (5.0, 0.92), (10.0, 0.90)] {
        for (arm, guarded, way) in [("5 attempts at once", false, naive()), ("ours", true, interactive())] {
            seed(number);
            let town = town(guarded, scale);
            let clients = clients(&town, &way)?;
            let storm = Duration::from_secs(scale.storm);
            let phases = [(0.6, CALM), (times, storm), (0.7, AFTER)];
            let begun = Instant::now();
            let end = CALM + storm;
            let mut heard = Heard::default();
            let make = |_| (Ask::under(Context::root(Instant::now())), ());
            crowd((&clients, scale), &phases, make, |felt, ()| heard.add(&felt, begun + CALM, begun + end))
                .await;
            let capacity = town.capacity(SLOTS);
            let goodput = heard.good as f64 / scale.storm as f64 / capacity.max(1.0);
            let per_call = town.requests() as f64 / heard.calls.max(1) as f64;
            let seconds = heard.well().map(|half| half as f64 / 2.0);
            if guarded {
                passed &= goodput >= bar && per_call <= 1.1 && seconds.is_some_and(|seconds| seconds <= 2.0);
            }
            rows.push(vec![
                "S3".into(),
                format!("{times}x"),
                arm.into(),
                number.to_string(),
                format!("{:.1}", 100.0 * (1.0 - heard.good as f64 / heard.came.max(1) as f64)),
                format!("{per_call:.3}"),
                String::new(),
                String::new(),
                String::new(),
                format!(
                    "goodput {:.1} % of {capacity:.0}/s, well after {}, {} refused{}",
                    100.0 * goodput,
                    seconds.map_or("never".to_owned(), |seconds| format!("{seconds} s")),
                    town.refused(),
                    refusals(&clients)
                ),
            ]);
            tokio::time::sleep(DRAIN).await;
        }
    }
    Ok(Seen { rows, passed })
}

/// What came of the calls of one S3, in numbers: a hundred replicas at ten times of what they can do are asked for tens
/// of millions, of which nobody could keep a record each.
#[derive(Default)]
struct Heard {
    calls: u64,
    /// Of those that came in the storm;
    came: u64,
    /// served while it lasted.
    good: u64,
    /// For each half second after it: how many came, and how many of them were served.
    halves: [(u64, u64); 2 * AFTER.as_secs() as usize],
}

impl Heard {
    fn add(&mut self, felt: &Felt, storm: Instant, end: Instant) {
        self.calls += 1;
        let came = felt.at - felt.took;
        self.came += u64::from(came >= storm && came < end);
        self.good += u64::from(felt.good && felt.at >= storm && felt.at < end);
        let half = came.checked_duration_since(end).map(|since| since.as_millis() as usize / 500);
        if let Some((came, good)) = half.and_then(|half| self.halves.get_mut(half)) {
            *came += 1;
            *good += u64::from(felt.good);
        }
    }

    /// The first half second after the storm in which all is well again: 99 of 100 that came in it were served.
    fn well(&self) -> Option<usize> {
        self.halves.iter().position(|(came, good)| good * 100 >= came * 99)
    }
}

/// S6: twice of what can be served, of which a quarter is important; then one tenant of ten sends nine tenths of it.
pub(crate) async fn s6(number: u64, scale: Scale) -> Result<Seen> {
    let (mut rows, mut passed) = (Vec::new(), true);
    let tenants: Vec<Tenant> =
        (0..10).map(|tenant| Tenant::parse(&format!("tenant-{tenant}")).expect("a token")).collect();
    let tenants = Arc::new(tenants);
    for what in ["priority surge", "noisy neighbour"] {
        for (arm, guarded) in [("no guards at the server", false), ("ours", true)] {
            seed(number);
            let town = town(guarded, scale);
            let clients = clients(&town, &interactive())?;
            let storm = Duration::from_secs(scale.storm);
            let begun = Instant::now();
            let tenants = Arc::clone(&tenants);
            let make = move |storms: bool| {
                let mut context = Context::root(Instant::now());
                // Who is measured: what is important, and those who are quiet.
                let special = if what == "priority surge" {
                    let special = chance(0.25);
                    if !special {
                        context.lower(Criticality::Sheddable);
                    }
                    special
                } else {
                    let special = !storms || chance(0.1);
                    let tenant = if special { 1 + roll(9) } else { 0 };
                    context.set_tenant(tenants[tenant].clone());
                    special
                };
                (Ask::under(context), special)
            };
            let from = begun + CALM + Duration::from_secs(1);
            let end = begun + CALM + storm;
            let (mut calls, mut good, mut special, mut served) = (0_u64, 0_u64, 0_u64, 0_u64);
            crowd((&clients, scale), &[(0.6, CALM), (2.0, storm)], make, |felt, is_special| {
                calls += 1;
                good += u64::from(felt.good && felt.at >= from && felt.at < end);
                let came = felt.at - felt.took;
                if is_special && came >= from && came < end {
                    special += 1;
                    served += u64::from(felt.good);
                }
            })
            .await;
            let capacity = town.capacity(SLOTS);
            let goodput = good as f64 / (scale.storm - 1) as f64 / capacity.max(1.0);
            let share = served as f64 / special.max(1) as f64;
            if guarded {
                let bar = if what == "priority surge" { 0.994 } else { 0.999 };
                passed &= share >= bar && goodput >= 0.95;
            }
            rows.push(vec![
                "S6".into(),
                what.into(),
                arm.into(),
                number.to_string(),
                format!("{:.2}", 100.0 * (1.0 - share)),
                format!("{:.3}", town.requests() as f64 / calls.max(1) as f64),
                String::new(),
                String::new(),
                String::new(),
                format!(
                    "{:.2} % of those served, goodput {:.1} %{}",
                    100.0 * share,
                    100.0 * goodput,
                    refusals(&clients)
                ),
            ]);
            tokio::time::sleep(DRAIN).await;
        }
    }
    Ok(Seen { rows, passed })
}

fn town(guarded: bool, scale: Scale) -> Town {
    let weather = Weather::fair(MEAN);
    if guarded {
        Town::guarded(scale.replicas, SLOTS, weather, &ServerPolicy::default())
    } else {
        Town::new(scale.replicas, SLOTS, weather)
    }
}

/// Calls arrive one after the other, at such parts of the capacity for so long each; `heard` is told of each with
/// what is known of it. `make` hears whether it is the storm's.
async fn crowd<T: Send + 'static>(
    (clients, scale): (&[Client], Scale),
    phases: &[(f64, Duration)],
    mut make: impl FnMut(bool) -> (Ask, T),
    mut heard: impl FnMut(Felt, T),
) {
    let begun = Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    let (mut due, mut end, mut number) = (Duration::ZERO, Duration::ZERO, 0_usize);
    for (phase, (part, length)) in phases.iter().enumerate() {
        end += *length;
        loop {
            due += gap(part * scale.capacity());
            if due >= end {
                due = end;
                break;
            }
            tokio::time::sleep_until(begun + due).await;
            let client = clients[number % clients.len()].clone();
            number += 1;
            let (ask, about) = make(phase == 1);
            calls.spawn(async move { (client.call_as(ask).await, about) });
            while let Some(Ok((felt, about))) = calls.try_join_next() {
                heard(felt, about);
            }
        }
    }
    // One that panics is no call that nobody counts.
    while let Some(done) = calls.join_next().await {
        let (felt, about) = done.expect("no call panics");
        heard(felt, about);
    }
}

const SLOTS: usize = 4;
/// Long enough for limits to have been found,
const CALM: Duration = Duration::from_secs(5);
/// and to see whether all is well again.
const AFTER: Duration = Duration::from_secs(6);
