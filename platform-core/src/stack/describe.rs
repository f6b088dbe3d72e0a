//! A stack as data: for the admin page, and for the tests that hold it equal to what runs.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::Serialize;
use tokio::time::Instant;

use super::{ClientPolicy, Guards, guards};
use crate::{config::duration, recovery::Recovery};

/// One layer of a stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// How often it is asked.
    pub storey: Storey,
    /// Its name, as in the errors it makes.
    pub layer: &'static str,
    /// The question it answers.
    pub question: &'static str,
    /// What is set, as it would be written in a file.
    pub settings: BTreeMap<String, String>,
}

/// How often a layer is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Storey {
    /// Once per request that is served.
    Request,
    /// Once per call.
    Call,
    /// Once per try.
    Attempt,
    /// Once per try, about one endpoint.
    Endpoint,
}

/// A setting as it would be written in a file.
pub trait Shown {
    /// The text.
    fn shown(&self) -> String;
}

impl Row {
    /// A layer without settings.
    pub fn new(storey: Storey, layer: &'static str, question: &'static str) -> Self {
        Row { storey, layer, question, settings: BTreeMap::new() }
    }

    /// The same with a setting.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: &impl Shown) -> Self {
        self.settings.insert(key.to_owned(), value.shown());
        self
    }
}

/// The order of `client.rs` down to its wire, with what is in force: modes may have been changed since.
pub(super) fn client(policy: &ClientPolicy, guards: &Guards) -> Vec<Row> {
    use Storey::{Attempt, Call};
    let of = |storey, layer, question, settings: &dyn erased::Settings| {
        let mut row = Row { storey, layer, question, settings: settings.each() };
        if let Some(mode) = guards.mode(layer) {
            row.settings.insert("mode".to_owned(), mode.to_string());
        }
        if layer == guards::BREAKER {
            // What somebody wants to know at night: why it is open, and when it asks again.
            let state = guards.breaker.engine().state(Instant::now());
            row.settings.insert(STATE.to_owned(), state.to_string());
        }
        if layer == BUDGET {
            // Who wonders why the floor is not what the file says.
            row.settings.insert("clients".to_owned(), guards.budget.clients().to_string());
        }
        row
    };
    let recovery = match policy.recovery {
        Recovery::None => Row::new(Call, "recovery", "What if it failed?"),
        Recovery::Retry => of(Call, "recovery", "What if it failed?", &policy.retry),
        Recovery::Hedge => of(Call, "recovery", "What if it failed?", &policy.hedge),
    };
    vec![
        Row::new(Call, "context", "What travels with a request?"),
        Row::new(Call, "observe-call", "What happened?"),
        Row::new(Call, DEADLINE, "How long may it take?").with("timeout", &policy.timeout),
        of(Call, guards::RATE_LIMIT, "How often may it be called?", &policy.rate_limit),
        of(Call, guards::BULKHEAD, "How much of us may this target hold?", &policy.bulkhead),
        recovery.with("recovery", &format_args!("{}", policy.recovery.as_str())),
        of(Call, BUDGET, "What may repeats cost?", &policy.budget),
        Row::new(Attempt, "observe-attempt", "What happened?"),
        of(Attempt, guards::THROTTLE, "Is it worth sending at all?", &policy.throttle),
        of(Attempt, guards::BREAKER, "Is this target worth asking?", &policy.breaker),
        of(Attempt, guards::CONCURRENCY, "How much can this target bear right now?", &policy.concurrency),
        Row::new(Attempt, "attempt-deadline", "How long may it take?")
            .with("attempt_timeout", &policy.attempt_timeout),
    ]
}

/// A whole order: the wire stands below, but for what it says of the storey call, which is the slot under the deadline.
pub(super) fn with_wire(mut rows: Vec<Row>, wire: Vec<Row>) -> Vec<Row> {
    let (slot, below): (Vec<Row>, Vec<Row>) = wire.into_iter().partition(|row| row.storey == Storey::Call);
    let under = rows.iter().position(|row| row.layer == DEADLINE).map_or(0, |deadline| deadline + 1);
    rows.splice(under..under, slot);
    rows.extend(below);
    rows
}

/// The settings of a room as they would be written in a file.
pub(super) fn settings(room: &impl Serialize) -> BTreeMap<String, String> {
    erased::Settings::each(room)
}

/// The setting in a breaker's row that nobody has set: where it stands, which says other times at each look.
pub(super) const STATE: &str = "state";
const BUDGET: &str = "budget";
const DEADLINE: &str = "deadline";

mod erased {
    //! The settings of a room as they would be written in a file.

    use std::collections::BTreeMap;

    use serde::Serialize;
    use serde_json::Value;

    pub(super) trait Settings {
        fn each(&self) -> BTreeMap<String, String>;
    }

    impl<T: Serialize> Settings for T {
        fn each(&self) -> BTreeMap<String, String> {
            let Ok(Value::Object(fields)) = serde_json::to_value(self) else { return BTreeMap::new() };
            let shown = |value: Value| match value {
                Value::String(text) => text,
                other => other.to_string(),
            };
            fields.into_iter().map(|(key, value)| (key, shown(value))).collect()
        }
    }
}

impl Shown for Duration {
    fn shown(&self) -> String {
        // A policy made in code may be finer than a file can say.
        duration::format(*self).unwrap_or_else(|_| format!("{self:?}"))
    }
}

impl<T: Shown> Shown for Option<T> {
    fn shown(&self) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), Shown::shown)
    }
}

impl Shown for fmt::Arguments<'_> {
    fn shown(&self) -> String {
        self.to_string()
    }
}
