//! Clients that find the town through a registry: ours on the production discovery, balancer and stack, and the
//! naive ones beside them, who believe every word.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use platform_core::{
    Error, ErrorKind, Outcome, Result, Tick, Verdict, context,
    identity::Identity,
    stack::{Asked, ClientPolicy, ClientStack, Parts, Row, Sending, Storey, Wire},
    telemetry::Metrics,
    testing::{Ask, Told},
};
use platform_discovery::{Balance, Config, Discovery, Target, balance, config::Dir};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout_at},
};

use super::{
    client::{CLIENTS, Caller, Felt},
    registry::{LOOK, Registry, index},
    town::{Town, die, roll, root, told},
};

/// One client process.
pub(crate) struct Finder {
    town: Town,
    way: Way,
}

enum Way {
    Ours {
        found: Found,
        stack: ClientStack,
        discovery: Discovery,
    },
    /// Reads the registry, believes it, and empties its list when a lease has passed without an answer.
    Naive {
        list: Arc<Mutex<Vec<usize>>>,
        reading: JoinHandle<()>,
    },
}

struct Found(Balance<()>);

/// The wire of one of ours: who is asked is what the production balancer says.
struct Road<'a> {
    found: &'a Found,
    town: &'a Town,
}

impl Finder {
    /// Ours; saved lists are kept in `folder`.
    pub(crate) fn ours(
        town: &Town,
        registry: &Registry,
        policy: ClientPolicy,
        folder: &Path,
    ) -> Result<Self> {
        let identity = Identity::default();
        let metrics = Metrics::new(&identity);
        let dir = Dir { path: folder.join("registry"), ..Dir::default() };
        let discovery = Discovery::of(Config { dir, ..Config::default() }, &identity, &metrics)?;
        discovery.use_source("town", Arc::new(registry.clone()));
        let balance = discovery.balance(&Target::parse("town")?, &balance::Config::default(), |_| ())?;
        let stack = ClientStack::new(policy, Arc::new(Parts::new(&Arc::from("town"), &metrics)))?;
        stack.guards().set_clients(CLIENTS);
        let way = Way::Ours { found: Found(balance), stack, discovery };
        Ok(Finder { town: town.clone(), way })
    }

    /// The naive one.
    pub(crate) fn naive(town: &Town, registry: &Registry) -> Self {
        let list: Arc<Mutex<Vec<usize>>> = Arc::default();
        let (known, registry) = (Arc::clone(&list), registry.clone());
        let reading = context::spawn(async move {
            let lease = Config::default().register.lease;
            let (mut heard, mut listing) = (Instant::now(), Box::pin(registry.list()));
            loop {
                let answer = timeout_at(heard + lease, &mut listing).await;
                let answered = answer.is_ok();
                match answer {
                    Ok(Ok(found)) => {
                        heard = Instant::now();
                        let indices = found.iter().filter_map(|endpoint| index(endpoint.address)).collect();
                        *known.lock().unwrap_or_else(PoisonError::into_inner) = indices;
                    }
                    Ok(Err(_)) if heard.elapsed() < lease => {}
                    Ok(Err(_)) | Err(_) => {
                        known.lock().unwrap_or_else(PoisonError::into_inner).clear();
                        heard = Instant::now();
                    }
                }
                if answered {
                    sleep(LOOK).await;
                    listing = Box::pin(registry.list());
                }
            }
        });
        Finder { town: town.clone(), way: Way::Naive { list, reading } }
    }

    /// Waits as a start does.
    pub(crate) async fn start(&self) {
        match &self.way {
            Way::Ours { discovery, .. } => drop(discovery.ready(discovery.start_wait()).await),
            // For ever, if nobody answers.
            Way::Naive { list, .. } => {
                while list.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
                    sleep(Duration::from_millis(10)).await;
                }
            }
        }
    }

    /// How many it would choose from.
    pub(crate) fn knows(&self) -> usize {
        match &self.way {
            Way::Ours { found, .. } => found.0.ready().len(),
            Way::Naive { list, .. } => list.lock().unwrap_or_else(PoisonError::into_inner).len(),
        }
    }
}

impl Caller for Arc<Finder> {
    async fn call(&self) -> Felt {
        let begun = Instant::now();
        let good = match &self.way {
            Way::Ours { found, stack, .. } => {
                let road = Road { found, town: &self.town };
                matches!(stack.call(root(), &road).await, Ok(answered) if super::client::is_good(&answered.reply))
            }
            Way::Naive { list, .. } => {
                let list = list.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let limit = begun + Duration::from_secs(1);
                match list.get(roll(list.len().max(1))) {
                    Some(index) => {
                        let asked = timeout_at(limit, self.town.ask(*index, Some(limit))).await;
                        matches!(asked, Ok((Outcome::Success, ..)))
                    }
                    None => false,
                }
            }
        };
        let at = Instant::now();
        Felt { good, refused: false, took: at - begun, at }
    }
}

impl Drop for Finder {
    fn drop(&mut self) {
        if let Way::Naive { reading, .. } = &self.way {
            reading.abort();
        }
    }
}

impl Wire for Road<'_> {
    type Call = Ask;
    type Reply = Told;

    async fn send(&self, call: &mut Sending<Ask>, asked: &Asked) -> Result<Told> {
        let call = call.call_mut();
        let mut picked = self.found.0.pick_for(&mut call.context, asked, die()).await?;
        asked.set(picked.label());
        let Some(index) = index(picked.endpoint().address) else {
            return Err(Error::new(ErrorKind::Internal, "an address outside the town"));
        };
        let deadline = call.context.deadline().map(|deadline| deadline.instant());
        let (outcome, hint) = self.town.ask(index, deadline).await;
        picked.report(&Verdict::new(outcome, Tick::now()).with_hint(hint));
        Ok(told(outcome, hint))
    }

    fn has_other(&self, asked: &[Arc<str>]) -> bool {
        self.found.0.has_other(asked)
    }

    fn describe(&self) -> Vec<Row> {
        vec![Row::new(Storey::Endpoint, "town", "Who is asked?")]
    }
}
