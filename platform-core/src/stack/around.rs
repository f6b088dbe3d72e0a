//! Around: the client order around any async function: a database call, a queue, somebody else's client.

use std::{future::Future, sync::Arc};

use tokio::time::Instant;

use super::{Asked, ClientPolicy, ClientStack, Parts, Row, Storey, Targets, Wire, describe};
use crate::{
    app::App,
    call::{Call, Guard, Reply},
    context::{self, Context},
    error::Result,
    outcome::{Outcome, Verdict},
};

/// The path of every call to something that is no service of ours. Cheap to clone.
///
/// ```
/// # use std::time::Duration;
/// # use platform_core::{Result, identity::Identity, stack::{Around, ClientPolicy}, telemetry::Metrics};
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<()> {
/// # let metrics = Metrics::new(&Identity::default());
/// # async fn query(id: u64) -> Result<String> { Ok(format!("film {id}")) }
/// let mut policy = ClientPolicy::default();
/// policy.timeout = Some(Duration::from_millis(800));
/// policy.attempt_timeout = Some(Duration::from_millis(250));
/// let films = Around::new("films-db", policy, &metrics)?;
///
/// // A question may be asked twice; what changes something goes through `call`.
/// let film = films.idempotent(|_| query(7)).await?;
/// assert_eq!(film, "film 7");
/// # Ok(())
/// # }
/// ```
///
/// What an error means is what it says of itself ([`Error::outcome`](crate::Error::outcome)): make a failure of
/// the database an [`Unreachable`](crate::ErrorKind::Unreachable) or [`Upstream`](crate::ErrorKind::Upstream), and
/// a row that is not there a [`NotFound`](crate::ErrorKind::NotFound), which is no failure of its.
#[derive(Clone)]
pub struct Around(ClientStack);

impl Around {
    /// The path to `target` under `policy`, with guards of its own.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for a policy that contradicts itself.
    pub fn new(target: &str, policy: ClientPolicy, metrics: &crate::telemetry::Metrics) -> Result<Self> {
        Ok(Around(ClientStack::new(policy, Arc::new(Parts::new(&Arc::from(target), metrics)))?))
    }

    /// The path to `target` in a service: two of the same name share their guards and their budget. `policy` is
    /// what the code wants; `[defaults.policy]` does not apply, because it is about services.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of(app: &App, target: &str, policy: ClientPolicy) -> Result<Self> {
        let (targets, target) = (Targets::of(app), Arc::from(target));
        let stack = ClientStack::new(policy, targets.parts(app, &target))?;
        targets.show(&target, stack.seat(), |seat| {
            let mut rows = describe::client(&seat.policy.load(), &seat.guards);
            rows.push(function());
            rows
        });
        Ok(Around(stack))
    }

    /// Runs `work`, which changes something: it is repeated only when it was never begun, that is after an
    /// [`Unreachable`](crate::ErrorKind::Unreachable).
    ///
    /// # Errors
    /// What the last attempt failed with, or a refusal of our own.
    pub async fn call<T, F, R>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(Context) -> R + Send + Sync,
        R: Future<Output = Result<T>> + Send,
    {
        self.run(false, work).await
    }

    /// Runs `work`, which may be done twice without harm: it is repeated, or hedged, as the policy says.
    ///
    /// # Errors
    /// What the last attempt failed with, or a refusal of our own.
    pub async fn idempotent<T, F, R>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(Context) -> R + Send + Sync,
        R: Future<Output = Result<T>> + Send,
    {
        self.run(true, work).await
    }

    /// What it runs with, and who operates it.
    pub fn stack(&self) -> &ClientStack {
        &self.0
    }

    async fn run<T, F, R>(&self, idempotent: bool, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(Context) -> R + Send + Sync,
        R: Future<Output = Result<T>> + Send,
    {
        let call = Work { context: context::inherit(Instant::now()), idempotent };
        Ok(self.0.call(call, &Function { work }).await?.reply.value)
    }
}

/// What is asked: everything else is in the function.
struct Work {
    context: Context,
    idempotent: bool,
}

/// What came back: it is here as a whole.
struct Done<T> {
    value: T,
    verdict: Option<Verdict>,
}

struct Function<F> {
    work: F,
}

impl Call for Work {
    fn context(&self) -> &Context {
        &self.context
    }

    fn context_mut(&mut self) -> &mut Context {
        &mut self.context
    }

    fn repeat(&self, _body: u64) -> Option<Self> {
        Some(Work { context: self.context.clone(), idempotent: self.idempotent })
    }

    fn idempotent(&self) -> bool {
        self.idempotent
    }
}

impl<T: Send + 'static> Reply for Done<T> {
    fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }

    fn judge(&mut self, verdict: Verdict) {
        self.verdict = Some(verdict);
    }

    fn hold(&mut self, guard: Guard) {
        drop(guard);
    }
}

impl<T, F, R> Wire for Function<F>
where
    T: Send + 'static,
    F: Fn(Context) -> R + Send + Sync,
    R: Future<Output = Result<T>> + Send,
{
    type Call = Work;
    type Reply = Done<T>;

    async fn send(&self, call: Work, _asked: &Asked) -> Result<Done<T>> {
        let value = (self.work)(call.context).await?;
        let mut done = Done { value, verdict: None };
        done.judge(Verdict::new(Outcome::Success, Instant::now()));
        Ok(done)
    }

    fn describe(&self) -> Vec<Row> {
        vec![function()]
    }
}

fn function() -> Row {
    Row::new(Storey::Endpoint, "function", "What is done?")
}
