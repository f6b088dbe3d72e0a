//! What protects a server: its guards, asked in order.
//!
//! One page, like the client's: each line says why it stands there. What a request costs where nothing is short is
//! a few loads and one slot.
//!
//! | layer | question |
//! |---|---|
//! | expired | does anybody wait for it? |
//! | rate-limit | how often may this tenant ask? |
//! | fair-share, shed | whose request goes, when not all can stay? |
//! | concurrency | how much can we bear right now, and who waits? |

mod guarding;
mod lender;
mod metrics;
mod refuse;
mod rows;
mod signals;
mod slot;
mod switch;
mod watch;

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

pub use guarding::Guarding;
pub use lender::Lender;
pub(crate) use metrics::declared;
pub(crate) use signals::signals;

use metrics::Meters;
use slot::Held;
pub use slot::Slot;
pub use switch::{Before, Servers};

use super::policy::{ClassPolicy, ServerPolicy};
use crate::{
    admission::{
        concurrency::Ticket,
        line::{Line, Precedence, Vain},
        rate_limit::Keyed,
        shed::{Looks, Pressure, Rank, Shed, class_of},
    },
    context::Context,
    error::{Error, ErrorKind, Result},
    telemetry::Metrics,
    tick::Tick,
};

/// The guards of a server, shared by all of its requests.
pub struct ServerGuards {
    policy: ServerPolicy,
    /// By guard, without the last: the mode of the concurrency limits is each class's own.
    modes: [AtomicU8; Guarding::Concurrency as usize],
    pressure: Pressure,
    rates: Keyed,
    /// The first is the one of requests that have no other.
    classes: Box<[Class]>,
    streams: AtomicU32,
}

/// Requests with a limit and a line of their own.
struct Class {
    name: Arc<str>,
    policy: ClassPolicy,
    line: Line,
    looks: Looks,
    shed: Shed,
    meters: Meters,
    /// How much its limit may do now.
    limits: AtomicU8,
    /// May a request go without a closer look, as long as nothing is short?
    plain: AtomicBool,
}

/// May it go on?
pub enum Entry {
    /// It goes, with a slot if it was given one, or it is refused.
    Now(Result<Option<Slot>>),
    /// Soon perhaps: [`ServerGuards::wait`], in this place.
    Wait(Precedence),
}

impl ServerGuards {
    /// The guards of a server under `policy`, with classes of these names beside the first.
    pub fn new(
        policy: &ServerPolicy,
        classes: &[(String, ClassPolicy)],
        metrics: &Metrics,
        now: impl Into<Tick>,
    ) -> Arc<Self> {
        let now = now.into();
        let own =
            (DEFAULT.to_owned(), ClassPolicy { timeout: policy.timeout, concurrency: policy.concurrency });
        let class = |(name, policy): &(String, ClassPolicy)| {
            let name: Arc<str> = Arc::from(name.as_str());
            Class {
                policy: *policy,
                line: Line::new(&policy.concurrency, now),
                looks: Looks::new(now),
                shed: Shed::new(now),
                meters: Meters::of(&name, metrics),
                limits: AtomicU8::new(policy.concurrency.mode as u8),
                plain: AtomicBool::new(false),
                name,
            }
        };
        let modes = std::array::from_fn(|number| AtomicU8::new(policy.mode(Guarding::ALL[number]) as u8));
        let guards = ServerGuards {
            pressure: Pressure::new(&policy.shed.sources),
            rates: Keyed::new(&policy.rate_limit.rate(), policy.rate_limit.max_keys as usize, now),
            classes: std::iter::once(&own).chain(classes).map(class).collect(),
            streams: AtomicU32::new(0),
            policy: policy.clone(),
            modes,
        };
        guards.settle();
        Arc::new(guards)
    }

    /// The number of the class of this name.
    pub fn class(&self, name: &str) -> Option<u16> {
        self.classes.iter().position(|class| &*class.name == name).and_then(|place| u16::try_from(place).ok())
    }

    /// The longest that a request of this class may take.
    #[inline]
    pub fn timeout(&self, class: u16) -> Option<Duration> {
        self.of(class).policy.timeout
    }

    /// R9: nobody waits for a request whose deadline had passed when it came, or when its turn came.
    ///
    /// # Errors
    /// The refusal, in mode enforce.
    #[cold]
    pub fn expired(&self, class: u16, context: &Context) -> Result<()> {
        let why = "the deadline had passed on arrival";
        self.refuse(class, Guarding::Expired, context, || Error::new(ErrorKind::Expired, why))
    }

    /// May this request of class `class` go on?
    #[inline]
    pub fn enter(self: &Arc<Self>, class: u16, context: &Context) -> Entry {
        let of = self.of(class);
        // Nothing is short, nobody waits and nobody counts: all that is left to ask for is a slot.
        if of.plain.load(Relaxed)
            && self.pressure.is_calm()
            && !of.looks.are_on()
            && let Some(ticket) = of.line.take(context.now())
        {
            return Entry::Now(Ok(Some(self.slot(class, ticket))));
        }
        self.enter_closely(class, context)
    }

    #[cold]
    fn enter_closely(self: &Arc<Self>, class: u16, context: &Context) -> Entry {
        let of = self.of(class);
        // R2 Arithmetic: one tenant's flood is its own and fills nobody's line.
        if let Err(refusal) = self.ask_rate(class, context) {
            return Entry::Now(Err(refusal));
        }
        let (now, waiting) = (context.now(), of.line.waiting());
        if of.looks.are_on() {
            of.looks.arrive(now, waiting);
        }
        let (common, queue) = (self.pressure.common(), self.queue_share(of));
        // Who asks for more than others is known by all who come while something is short, also who finds a slot.
        let rank = Rank::of(context);
        if common > 0.0 || of.looks.are_on() {
            of.shed.see(rank, now);
        } else {
            of.shed.rest(now);
        }
        // Importance decides before capacity does, where what is short is everybody's.
        if common > 0.0
            && let Err(refusal) = self.shed(class, context, rank, common.max(queue))
        {
            return Entry::Now(Err(refusal));
        }
        let limits = of.limits();
        if !limits.is_on() {
            return Entry::Now(Ok(None));
        }
        if let Some(ticket) = of.line.take(now) {
            of.looks.admit();
            of.looks.empty();
            return Entry::Now(Ok(Some(self.slot(class, ticket))));
        }
        if !limits.enforces() {
            of.line.limit().refused();
            of.meters.refused(Guarding::Concurrency, false, class_of(context));
            return Entry::Now(Ok(None));
        }
        // A free slot is nobody's loss, so who could have one is not asked. A line that stands is for who may stay;
        // where nobody waits, who may not is the last to be served.
        let mut place = Precedence::of(rank, self.is_fair() && of.shed.is_noisy(rank));
        if common <= 0.0 && queue > 0.0 {
            match self.turns_away(class, context, rank, queue, waiting > 0) {
                Some(guard) if waiting > 0 => {
                    if let Err(refusal) = self.turn_away(class, guard, context) {
                        return Entry::Now(Err(refusal));
                    }
                }
                Some(_) => place = Precedence::last(),
                None => {}
            }
        }
        if !of.looks.are_on() {
            of.looks.begin(now);
            of.looks.arrive(now, waiting);
        }
        Entry::Wait(place)
    }

    /// Waits for a slot after [`Entry::Wait`]. After that the context's clock reading is new.
    ///
    /// # Errors
    /// There was none in time.
    // Boxed: it is rare and long, and its state should not be part of every request's.
    pub fn wait<'a>(
        self: &'a Arc<Self>,
        class: u16,
        place: Precedence,
        context: &'a mut Context,
    ) -> Pin<Box<dyn Future<Output = Result<Option<Slot>>> + Send + 'a>> {
        Box::pin(async move {
            let (of, came) = (self.of(class), context.now());
            let answer = of.line.wait(context, place).await;
            let now = Tick::now();
            context.set_now(now);
            of.meters.queue_wait.observe(now.since(came), None);
            if of.line.waiting() == 0 {
                of.looks.empty();
            }
            let vain = match answer {
                Ok(ticket) => {
                    of.looks.admit();
                    return Ok(Some(self.slot(class, ticket)));
                }
                Err(vain) => vain,
            };
            let why = match vain {
                Vain::Expired => {
                    let why = "the deadline passed while the request waited for a slot";
                    of.meters.refused(Guarding::Expired, true, class_of(context));
                    return Err(Error::new(ErrorKind::Expired, why).at_layer(Guarding::Expired.as_str()));
                }
                Vain::TooLong => "no slot was free in time (concurrency.queue_wait)",
                Vain::Full => "as many requests wait for a slot as may, and none of them is less important",
            };
            let make = || self.busy(of, why);
            // Its mode may have changed while it waited; it has no slot, so it goes on without one.
            self.refuse(class, Guarding::Concurrency, context, make).map(|()| None)
        })
    }

    /// A request of this class held a slot until its caller's deadline had passed.
    #[cold]
    pub fn wasted(&self, class: u16) {
        self.of(class).meters.wasted.inc();
    }

    fn free(&self, class: u16, held: Held) {
        match held {
            Held::Slot(_) => self.of(class).line.release(),
            Held::Stream => {
                self.streams.fetch_sub(1, Relaxed);
            }
            Held::Nothing => {}
        }
    }

    fn slot(self: &Arc<Self>, class: u16, ticket: Ticket) -> Slot {
        Slot::new(self, class, ticket)
    }

    #[inline]
    fn of(&self, class: u16) -> &Class {
        // A number that nobody gave out is the first's.
        self.classes.get(usize::from(class)).unwrap_or(&self.classes[0])
    }
}

/// The class of a request that has no other.
pub const DEFAULT: &str = "default";
