//! The storms, one function each, with their bars.

use std::{future::Future, pin::Pin, sync::atomic::Ordering::Relaxed, time::Duration};

use platform_core::{
    Result,
    stack::{ClientPolicy, ServerPolicy},
};
use platform_http::client::Preset;
use tokio::time::{Instant, sleep};

use super::{
    chain::Chain,
    client::{CLIENTS, Client, Felt, Way, arrive},
    lane::Choice,
    told::{Told, ejections, refusals},
    town::{DRAIN, Town, Weather, seed},
};

/// How long a storm lasts: a test has less time than a person.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// Seconds of traffic under the fault.
    pub(super) storm: u64,
    /// Loads of the recovery map, in percent of capacity.
    loads: &'static [u32],
    /// The same where servers guard themselves.
    guarded_loads: &'static [u32],
    /// Without the peers.
    pub(super) quick: bool,
    /// Replicas of the town, where a storm does not say otherwise.
    pub(super) replicas: usize,
}

impl Scale {
    pub(crate) const WHOLE: Scale = Scale {
        storm: 30,
        loads: &[50, 60, 70, 80, 90, 95],
        guarded_loads: &[50, 60, 70, 80, 90, 95],
        quick: false,
        replicas: REPLICAS,
    };
    pub(crate) const QUICK: Scale =
        Scale { storm: 6, loads: &[50], guarded_loads: &[95], quick: true, replicas: REPLICAS };

    /// What all replicas together can do in a second.
    pub(super) fn capacity(self) -> f64 {
        CAPACITY / REPLICAS as f64 * self.replicas as f64
    }
}

/// What one seed showed.
pub(crate) struct Seen {
    pub(crate) rows: Vec<Vec<String>>,
    pub(crate) passed: bool,
}

pub(crate) type Run = Pin<Box<dyn Future<Output = Result<Seen>>>>;

/// As many are in a town.
const REPLICAS: usize = 10;
/// Ten replicas of four slots at a mean of 10 ms.
pub(super) const CAPACITY: f64 = 4000.0;
pub(super) const MEAN: Duration = Duration::from_millis(10);

pub(super) fn interactive() -> Way {
    ours(Preset::Interactive.policy())
}

fn ours(policy: ClientPolicy) -> Way {
    Way::Ours(Box::new(policy), Choice::Ours)
}

pub(super) fn clients(town: &Town, way: &Way) -> Result<Vec<Client>> {
    (0..CLIENTS as usize).map(|number| Client::new(town, way, number)).collect()
}

/// S0: nothing is wrong, and nobody is refused.
pub(crate) async fn s0(number: u64, scale: Scale) -> Result<Seen> {
    let internal = || ours(Preset::Internal.policy());
    let mut patient = Preset::Internal.policy();
    // Long polls are a class of their own: who calls them says so.
    (patient.timeout, patient.attempt_timeout, patient.breaker.slow_after) = (None, None, None);
    let bare = |policy: ClientPolicy| {
        ours(ClientPolicy {
            timeout: policy.timeout,
            attempt_timeout: policy.attempt_timeout,
            ..ClientPolicy::bare()
        })
    };
    let table: [(&str, &str, Way, Duration, f64, bool); 6] = [
        ("10 ms at 60 %", "interactive", interactive(), MEAN, 0.6 * scale.capacity(), false),
        ("10 ms at 60 %", "internal", internal(), MEAN, 0.6 * scale.capacity(), false),
        ("burst of 5x", "interactive", interactive(), MEAN, 0.15 * scale.capacity(), true),
        ("500 ms at 100/s", "internal", internal(), Duration::from_millis(500), 100.0, false),
        ("1 s, 1,500 in flight", "internal", internal(), Duration::from_secs(1), 1_500.0, false),
        ("2,000 long polls", "internal, patient", ours(patient), Duration::from_secs(10), 200.0, false),
    ];
    let (mut rows, mut passed) = (Vec::new(), true);
    for (what, arm, way, mean, load, burst) in table {
        let mut medians = Vec::new();
        let Way::Ours(policy, _) = &way else { unreachable!("all are ours") };
        let bare = bare(**policy);
        let beside = format!("{arm}, servers too");
        // The client's guards by themselves, the same before servers that guard themselves, and neither.
        for (arm, way, guarded) in [(arm, &way, false), (&*beside, &way, true), ("no guards", &bare, false)] {
            seed(number);
            // A log-normal queue is no storm where there are slots for all.
            let slots = if mean == MEAN { 4 } else { 1_000 };
            let weather = Weather::fair(mean);
            let town = if guarded {
                Town::guarded(scale.replicas, slots, weather, &ServerPolicy::default())
            } else {
                Town::new(scale.replicas, slots, weather)
            };
            let clients = clients(&town, way)?;
            let length = Duration::from_secs(scale.storm).max(2 * mean);
            let felt = if burst {
                let (calm, peak) = (Duration::from_secs(2), Duration::from_millis(200));
                let mut felt = arrive(&clients, load, calm, |_| {}).await;
                felt.extend(arrive(&clients, 5.0 * load, peak, |_| {}).await);
                felt.extend(arrive(&clients, load, calm, |_| {}).await);
                felt
            } else {
                arrive(&clients, load, length, |_| {}).await
            };
            let told = Told::of(&felt, &town);
            if arm != "no guards" {
                let open: usize = clients.iter().filter(|client| has_opened(client)).count();
                let ejected: u64 = clients.iter().map(ejections).sum();
                let at_server = town.refused();
                passed &= told.refused == 0 && open == 0 && at_server == 0 && ejected == 0;
                rows.push(told.row(
                    "S0",
                    what,
                    arm,
                    number,
                    &format!(
                        "{} refused, {at_server} by servers, {open} open, {ejected} ejected",
                        told.refused
                    ),
                ));
            } else {
                rows.push(told.row("S0", what, arm, number, ""));
            }
            medians.push(told.p50);
        }
        passed &= medians[0].as_secs_f64() <= medians[1].as_secs_f64() * 1.05 + 0.001;
    }
    Ok(Seen { rows, passed })
}

/// S4: ten seconds five times slower, under an attempt limit of 200 ms. What is served after it? Beside it the same without
/// the slow-down: what is lost then is no metastable state's fault.
pub(crate) async fn s4(number: u64, scale: Scale) -> Result<Seen> {
    let attempt = Duration::from_millis(200);
    let loops = |attempts| Way::Naive { attempts, attempt, whole: Duration::from_secs(1) };
    let mut ours = Preset::Interactive.policy();
    ours.attempt_timeout = Some(attempt);
    let mut none =
        ClientPolicy { timeout: ours.timeout, attempt_timeout: ours.attempt_timeout, ..ClientPolicy::bare() };
    none.recovery = platform_core::recovery::Recovery::None;
    let arms = [
        ("5 attempts at once", loops(5), Servers::Plain),
        ("no repeats", self::ours(none), Servers::Plain),
        ("ours", self::ours(ours), Servers::Plain),
        ("5 attempts, expired dropped", loops(5), Servers::DropExpired),
        ("ours, expired dropped", self::ours(ours), Servers::DropExpired),
    ];
    let guarded = [
        ("5 attempts, servers guard themselves", loops(5), Servers::Guarded),
        ("ours, servers guard themselves", self::ours(ours), Servers::Guarded),
    ];
    let (mut rows, mut passed) = (Vec::new(), true);
    for load in scale.loads {
        let mut served = Vec::new();
        for (arm, way, servers) in &arms {
            served.push(slowed(number, scale, (arm, way, *servers, 5.0), *load, &mut rows).await?.late);
        }
        // The client alone does no worse than one that never repeats, at any load; with a server that drops what
        // nobody waits for it comes back up to 80 %.
        let [_, none, ours, _, dropped] = served[..] else { unreachable!("five arms") };
        passed &= ours >= none - 0.05;
        if *load <= 80 {
            passed &= dropped >= 0.99;
        }
    }
    for load in scale.guarded_loads {
        for (arm, way, servers) in &guarded {
            for slower in [1.0, 5.0] {
                let served = slowed(number, scale, (arm, way, *servers, slower), *load, &mut rows).await?;
                // Two seconds after it all is well, at any load and however its callers repeat.
                passed &= served.soon >= 0.99 && served.late >= 0.99;
            }
        }
    }
    Ok(Seen { rows, passed })
}

/// How the servers of a recovery map are.
#[derive(Clone, Copy)]
enum Servers {
    /// A queue before slots, and nothing else.
    Plain,
    /// What nobody waits for is dropped when its turn comes.
    DropExpired,
    /// As `platform_http::serve` is by default.
    Guarded,
}

/// The shares that were served of what came after a slow-down.
struct Served {
    /// From two seconds after it on.
    soon: f64,
    /// From ten on.
    late: f64,
}

/// What was served after a slow-down to so many times, once being none.
async fn slowed(
    number: u64,
    scale: Scale,
    (arm, way, servers, slower): (&str, &Way, Servers, f64),
    load: u32,
    rows: &mut Vec<Vec<String>>,
) -> Result<Served> {
    seed(number);
    let weather = Weather { drops_expired: matches!(servers, Servers::DropExpired), ..Weather::fair(MEAN) };
    let town = match servers {
        Servers::Guarded => Town::guarded(scale.replicas, 4, weather, &ServerPolicy::default()),
        Servers::Plain | Servers::DropExpired => Town::new(scale.replicas, 4, weather),
    };
    let clients = clients(&town, way)?;
    let per_second = scale.capacity() * f64::from(load) / 100.0;
    let begun = Instant::now();
    let storm = town.clone();
    let mut phase = 0;
    let felt = arrive(&clients, per_second, ENDS + Duration::from_secs(20), move |since| {
        let now = if since < BEGINS { 0 } else { 1 + usize::from(since >= ENDS) };
        if now != phase {
            phase = now;
            storm.change_all(|weather| weather.slower = if now == 1 { slower } else { 1.0 });
        }
    })
    .await;
    let from = |seconds: u64| -> Vec<Felt> {
        let from = begun + ENDS + Duration::from_secs(seconds);
        felt.iter().filter(|felt| felt.at - felt.took >= from).copied().collect()
    };
    let (soon, late) = (Told::of(&from(2), &town), Told::of(&from(10), &town));
    let served = Served { soon: 1.0 - soon.errors(), late: 1.0 - late.errors() };
    let what = if slower > 1.0 { "after" } else { "calm" };
    rows.push(late.row(
        "S4",
        &format!("{load} %, {what}"),
        arm,
        number,
        &format!(
            "{:.1} % served, {:.1} % from 2 s on{}",
            100.0 * served.late,
            100.0 * served.soon,
            refusals(&clients)
        ),
    ));
    sleep(DRAIN).await;
    Ok(served)
}

/// When it becomes slow, and when it is over.
const BEGINS: Duration = Duration::from_secs(3);
const ENDS: Duration = Duration::from_secs(13);

/// What goes wrong at the last one.
type Change = fn(&mut Weather);

/// S11: five layers; the last one fails, is overloaded, or is five times slower.
pub(crate) async fn s11(number: u64, scale: Scale) -> Result<Seen> {
    let (mut rows, mut passed) = (Vec::new(), true);
    let bad: [(&str, Change, f64); 3] = [
        ("the last one fails", |weather| weather.fails = 1.0, 1.61),
        ("the last one is overloaded", |weather| weather.overloaded = true, 1.61),
        ("the last one is 5x slower", |weather| weather.slower = 5.0, 1.61),
    ];
    for (what, change, bar) in bad {
        seed(number);
        let town = Town::new(10, 4, Weather { drops_expired: true, ..Weather::fair(MEAN) });
        let chain = std::sync::Arc::new(Chain::new(5, &town, Preset::Interactive.policy())?);
        let ask = |length: Duration| {
            let chain = std::sync::Arc::clone(&chain);
            async move {
                let (begun, mut calls, mut users) = (Instant::now(), tokio::task::JoinSet::new(), 0_u64);
                while begun.elapsed() < length {
                    sleep(super::town::gap(400.0)).await;
                    users += 1;
                    let chain = std::sync::Arc::clone(&chain);
                    calls.spawn(async move { chain.call().await });
                }
                let mut good = 0_u64;
                while let Some(done) = calls.join_next().await {
                    good += u64::from(done.unwrap_or(false));
                }
                (users, good)
            }
        };
        ask(Duration::from_secs(3)).await;
        town.change_all(change);
        let before = chain.asked.load(Relaxed);
        let (users, good) = ask(Duration::from_secs(scale.storm.min(15))).await;
        let per_user = (chain.asked.load(Relaxed) - before) as f64 / users.max(1) as f64;
        let falls = chain.falls.load(Relaxed);
        passed &= per_user <= bar && falls && town.wasted() <= 0.02;
        rows.push(vec![
            "S11".into(),
            what.into(),
            "ours".into(),
            number.to_string(),
            format!("{:.2}", 100.0 * (users - good) as f64 / users.max(1) as f64),
            format!("{per_user:.3}"),
            String::new(),
            String::new(),
            String::new(),
            format!(
                "{:.2} % wasted, time {}",
                100.0 * town.wasted(),
                if falls { "falls" } else { "does not fall" }
            ),
        ]);
    }
    Ok(Seen { rows, passed })
}

fn has_opened(client: &Client) -> bool {
    let text = client.metrics.encode();
    let opened =
        |line: &str| line.starts_with("platform_breaker_transitions_total{") && line.contains("to=\"open\"");
    text.lines().any(|line| opened(line) && !line.ends_with(" 0"))
}
