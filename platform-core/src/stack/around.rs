//! Around: the client order around any async function: a database call, a queue, somebody else's client.

use std::{future::Future, sync::Arc};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Asked, ClientPolicy, ClientStack, Parts, Row, Sending, Storey, Targets, Wire, describe};
use crate::{
    app::App,
    call::{Call, Guard, Reply},
    config::{Config, Name, Refusal, Rules},
    context::{self, Context},
    error::{Error, Result},
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

    /// The path to `target` in a service: two of the same name share their guards and their budget.
    ///
    /// `policy` is what the code wants, and `[clients.TARGET]` is stronger, with the keys of any client's policy and no
    /// others: the rest is about services, and so is `[defaults.policy]`, which does not apply.
    ///
    /// ```toml
    /// [clients.films-db]
    /// policy = { timeout = "800ms", bulkhead = { max_in_flight = 20 } }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for a target that is no name, an unknown key, a value that makes
    /// no sense, and a policy that contradicts itself.
    pub fn of(app: &App, target: &str, policy: ClientPolicy) -> Result<Self> {
        let policy = configured(app.config(), target, policy)?;
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

/// `[clients.NAME]` of what is no service.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Section {
    policy: ClientPolicy,
}

impl Rules for Section {
    fn refusals(&self) -> Vec<Refusal> {
        self.policy.refusals().into_iter().map(|refusal| refusal.under("policy")).collect()
    }
}

/// What counts for `target`: what its section says, over what the code wants.
fn configured(config: &Config, target: &str, policy: ClientPolicy) -> Result<ClientPolicy> {
    let name = Name::parse(target).map_err(|why| Error::config(format!("a client's name: {why}")))?;
    let at = format!("clients.{name}");
    let mut section = config.overlay(&Section { policy }, &at)?;
    let sets = |key: &str| config.has(&format!("{at}.policy.{key}"));
    if sets("timeout") && !sets("attempt_timeout") && section.policy.fit() {
        // Read once more, so that what is shown is what counts.
        section = config.overlay(&section, &at)?;
    }
    config.check(&at, &section)?;
    Ok(section.policy)
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

    fn is_read(&self) -> bool {
        true
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

    async fn send(&self, call: &mut Sending<Work>, _asked: &Asked) -> Result<Done<T>> {
        let value = (self.work)(call.take().context).await?;
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const fn ms(ms: u64) -> Option<Duration> {
        Some(Duration::from_millis(ms))
    }

    fn policy(toml: &str) -> Result<ClientPolicy> {
        let config = Config::builder().toml(toml).load()?;
        let code = ClientPolicy { timeout: ms(2_000), attempt_timeout: ms(1_000), ..ClientPolicy::default() };
        let policy = configured(&config, "films-db", code)?;
        // Others may share the file.
        config.claim("defaults")?;
        config.refuse_unclaimed().map(|()| policy)
    }

    #[test]
    fn its_section_is_stronger_than_the_code_and_defaults_are_about_services() {
        let limits = |toml| policy(toml).map(|policy| (policy.timeout, policy.attempt_timeout)).unwrap();
        assert_eq!(limits("[defaults.policy]\ntimeout = \"5s\""), (ms(2_000), ms(1_000)));
        assert_eq!(limits("[clients.films-db.policy]\ntimeout = \"3s\""), (ms(3_000), ms(1_000)));
        let shorter = "[clients.films-db.policy]\ntimeout = \"800ms\"";
        assert_eq!(limits(shorter), (ms(800), ms(800)), "who shortens the call shortens its attempts");
        let inner = "[clients.films-db]\npolicy = { bulkhead = { max_in_flight = 20 } }";
        assert_eq!(policy(inner).unwrap().bulkhead.max_in_flight, 20);

        let config = Config::builder().toml(shorter).load().unwrap();
        configured(&config, "films-db", ClientPolicy::default()).unwrap();
        let shown = config.effective();
        let attempt = shown.iter().find(|one| one.key == "clients.films-db.policy.attempt_timeout").unwrap();
        assert_eq!(attempt.value, "800ms", "what is shown is what counts");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let table = [
            ("[clients.films-db.policy]\ntimout = \"1s\"", "did you mean `clients.films-db.policy.timeout`"),
            ("[clients.films-db]\ntarget = \"dir://films\"", "clients.films-db.target"),
            ("[clients.films-db.connect]\ntimeout = \"1s\"", "clients.films-db.connect"),
            ("[clients.films-db.policy]\nattempt_timeout = \"3s\"", "longer than the whole call (2s)"),
            ("[clients.film-db.policy]\ntimeout = \"1s\"", "clients.film-db"),
        ];
        for (toml, part) in table {
            let error = policy(toml).unwrap_err();
            assert!(error.detail().contains(part), "{toml}: {error}");
        }
        let error = configured(&Config::default(), "Films DB", ClientPolicy::default()).unwrap_err();
        assert!(error.detail().contains("a client's name"), "{error}");
    }
}
