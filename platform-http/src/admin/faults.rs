//! What goes wrong on purpose, until when, and how does it stop?
//!
//! A fault is a change like another: somebody's, with a reason, for a time. It goes back to no fault at all, even
//! where it replaced one: after an experiment nobody wants the one before it back.
//!
//! None of it can hit this listener or a probe: faults are calls of clients, by the target's name, and here a
//! server answers.

use axum::{
    Extension, Json,
    body::Body,
    extract::{Path, State},
};
use http::HeaderMap;
use platform_core::{
    Error, ErrorKind,
    app::{Change, ChangeKind},
    config::{Ratio, duration},
    fault::{Abort, DEFAULT_MAX_ACTIVE, Effect, Faults, Rule, Scope},
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    answer::Who,
    body::{self, Ask, Length, Why},
    in_force::{By, Undo},
    server::Desk,
};
use crate::Problem;

/// A fault that somebody wants.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Start {
    name: String,
    target: String,
    #[serde(default)]
    delay: Option<String>,
    #[serde(default)]
    abort: Option<Wanted>,
    /// Of both; each may have its own.
    #[serde(default)]
    share: Option<Ratio>,
    #[serde(default)]
    delay_share: Option<Ratio>,
    #[serde(default)]
    abort_share: Option<Ratio>,
    #[serde(default)]
    scope: Whose,
    #[serde(default)]
    endpoint: Option<String>,
    #[serde(default)]
    zone: Option<String>,
    #[serde(default = "most_active")]
    max_active: u32,
    why: Why,
    #[serde(default, rename = "for")]
    length: Length,
}

/// A status is a number to some people and a word to others.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "`abort` is a status or a word, such as 503, \"UNAVAILABLE\" or \"unreachable\""
)]
enum Wanted {
    Status(u16),
    Word(String),
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Whose {
    #[default]
    All,
    Consent,
}

/// Ends one, or all.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stop {
    why: Why,
}

impl Ask for Start {
    const EXAMPLE: &'static str = r#"{"name": "pay-down", "target": "payments", "abort": "503", "share": 0.01, "why": "INC-42 drill", "for": "15m"}"#;
}

impl Ask for Stop {
    const EXAMPLE: &'static str = r#"{"why": "seen enough"}"#;
}

/// What is in force.
#[derive(Debug, Serialize)]
pub(super) struct InForceNow {
    /// Under way at this moment, whosever they are.
    active: u32,
    faults: Vec<Listed>,
}

#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    /// As flags and requests write it.
    effect: String,
    scope: Whose,
    max_active: u32,
    remaining_ms: u64,
}

/// `GET /platform/faults`.
pub(super) async fn list(State(desk): State<Desk>) -> Json<InForceNow> {
    Json(in_force(desk.app.faults()))
}

/// The same of faults that are at hand.
pub(super) fn in_force(faults: &Faults) -> InForceNow {
    let now = Instant::now();
    let listed = faults.list(now).iter().map(|rule| Listed::of(rule, now)).collect();
    InForceNow { active: faults.active(), faults: listed }
}

/// `POST /platform/faults`.
pub(super) async fn start(
    State(desk): State<Desk>,
    Extension(Who(who)): Extension<Who>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Change>, Problem> {
    let asked: Start = body::read(&headers, body).await?;
    let now = Instant::now();
    let by = By { who, why: asked.why.0.clone(), length: asked.length.0 };
    let rule = asked.rule(now).map_err(|why| refuse(&why))?;
    let (name, what) = (rule.name().to_string(), told(&rule));
    let faults = desk.app.faults().clone();
    let change = desk.in_force.make((ChangeKind::Fault, subject(&name)), by, now, move || {
        faults.start(rule, now).map_err(|error| told_with_example(&error))?;
        let undo: Undo = Box::new(move || {
            faults.stop(&name, Instant::now());
            Ok(format!("no fault `{name}`"))
        });
        Ok((what, undo))
    })?;
    Ok(Json(change))
}

/// `DELETE /platform/faults/NAME`.
pub(super) async fn stop(
    State(desk): State<Desk>,
    Path(name): Path<String>,
    Extension(Who(who)): Extension<Who>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Change>, Problem> {
    let Stop { why } = body::read(&headers, body).await?;
    let faults = desk.app.faults();
    let ended = desk.in_force.end(ChangeKind::Fault, Some(&subject(&name)), &who, &why.0, || {
        let now = Instant::now();
        if faults.stop(&name, now) {
            return Ok(format!("fault `{name}` stopped"));
        }
        let there = names(faults, now);
        Err(Error::new(ErrorKind::NotFound, format!("no fault `{name}` is in force; there is {there}")))
    })?;
    Ok(Json(ended))
}

/// `DELETE /platform/faults`: the kill switch. It works however often it is pressed.
pub(super) async fn stop_all(
    State(desk): State<Desk>,
    Extension(Who(who)): Extension<Who>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Change>, Problem> {
    let Stop { why } = body::read(&headers, body).await?;
    let faults = desk.app.faults();
    let ended = desk.in_force.end(ChangeKind::Fault, None, &who, &why.0, || {
        let now = Instant::now();
        let there = names(faults, now);
        faults.stop_all(now);
        Ok(format!("all faults stopped: {there}"))
    })?;
    Ok(Json(ended))
}

impl Start {
    fn rule(self, now: Instant) -> Result<Rule, String> {
        let share = self.share.unwrap_or(Ratio::ONE);
        let delay = self.delay.map(|text| duration::parse(&text)).transpose();
        let delay = delay.map_err(|why| format!("`delay`: {why}"))?;
        let abort = self.abort.map(|wanted| match wanted {
            Wanted::Status(status) => status.to_string().parse::<Abort>(),
            Wanted::Word(word) => word.parse::<Abort>(),
        });
        let effect = match (delay, abort.transpose()?) {
            (Some(delay), Some(abort)) => Effect::delay(delay).then_abort(abort),
            (Some(delay), None) => Effect::delay(delay),
            (None, Some(abort)) => Effect::abort(abort),
            (None, None) => {
                return Err("a fault without `delay` and `abort` does nothing; write one or both".to_owned());
            }
        };
        let effect = effect
            .delay_share(self.delay_share.unwrap_or(share))
            .abort_share(self.abort_share.unwrap_or(share));
        let mut rule = Rule::new(&self.name, &self.target, effect, now + self.length.0)
            .max_active(self.max_active)
            .scope(match self.scope {
                Whose::All => Scope::All,
                Whose::Consent => Scope::Consent,
            });
        if let Some(endpoint) = &self.endpoint {
            rule = rule.endpoint(endpoint);
        }
        if let Some(zone) = &self.zone {
            rule = rule.zone(zone);
        }
        Ok(rule)
    }
}

impl Listed {
    fn of(rule: &Rule, now: Instant) -> Self {
        Listed {
            name: rule.name().to_string(),
            target: rule.target().to_owned(),
            endpoint: rule.only_endpoint().map(str::to_owned),
            zone: rule.only_zone().map(str::to_owned),
            effect: rule.effect().to_string(),
            scope: match rule.whose() {
                Scope::All => Whose::All,
                Scope::Consent => Whose::Consent,
            },
            max_active: rule.most_active(),
            remaining_ms: u64::try_from(rule.remaining(now).as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// `fault `pay-down`: abort=503,share=0.01 on payments at zone a, for who consents`.
fn told(rule: &Rule) -> String {
    let mut text = format!("fault `{}`: {} on {}", rule.name(), rule.effect(), rule.target());
    for (place, only) in [("endpoint", rule.only_endpoint()), ("zone", rule.only_zone())] {
        if let Some(only) = only {
            text.push_str(&format!(", {place} {only}"));
        }
    }
    if rule.whose() == Scope::Consent {
        text.push_str(", for requests that consent");
    }
    text
}

fn names(faults: &Faults, now: Instant) -> String {
    let names: Vec<String> = faults.list(now).iter().map(|rule| rule.name().to_string()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn refuse(why: &str) -> Problem {
    Problem::invalid(format!("{why}; send {}", Start::EXAMPLE))
}

fn told_with_example(error: &Error) -> Error {
    Error::new(error.kind(), format!("{}; send {}", error.detail(), Start::EXAMPLE))
}

/// One change is in force for one fault, and as many as there are faults.
fn subject(name: &str) -> String {
    format!("fault {name}")
}

const fn most_active() -> u32 {
    DEFAULT_MAX_ACTIVE
}
