//! A target that does as it is told.

use std::{
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::{
    call::{Call, Guard, Reply},
    context::Context,
    error::{Error, ErrorKind, Result},
    identity::Identity,
    outcome::{Hint, Outcome, Verdict},
    stack::{Answered, Asked, ClientPolicy, ClientStack, Parts, Row, Sending, Storey, Wire},
    telemetry::Metrics,
};

/// What a target does with one attempt.
#[derive(Clone, Debug)]
pub enum Does {
    /// Answers after so long; how a reply is judged, and what it says about coming back.
    Answer(Duration, Outcome, Hint),
    /// Fails after so long.
    Fail(Duration, Error),
    /// Never answers.
    Nothing,
}

impl Does {
    /// Answers as asked, after so long.
    pub fn well(after: Duration) -> Self {
        Does::Answer(after, Outcome::Success, Hint::NONE)
    }

    /// Answers at once, and the reply is judged so.
    pub fn judged(outcome: Outcome) -> Self {
        Does::Answer(Duration::ZERO, outcome, Hint::NONE)
    }

    /// Fails at once.
    pub fn fails(kind: ErrorKind) -> Self {
        Does::Fail(Duration::ZERO, Error::new(kind, "as scripted"))
    }
}

/// An attempt as the target saw it.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Counted from 0 over all calls.
    pub number: usize,
    /// Which endpoint was asked, from 0.
    pub endpoint: usize,
    /// What travelled with it.
    pub context: Context,
    /// When it arrived.
    pub at: Instant,
}

/// A scripted target.
pub struct Target {
    name: Arc<str>,
    endpoints: Vec<Arc<str>>,
    script: Box<dyn Fn(&Attempt) -> Does + Send + Sync>,
    seen: Mutex<Vec<Attempt>>,
}

impl Target {
    /// A target with so many endpoints; `script` says what one does with an attempt.
    pub fn new(
        name: &str,
        endpoints: usize,
        script: impl Fn(&Attempt) -> Does + Send + Sync + 'static,
    ) -> Self {
        Target {
            name: Arc::from(name),
            endpoints: (0..endpoints).map(|index| Arc::from(format!("10.0.0.{index}:80"))).collect(),
            script: Box::new(script),
            seen: Mutex::default(),
        }
    }

    /// Every attempt so far.
    pub fn seen(&self) -> Vec<Attempt> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Attempt>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One after the other, others before those that were asked.
    fn choose(&self, number: usize, asked: &Asked) -> Option<usize> {
        let count = self.endpoints.len();
        let mut all = (0..count).map(|step| (number + step) % count);
        let other = all.find(|index| !asked.avoid().contains(&self.endpoints[*index]));
        other.or_else(|| (count > 0 && !asked.asks_only_others()).then(|| number % count))
    }
}

impl Wire for Target {
    type Call = Ask;
    type Reply = Told;

    async fn send(&self, call: &mut Sending<Ask>, asked: &Asked) -> Result<Told> {
        let does = {
            let mut seen = self.lock();
            let number = seen.len();
            let Some(endpoint) = self.choose(number, asked) else {
                return Err(Error::new(ErrorKind::NoEndpoints, "nobody else"));
            };
            asked.set(&self.endpoints[endpoint]);
            let attempt = Attempt { number, endpoint, context: call.take().context, at: Instant::now() };
            seen.push(attempt.clone());
            (self.script)(&attempt)
        };
        match does {
            Does::Answer(after, outcome, hint) => {
                if !after.is_zero() {
                    sleep(after).await;
                }
                let verdict = Verdict::new(outcome, Instant::now()).with_hint(hint);
                Ok(Told { verdict: Some(verdict), guards: Vec::new() })
            }
            Does::Fail(after, error) => {
                if !after.is_zero() {
                    sleep(after).await;
                }
                Err(error)
            }
            Does::Nothing => pending().await,
        }
    }

    fn has_other(&self, asked: &[Arc<str>]) -> bool {
        self.endpoints.iter().any(|one| !asked.contains(one))
    }

    fn describe(&self) -> Vec<Row> {
        vec![Row::new(Storey::Endpoint, "script", "What is written?")]
    }
}

/// A request.
#[derive(Clone, Debug)]
pub struct Ask {
    /// What travels with it.
    pub context: Context,
    /// May it be done twice?
    pub idempotent: bool,
    /// Are its bytes at hand, so that it can be sent twice?
    pub repeatable: bool,
}

impl Ask {
    /// A request that may be repeated in every way.
    pub fn under(context: Context) -> Self {
        Ask { context, idempotent: true, repeatable: true }
    }
}

/// A reply. What is held for it is held until it is dropped.
#[derive(Debug, Default)]
pub struct Told {
    verdict: Option<Verdict>,
    guards: Vec<Guard>,
}

impl Call for Ask {
    fn context(&self) -> &Context {
        &self.context
    }

    fn context_mut(&mut self) -> &mut Context {
        &mut self.context
    }

    fn repeat(&self, _body: u64) -> Option<Self> {
        self.repeatable.then(|| self.clone())
    }

    fn idempotent(&self) -> bool {
        self.idempotent
    }
}

impl Reply for Told {
    fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }

    fn judge(&mut self, verdict: Verdict) {
        self.verdict = Some(verdict);
    }

    fn hold(&mut self, guard: Guard) {
        self.guards.push(guard);
    }
}

/// The production stack over a scripted target.
pub struct Bench {
    /// What was counted.
    pub metrics: Metrics,
    /// What runs.
    pub stack: ClientStack,
    /// What is asked.
    pub target: Target,
}

impl Bench {
    /// The stack over `target`; `change` what its policy says. It begins with the library's defaults.
    ///
    /// # Panics
    /// For a policy that contradicts itself.
    pub fn new(target: Target, change: impl FnOnce(&mut ClientPolicy)) -> Self {
        let metrics = Metrics::new(&Identity::default());
        let mut policy = ClientPolicy::default();
        change(&mut policy);
        let parts = Arc::new(Parts::new(&target.name, &metrics));
        let stack = ClientStack::new(policy, parts).expect("the policy of a test is sound");
        Bench { metrics, stack, target }
    }

    /// An idempotent call under a context of its own.
    ///
    /// # Errors
    /// As [`ClientStack::call`].
    pub async fn call(&self) -> Result<Answered<Told>> {
        self.ask(Ask::under(Context::root(Instant::now()))).await
    }

    /// Any call.
    ///
    /// # Errors
    /// As [`ClientStack::call`].
    pub async fn ask(&self, ask: Ask) -> Result<Answered<Told>> {
        self.stack.call(ask, &self.target).await
    }

    /// How often the target was asked.
    pub fn attempts(&self) -> usize {
        self.target.lock().len()
    }

    /// The value of the series whose line holds all of `parts`, 0 where there is none.
    ///
    /// # Panics
    /// If our own scrape cannot be read.
    pub fn value(&self, parts: &[&str]) -> f64 {
        let text = self.metrics.encode();
        let line =
            text.lines().find(|line| !line.starts_with('#') && parts.iter().all(|part| line.contains(part)));
        line.and_then(|line| line.split("} ").nth(1)?.split(' ').next())
            .map_or(0.0, |value| value.parse().expect("a number"))
    }

    /// How often a guard refused, or would have (`observe`).
    pub fn refusals(&self, guard: &str, mode: &str) -> f64 {
        self.value(&[
            "platform_client_refusals_total{",
            &format!("guard=\"{guard}\""),
            &format!("mode=\"{mode}\""),
        ])
    }
}
