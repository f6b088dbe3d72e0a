//! What does choosing an endpoint cost, and what does a change of very many?
//!
//! The pick alone, of ten, a hundred and a thousand endpoints; then one choice with all that belongs to it, its report
//! and its end: of as many, in zones with a canary, by key. Then sets of ten thousand of which one in a hundred changes, from the source's word until it is published.

use std::{fs, io, net::SocketAddr, sync::Arc};

use platform_core::{
    Context, Error, ErrorKind, Outcome, Result, Verdict, config::Ratio, identity::Identity,
    telemetry::Metrics,
};
use platform_discovery::{
    Balance, Config, Discovery, Endpoint, Target,
    balance::{self, P2c, Pick, Picker},
    source::Hand,
};
use tokio::{task::yield_now, time::Instant};

use crate::{
    alone,
    child::{Orders, Taken, repeated, runtime},
    options::Options,
    scenes::{Scene, Scenes},
    table::Report,
};

/// A set of endpoints, and how it is chosen from.
#[derive(Clone, Copy)]
pub(crate) struct Set {
    name: &'static str,
    about: &'static str,
    endpoints: u32,
    divided: bool,
    pick: Picker,
    /// Only who is picked: nothing begins, and nobody hears how it ended.
    bare: bool,
}

/// What a call chooses with.
struct Ground {
    balance: Balance<Arc<u32>>,
    source: Hand,
    context: Context,
    _discovery: Discovery,
}

impl Scene for Set {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn result(&self, what: &str) -> String {
        let number = self.name.strip_prefix("bare-").unwrap_or(self.name);
        format!("{}_{what}_{number}", if self.bare { "pick" } else { "choice" })
    }

    /// Chooses.
    fn play(&self, orders: Orders) -> io::Result<Taken> {
        runtime()?.block_on(async {
            let ground = Ground::new(*self).await.map_err(io::Error::other)?;
            if self.bare {
                let ready = ground.balance.ready();
                let choose = async || P2c.pick(&ready, &ground.context, fastrand::u64(..)).is_some();
                return repeated(orders, choose).await;
            }
            let mut key = 0_u32;
            let choose = async || {
                key = key.wrapping_add(1);
                let given = key.to_le_bytes();
                let roll = ground.balance.roll(&ground.context, Some(&given));
                let Some(mut picked) = ground.balance.try_pick(&ground.context, roll) else { return false };
                picked.report(&Verdict::new(Outcome::Success, ground.context.now()));
                true
            };
            repeated(orders, choose).await
        })
    }
}

/// The measurement.
///
/// # Errors
/// A child cannot be run; the system does not tell how much memory this process has.
pub(crate) fn run(options: &Options) -> Result<Report> {
    let mut report = SCENES.cost(
        options,
        "A pick is the index alone; a choice is the draw, the pick, its report and its end, by one caller.",
    )?;
    let (millis, bytes) = alone(snapshots(options.rounds))?;
    report.remarks.push(format!(
        "A set of {MANY} endpoints of which {CHANGED} change is published after {millis:.1} ms (median of {} sets); \
         connections and latencies stay. An endpoint takes {bytes} bytes, what the registry said of it included.",
        options.rounds
    ));
    report.results.push(("snapshot_10k_ms".to_owned(), format!("{millis:.1}")));
    report.results.push(("bytes_per_endpoint".to_owned(), bytes.to_string()));
    Ok(report)
}

/// Milliseconds for one of the changed sets, the median; and bytes for each endpoint.
async fn snapshots(rounds: usize) -> Result<(f64, u64)> {
    let empty = resident()?;
    let set = Set::of("many", "", MANY);
    let ground = Ground::new(set).await?;
    let bytes = resident()?.saturating_sub(empty) / u64::from(MANY);
    // One of them has been asked, so that there is something to lose.
    let mut picked = ground.balance.pick(&ground.context, 0).await?;
    picked.report(&Verdict::new(Outcome::Success, ground.context.now()));
    let known = Arc::clone(picked.service());
    drop(picked);
    let mut took = Vec::with_capacity(rounds);
    for round in 1..=u32::try_from(rounds).unwrap_or(u32::MAX) {
        let said: Vec<Endpoint> = (0..MANY).map(|number| endpoint(number, set, round)).collect();
        let before = ground.balance.endpoints().version();
        let since = Instant::now();
        ground.source.say(said);
        while ground.balance.endpoints().version() == before || !ground.is_published() {
            yield_now().await;
        }
        took.push(since.elapsed());
    }
    let ready = ground.balance.ready();
    let kept = ready.members().iter().find(|member| Arc::ptr_eq(member.service(), &known));
    let remembers = kept.is_some_and(|member| member.latency(Instant::now()).is_some());
    if ready.len() != MANY as usize || !remembers {
        return Err(Error::new(ErrorKind::Internal, "a change of others cost somebody its connections"));
    }
    took.sort_unstable();
    Ok((took[took.len() / 2].as_secs_f64() * 1e3, bytes))
}

impl Set {
    const fn of(name: &'static str, about: &'static str, endpoints: u32) -> Self {
        Set { name, about, endpoints, divided: false, pick: Picker::P2c, bare: false }
    }

    const fn bare(name: &'static str, about: &'static str, endpoints: u32) -> Self {
        Set { bare: true, ..Set::of(name, about, endpoints) }
    }
}

impl Ground {
    async fn new(set: Set) -> Result<Self> {
        let identity =
            Identity { zone: if set.divided { "a" } else { "" }.to_owned(), ..Identity::default() };
        let metrics = Metrics::new(&identity);
        let discovery = Discovery::of(Config::default(), &identity, &metrics)?;
        let source = Hand::new();
        discovery.use_source("town", Arc::new(source.clone()));
        let mut config = balance::Config { pick: set.pick, ..balance::Config::default() };
        // A choice among so many, and not among a subset.
        config.set.subset = None;
        if set.divided {
            config.variants.insert("canary".to_owned(), Ratio::of(0.05));
        }
        let balance =
            discovery.balance(&Target::parse("town")?, &config, |endpoint| Arc::new(number_of(endpoint)))?;
        source.say((0..set.endpoints).map(|number| endpoint(number, set, 0)));
        let context = Context::root(Instant::now());
        balance.pick(&context, fastrand::u64(..)).await?;
        Ok(Ground { balance, source, context, _discovery: discovery })
    }

    /// Is what is believed what may be chosen?
    fn is_published(&self) -> bool {
        let (believed, ready) = (self.balance.endpoints(), self.balance.ready());
        let same = |(one, other): (&Arc<Endpoint>, &Arc<balance::Member<Arc<u32>>>)| {
            Arc::ptr_eq(one, other.endpoint())
        };
        believed.endpoints().len() == ready.len()
            && believed.endpoints().iter().zip(ready.members()).all(same)
    }
}

/// Endpoint `number`; in each round one in a hundred is given another version.
fn endpoint(number: u32, set: Set, round: u32) -> Endpoint {
    let [_, high, middle, low] = number.to_be_bytes();
    let mut endpoint = Endpoint::at(SocketAddr::from(([10, high, middle, low], 80)));
    endpoint.instance = format!("catalog-{number:05}");
    let every = MANY / CHANGED;
    let last = (1..=round).rev().find(|round| number % every == round % every);
    endpoint.version = format!("1.4.{}", last.unwrap_or_default());
    if set.divided {
        endpoint.zone = ["a", "b", "c"][number as usize % 3].to_owned();
        endpoint.variant = if number.is_multiple_of(20) { "canary" } else { "stable" }.to_owned();
    }
    endpoint
}

fn number_of(endpoint: &Endpoint) -> u32 {
    match endpoint.address {
        SocketAddr::V4(address) => address.ip().to_bits(),
        SocketAddr::V6(_) => unreachable!("a town speaks IPv4"),
    }
}

/// Bytes that this process has in memory.
fn resident() -> Result<u64> {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split_ascii_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    let pages =
        pages.ok_or_else(|| Error::new(ErrorKind::Upstream, "memory is told by Linux' /proc/self/statm"))?;
    Ok(pages * PAGE)
}

/// What this binary chooses from where it is told to.
pub(crate) const SCENES: Scenes<Set> = Scenes { verb: "pick", all: &SETS };
const SETS: [Set; 8] = [
    Set::bare("bare-10", "the pick alone, p2c of 10", 10),
    Set::bare("bare-100", "the pick alone, p2c of 100", 100),
    Set::bare("bare-1000", "the pick alone, p2c of 1,000", 1_000),
    Set::of("10", "a choice, p2c of 10", 10),
    Set::of("100", "a choice, p2c of 100", 100),
    Set::of("1000", "a choice, p2c of 1,000", 1_000),
    Set { divided: true, ..Set::of("divided", "a choice of 1,000 in three zones, a canary with 5 %", 1_000) },
    Set { pick: Picker::RingHash, ..Set::of("ring", "a choice by ring_hash of 1,000", 1_000) },
];
const MANY: u32 = 10_000;
const CHANGED: u32 = 100;
/// Of every machine that this is run on.
const PAGE: u64 = 4096;
