//! S9: a server is away for half a minute, and a thousand clients want it back.
//!
//! The clients that are ours run the production [`Reach`], one each, with requests once a second; the naive ones try
//! again by a rule of their own. The server does one handshake after the other, and does them also for those that have
//! given up meanwhile.

use std::{
    cell::RefCell,
    io,
    rc::Rc,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use platform_core::Result;
use platform_discovery::balance::Link;
use platform_http::client::{Dial, Reach};
use tokio::{
    task::LocalSet,
    time::{Instant, sleep, sleep_until},
};

use super::{
    runs::Seen,
    town::{seed, uniform},
};

/// A server's door, through which one comes at a time.
#[derive(Clone)]
struct Door(Arc<Mutex<Inside>>);

struct Inside {
    open: bool,
    /// When the handshakes that were begun are done.
    busy_until: Instant,
    tries: Vec<Instant>,
    done: u64,
    wasted: u64,
}

impl Door {
    fn new() -> Self {
        let busy_until = Instant::now();
        let inside = Inside { open: true, busy_until, tries: Vec::new(), done: 0, wasted: 0 };
        Door(Arc::new(Mutex::new(inside)))
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Dial for Door {
    type Stream = ();

    async fn dial(&self) -> io::Result<()> {
        let (begun, done) = {
            let mut inside = self.inside();
            let now = Instant::now();
            inside.tries.push(now);
            if inside.open {
                inside.busy_until = inside.busy_until.max(now) + HANDSHAKE;
            }
            (now, inside.open.then_some(inside.busy_until))
        };
        match done {
            None => {
                sleep(NETWORK).await;
                Err(io::Error::new(io::ErrorKind::ConnectionRefused, "nobody listens"))
            }
            Some(done) if done > begun + TIMEOUT => {
                sleep_until(begun + TIMEOUT).await;
                // The server does it all the same.
                self.inside().wasted += 1;
                Err(io::Error::new(io::ErrorKind::TimedOut, "no handshake in time"))
            }
            Some(done) => {
                sleep_until(done).await;
                self.inside().done += 1;
                Ok(())
            }
        }
    }

    fn is_alive(&self, (): &()) -> bool {
        self.inside().open
    }
}

/// When a client comes back, and how.
#[derive(Clone, Copy)]
enum Way {
    Ours,
    /// After a second, again and again.
    Fixed,
    /// Doubled from 100 ms up to 10 s, give or take so much of it.
    Doubling(f64),
}

/// The storm with its bars.
pub(crate) async fn s9(number: u64) -> Result<Seen> {
    let (mut rows, mut passed) = (Vec::new(), true);
    let arms = [
        ("ours", Way::Ours),
        ("every second", Way::Fixed),
        ("doubling", Way::Doubling(0.0)),
        ("doubling, a tenth of jitter", Way::Doubling(0.1)),
    ];
    for (arm, way) in arms {
        seed(number);
        let told = LocalSet::new().run_until(herd(way)).await;
        let back = told.back.map_or("never".to_owned(), |back| format!("{:.1} s", back.as_secs_f64()));
        let more = format!(
            "{} tries/s at the return, {} in the first second away; 99 % after {back}; {} wasted",
            told.peak, told.first, told.wasted
        );
        rows.push(vec![
            "S9".into(),
            format!("away for {} s", AWAY.as_secs()),
            arm.into(),
            number.to_string(),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            more,
        ]);
        if let Way::Ours = way {
            passed &= told.peak <= 300 && told.wasted == 0;
            passed &= told.back.is_some_and(|back| back <= Duration::from_secs(10));
        }
    }
    Ok(Seen { rows, passed })
}

struct Told {
    /// The most tries within a second, from ten seconds before the return on.
    peak: usize,
    /// Tries in the second after the server went.
    first: usize,
    /// From the return until 99 of 100 are connected.
    back: Option<Duration>,
    wasted: u64,
}

async fn herd(way: Way) -> Told {
    let door = Door::new();
    door.inside().open = false;
    let (gone, connected) = (Instant::now(), Rc::new(RefCell::new(0_usize)));
    for _ in 0..CLIENTS {
        let (door, connected) = (door.clone(), Rc::clone(&connected));
        tokio::task::spawn_local(async move {
            match way {
                Way::Ours => ours(door).await,
                Way::Fixed | Way::Doubling(_) => naive(door, way).await,
            }
            *connected.borrow_mut() += 1;
        });
    }
    sleep_until(gone + AWAY).await;
    let returned = Instant::now();
    {
        let mut inside = door.inside();
        (inside.open, inside.busy_until) = (true, returned);
    }
    let mut back = None;
    while returned.elapsed() < PATIENCE {
        if *connected.borrow() * 100 >= CLIENTS * 99 {
            back = Some(returned.elapsed());
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    let inside = door.inside();
    let since = returned - 10 * SECOND;
    let late: Vec<Instant> = inside.tries.iter().copied().filter(|at| *at >= since).collect();
    let first = inside.tries.iter().filter(|at| **at < gone + SECOND).count();
    Told { peak: busiest(&late), first, back, wasted: inside.wasted }
}

/// A client with a request a second, until one of them has a connection.
async fn ours(door: Door) {
    let reach = Reach::new(door, Link::default());
    sleep(SECOND.mul_f64(uniform())).await;
    while reach.connect().await.is_err() {
        sleep(SECOND).await;
    }
}

async fn naive(door: Door, way: Way) {
    for tries in 0.. {
        if door.dial().await.is_ok() {
            return;
        }
        let pause = match way {
            Way::Doubling(jitter) => {
                let whole = (SECOND / 10).saturating_mul(1 << tries.min(10)).min(10 * SECOND);
                whole.mul_f64(1.0 - jitter + 2.0 * jitter * uniform())
            }
            _ => SECOND,
        };
        sleep(pause).await;
    }
}

/// The most within any second.
fn busiest(at: &[Instant]) -> usize {
    let mut most = 0;
    let mut first = 0;
    for (last, now) in at.iter().enumerate() {
        while *now - at[first] >= SECOND {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most
}

/// Also in a test: after a shorter one the pauses are still short, and it is another storm.
const AWAY: Duration = Duration::from_secs(30);
const CLIENTS: usize = 1_000;
const SECOND: Duration = Duration::from_secs(1);
/// Two hundred a second.
const HANDSHAKE: Duration = Duration::from_millis(5);
/// `connect.timeout`.
const TIMEOUT: Duration = Duration::from_secs(1);
const NETWORK: Duration = Duration::from_millis(1);
/// Who is not back by then never is.
const PATIENCE: Duration = Duration::from_secs(120);
