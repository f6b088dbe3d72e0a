//! A client's way to a town: the production balancer over its replicas.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use platform_core::{
    Result, Tick, Verdict,
    config::Mode,
    identity::Identity,
    stack::{Asked, Row, Sending, Storey, Wire},
    telemetry::Metrics,
    testing::{Ask, Told},
};
use platform_discovery::{
    Balance, Config, Discovery, Endpoint, Target,
    balance::{self, Picker},
    source::Hand,
};

use super::town::{Town, die, told};

/// One client process's balancer, as it would be in front of its connections.
pub(crate) struct Lane {
    town: Town,
    source: Hand,
    balance: Balance<usize>,
    zoned: bool,
    // The watch ends with it.
    _discovery: Discovery,
}

/// How the balancer is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// As it comes.
    Ours,
    /// As it comes, and clients and replicas are spread evenly over three zones.
    InZones,
    /// As it comes, and nobody is ever left out.
    NoEjection,
    /// One after the other, and nobody is ever left out.
    RoundRobin,
    /// The one with fewer calls in flight, of two; nobody is ever left out.
    LeastLoaded,
}

impl Choice {
    fn config(self) -> balance::Config {
        let pick = match self {
            Choice::Ours | Choice::InZones | Choice::NoEjection => Picker::P2c,
            Choice::RoundRobin => Picker::RoundRobin,
            Choice::LeastLoaded => Picker::LeastRequest,
        };
        let mut config = balance::Config { pick, ..balance::Config::default() };
        if !matches!(self, Choice::Ours | Choice::InZones) {
            config.eject.mode = Mode::Off;
        }
        if matches!(self, Choice::RoundRobin | Choice::LeastLoaded) {
            // Naive clients know no slow start.
            config.load.slow_start = Duration::ZERO;
        }
        config
    }
}

impl Lane {
    /// The one of client `number`.
    pub(crate) fn to(town: &Town, choice: Choice, number: usize, metrics: &Metrics) -> Result<Self> {
        let zoned = choice == Choice::InZones;
        let zone = if zoned { ZONES[number % ZONES.len()] } else { "" };
        let identity = Identity { zone: zone.to_owned(), ..Identity::default() };
        let discovery = Discovery::of(Config::default(), &identity, metrics)?;
        let source = Hand::new();
        discovery.use_source("town", Arc::new(source.clone()));
        let balance = discovery.balance(&Target::parse("town")?, &choice.config(), index_of)?;
        let lane = Lane { town: town.clone(), source, balance, zoned, _discovery: discovery };
        lane.knows(town.len());
        Ok(lane)
    }

    /// From now on the registry names the first so many.
    pub(crate) fn knows(&self, replicas: usize) {
        self.source.say((0..replicas).map(|index| {
            let number = u8::try_from(index).expect("a town is small");
            let mut endpoint = Endpoint::at(SocketAddr::from(([10, 0, 0, number], 80)));
            if self.zoned {
                endpoint.zone = ZONES[index * ZONES.len() / self.town.len().max(1)].to_owned();
            }
            endpoint
        }));
    }
}

impl Wire for Lane {
    type Call = Ask;
    type Reply = Told;

    async fn send(&self, call: &mut Sending<Ask>, asked: &Asked) -> Result<Told> {
        let call = call.call_mut();
        let mut picked = self.balance.pick_for(&mut call.context, asked, die()).await?;
        asked.set(picked.label());
        let (outcome, hint) = self.town.ask_as(*picked.service(), &call.context).await;
        picked.report(&Verdict::new(outcome, Tick::now()).with_hint(hint));
        Ok(told(outcome, hint))
    }

    fn has_other(&self, asked: &[Arc<str>]) -> bool {
        self.balance.has_other(asked)
    }

    fn describe(&self) -> Vec<Row> {
        vec![Row::new(Storey::Endpoint, "town", "Who is asked?")]
    }
}

/// Where a third of a town stands, one after the other.
const ZONES: [&str; 3] = ["a", "b", "c"];

fn index_of(endpoint: &Endpoint) -> usize {
    match endpoint.address {
        SocketAddr::V4(address) => usize::from(address.ip().octets()[3]),
        SocketAddr::V6(_) => unreachable!("towns are small"),
    }
}
