//! S7: ten replicas restart one after the other, two seconds each, and the registry tells of it late.
//!
//! A replica that ends in order says `draining`, goes on until everybody has noticed, takes no new request and ends
//! those that it has; one that is killed resets them. Ours are the production registration, watch, balancer, reach and
//! stack; the naive client reads a list and asks one after the other.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use platform_core::{
    Error, ErrorKind, Outcome, Result, Tick, Verdict,
    identity::Identity,
    stack::{Asked, ClientStack, Parts, Row, Sending, Storey, Wire},
    telemetry::Metrics,
    testing::{Ask, Told},
};
use platform_discovery::{
    Balance, Config, Discovery, Endpoint, Target,
    balance::{self, Link},
    config::Dir,
};
use platform_http::client::{Dial, Preset, Reach};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::{
    client::CLIENTS,
    registry::{Registry, index},
    runs::{Scale, Seen},
    town::{chance, die, gap, log_normal, roll, root, seed, told},
};

/// How a replica ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    InOrder,
    Killed,
}

/// One replica and its lives.
struct Replica {
    state: watch::Sender<State>,
    in_flight: watch::Sender<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    /// Grows with every restart.
    life: u32,
    listens: bool,
    /// Connections are told to go; what is under way ends.
    leaving: bool,
}

struct Harbour {
    replicas: Vec<Replica>,
    resets: AtomicU64,
    cut: AtomicU64,
}

/// A connection to one life of a replica.
struct Conn {
    life: u32,
}

#[derive(Clone)]
struct Tcp {
    harbour: Arc<Harbour>,
    index: usize,
}

/// One client's connections to one replica: idle ones first, else a new one.
struct Pipe {
    tcp: Tcp,
    reach: Reach<Tcp>,
    idle: Mutex<Vec<Conn>>,
}

impl Harbour {
    fn new() -> Arc<Self> {
        let one = |_| Replica {
            state: watch::Sender::new(State { life: 0, listens: true, leaving: false }),
            in_flight: watch::Sender::new(0),
        };
        let replicas = (0..REPLICAS).map(one).collect();
        Arc::new(Harbour { replicas, resets: AtomicU64::new(0), cut: AtomicU64::new(0) })
    }

    fn state(&self, index: usize) -> State {
        *self.replicas[index].state.borrow()
    }

    /// Stops listening; how long that took, and whether nothing had to be cut.
    async fn stop(&self, index: usize, end: End) -> Duration {
        let (replica, begun) = (&self.replicas[index], Instant::now());
        if end == End::InOrder {
            replica.state.send_modify(|state| (state.listens, state.leaving) = (false, true));
            let mut in_flight = replica.in_flight.subscribe();
            if timeout(GRACE, in_flight.wait_for(|count| *count == 0)).await.is_err() {
                self.cut.fetch_add(*replica.in_flight.borrow() as u64, Relaxed);
            }
        }
        replica.state.send_modify(|state| {
            *state = State { life: state.life + 1, listens: false, leaving: false };
        });
        begun.elapsed()
    }

    fn start(&self, index: usize) {
        self.replicas[index].state.send_modify(|state| state.listens = true);
    }

    /// One request over a connection.
    async fn serve(&self, index: usize, conn: &Conn, work: Duration) -> Outcome {
        let replica = &self.replicas[index];
        sleep(NETWORK).await;
        let now = self.state(index);
        if now.life != conn.life || now.leaving {
            // Closed before it was sent, or above the last stream of a GOAWAY.
            return Outcome::Unreachable;
        }
        replica.in_flight.send_modify(|count| *count += 1);
        let _ends = Ends(&replica.in_flight);
        let mut state = replica.state.subscribe();
        tokio::select! {
            () = sleep(work) => Outcome::Success,
            _ = state.wait_for(|state| state.life != conn.life) => {
                self.resets.fetch_add(1, Relaxed);
                Outcome::ServerFault
            }
        }
    }
}

struct Ends<'a>(&'a watch::Sender<usize>);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl Dial for Tcp {
    type Stream = Conn;

    async fn dial(&self) -> io::Result<Conn> {
        sleep(NETWORK).await;
        let State { life, listens, .. } = self.harbour.state(self.index);
        let refused = || io::Error::new(io::ErrorKind::ConnectionRefused, "nobody listens");
        listens.then_some(Conn { life }).ok_or_else(refused)
    }

    fn is_alive(&self, conn: &Conn) -> bool {
        let state = self.harbour.state(self.index);
        state.life == conn.life && !state.leaving
    }
}

impl Pipe {
    fn to(harbour: &Arc<Harbour>, endpoint: &Endpoint, link: Link) -> Self {
        let tcp = Tcp { harbour: Arc::clone(harbour), index: index(endpoint.address).unwrap_or_default() };
        Pipe { reach: Reach::new(tcp.clone(), link), tcp, idle: Mutex::default() }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Conn>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(&self, work: Duration) -> Result<Outcome> {
        let idle = {
            let mut idle = self.idle();
            idle.retain(|conn| self.tcp.is_alive(conn));
            idle.pop()
        };
        let conn = match idle {
            Some(conn) => conn,
            None => self.reach.connect().await.map_err(|error| {
                Error::new(ErrorKind::Unreachable, format!("could not connect, nothing was sent: {error}"))
            })?,
        };
        let outcome = self.tcp.harbour.serve(self.tcp.index, &conn, work).await;
        self.idle().push(conn);
        Ok(outcome)
    }
}

/// One client process of ours.
struct Finder {
    balance: Balance<Pipe>,
    stack: ClientStack,
}

struct Road<'a> {
    balance: &'a Balance<Pipe>,
    /// What this call asks for.
    work: Duration,
}

impl Finder {
    fn new(harbour: &Arc<Harbour>, registry: &Registry) -> Result<Self> {
        let identity = Identity::default();
        let metrics = Metrics::new(&identity);
        let dir = Dir { path: "/nonexistent/registry".into(), ..Dir::default() };
        let discovery = Discovery::of(Config { dir, ..Config::default() }, &identity, &metrics)?;
        discovery.use_source("town", Arc::new(registry.clone()));
        let harbour = Arc::clone(harbour);
        let make = move |endpoint: &Endpoint, link| Pipe::to(&harbour, endpoint, link);
        let balance = discovery.balance_linked(&Target::parse("town")?, &balance::Config::default(), make)?;
        let mut policy = Preset::Interactive.policy();
        // Streams are a class of their own: who asks for them says so.
        (policy.timeout, policy.attempt_timeout) = (None, None);
        let stack = ClientStack::new(policy, Arc::new(Parts::new(&Arc::from("town"), &metrics)))?;
        stack.guards().set_clients(CLIENTS);
        Ok(Finder { balance, stack })
    }

    async fn call(&self, work: Duration) -> bool {
        let road = Road { balance: &self.balance, work };
        matches!(self.stack.call(root(), &road).await, Ok(answered) if super::client::is_good(&answered.reply))
    }
}

impl Wire for Road<'_> {
    type Call = Ask;
    type Reply = Told;

    async fn send(&self, call: &mut Sending<Ask>, asked: &Asked) -> Result<Told> {
        let call = call.call_mut();
        let mut picked = self.balance.pick_for(&mut call.context, asked, die()).await?;
        asked.set(picked.label());
        let sent = picked.service().send(self.work).await;
        let outcome = *sent.as_ref().unwrap_or(&Outcome::Unreachable);
        picked.report(&Verdict::new(outcome, Tick::now()));
        match sent? {
            Outcome::Unreachable => Err(Error::new(
                ErrorKind::Unreachable,
                "the connection was closed before the request was sent",
            )),
            outcome => Ok(told(outcome, platform_core::Hint::NONE)),
        }
    }

    fn has_other(&self, asked: &[Arc<str>]) -> bool {
        self.balance.has_other(asked)
    }

    fn describe(&self) -> Vec<Row> {
        vec![Row::new(Storey::Endpoint, "town", "Who is asked?")]
    }
}

/// The storm with its bars.
pub(crate) async fn s7(number: u64, scale: Scale) -> Result<Seen> {
    let (mut rows, mut passed) = (Vec::new(), true);
    for (arm, end) in
        [("ours, in order", End::InOrder), ("ours, killed", End::Killed), ("naive, killed", End::Killed)]
    {
        seed(number);
        let told = rolling(end, arm.starts_with("ours"), scale).await?;
        let Rolled { calls, failed, resets, cut, longest } = told;
        rows.push(vec![
            "S7".into(),
            "ten restarts of 2 s".into(),
            arm.into(),
            number.to_string(),
            format!("{:.3}", 100.0 * failed as f64 / calls.max(1) as f64),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            format!("{failed} of {calls} failed, {resets} resets, {cut} cut, longest end {longest:.1?}"),
        ]);
        if end == End::InOrder {
            passed &= failed == 0 && resets == 0 && cut == 0 && longest <= GRACE;
        }
    }
    Ok(Seen { rows, passed })
}

struct Rolled {
    calls: usize,
    failed: usize,
    resets: u64,
    cut: u64,
    longest: Duration,
}

async fn rolling(end: End, ours: bool, scale: Scale) -> Result<Rolled> {
    let (harbour, registry) = (Harbour::new(), Registry::new(false));
    let mut registered = registry.register(REPLICAS).await?;
    let finders: Result<Vec<_>> =
        (0..CLIENTS).map(|_| Finder::new(&harbour, &registry).map(Arc::new)).collect();
    let finders = finders?;
    sleep(Duration::from_secs(3)).await;

    let done = watch::Sender::new(false);
    let users = async {
        let (mut calls, mut good, mut turn) = (tokio::task::JoinSet::new(), Vec::new(), 0_usize);
        let (begun, mut due) = (Instant::now(), Duration::ZERO);
        while !*done.borrow() {
            due += gap(RATE * f64::from(if scale.storm < 10 { 1 } else { 4 }));
            tokio::time::sleep_until(begun + due).await;
            // One of a hundred is a stream.
            let work = if chance(0.01) { STREAM } else { log_normal(MEAN) };
            turn += 1;
            if ours {
                let finder = Arc::clone(&finders[turn % finders.len()]);
                calls.spawn(async move { finder.call(work).await });
            } else {
                let (registry, harbour) = (registry.clone(), Arc::clone(&harbour));
                calls.spawn(async move { naive(&registry, &harbour, work).await });
            }
            while let Some(Ok(done)) = calls.try_join_next() {
                good.push(done);
            }
        }
        good.extend(calls.join_all().await);
        good
    };
    let deploy = async {
        let mut longest = Duration::ZERO;
        for (index, registration) in registered.iter_mut().enumerate() {
            if end == End::InOrder {
                registration.draining().await?;
                sleep(PROPAGATION).await;
                registration.withdraw().await?;
            }
            longest = longest.max(harbour.stop(index, end).await);
            sleep(AWAY).await;
            harbour.start(index);
            // A new process has a name of its own.
            let (number, life) = (u16::try_from(index).unwrap_or_default(), harbour.state(index).life);
            let fresh = registry.announce(number, &format!("i{index}-{life}")).await?;
            let old = std::mem::replace(registration, fresh);
            // Who was killed withdraws nothing: its lease ends, or its address is taken over.
            drop(old);
        }
        sleep(Duration::from_secs(5)).await;
        done.send_replace(true);
        Ok::<_, Error>(longest)
    };
    let (good, longest) = tokio::join!(users, deploy);
    Ok(Rolled {
        calls: good.len(),
        failed: good.iter().filter(|good| !**good).count(),
        resets: harbour.resets.load(Relaxed),
        cut: harbour.cut.load(Relaxed),
        longest: longest?,
    })
}

/// Any of the list, over a new connection, once.
async fn naive(registry: &Registry, harbour: &Arc<Harbour>, work: Duration) -> bool {
    let Ok(list) = registry.list().await else { return false };
    let Some(endpoint) = list.get(roll(list.len().max(1))) else { return false };
    let tcp = Tcp { harbour: Arc::clone(harbour), index: index(endpoint.address).unwrap_or_default() };
    match tcp.dial().await {
        Ok(conn) => harbour.serve(tcp.index, &conn, work).await == Outcome::Success,
        Err(_) => false,
    }
}

const REPLICAS: u16 = 10;
const RATE: f64 = 100.0;
const MEAN: Duration = Duration::from_millis(10);
/// Longer than the propagation, so that some are under way when their replica ends.
const STREAM: Duration = Duration::from_secs(8);
const AWAY: Duration = Duration::from_secs(2);
const NETWORK: Duration = Duration::from_millis(1);
/// `lifecycle.propagation` and `lifecycle.grace`.
const PROPAGATION: Duration = Duration::from_secs(5);
const GRACE: Duration = Duration::from_secs(20);
