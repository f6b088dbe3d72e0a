//! What of a client, and of a server, may be switched while it runs?
//!
//! The modes of their guards, a client's breaker, a part of its policy. What is changed of a client is laid over what the files and the code set, so
//! that its way back takes nothing else with it; a mode and a policy that were changed one after the other may go back
//! in any order.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Body,
    extract::{Path, State},
};
use http::HeaderMap;
use platform_core::{
    Error, ErrorKind,
    admission::breaker::Forced,
    app::{Change, ChangeKind},
    config::Mode,
    stack::{Before, GUARDS, Guarding, Overlay, Parts, ServerGuards, Servers, Targets},
};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::{
    answer::Who,
    body::{self, Ask, Length, Why},
    in_force::{By, Undo},
    server::Desk,
};
use crate::Problem;

/// Another mode of one guard.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Switch {
    mode: Mode,
    /// Whose; of every target that is called, if nobody says.
    #[serde(default)]
    target: Option<String>,
    why: Why,
    #[serde(default, rename = "for")]
    length: Length,
}

/// Another mode of one of the server's guards.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServerSwitch {
    mode: Mode,
    why: Why,
    #[serde(default, rename = "for")]
    length: Length,
}

/// A hand on a breaker, or off it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hold {
    state: Wanted,
    why: Why,
    #[serde(default, rename = "for")]
    length: Option<Length>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Wanted {
    Open,
    Closed,
    Auto,
}

/// A part of a policy.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Partial {
    policy: Value,
    why: Why,
    #[serde(default, rename = "for")]
    length: Length,
}

impl Ask for Switch {
    const EXAMPLE: &'static str =
        r#"{"mode": "observe", "target": "payments", "why": "INC-42", "for": "30m"}"#;
}

impl Ask for ServerSwitch {
    const EXAMPLE: &'static str = r#"{"mode": "observe", "why": "INC-42", "for": "30m"}"#;
}

impl Ask for Hold {
    const EXAMPLE: &'static str =
        r#"{"state": "open", "why": "INC-42, payments answers nonsense", "for": "30m"}"#;
}

impl Ask for Partial {
    const EXAMPLE: &'static str =
        r#"{"policy": {"timeout": "2s", "retry": {"max_attempts": 2}}, "why": "INC-42", "for": "30m"}"#;
}

/// `PUT /platform/modes/GUARD`.
pub(super) async fn mode(
    State(desk): State<Desk>,
    Path(guard): Path<String>,
    Extension(Who(who)): Extension<Who>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Change>, Problem> {
    let Switch { mode, target, why, length } = body::read(&headers, body).await?;
    let by = By { who, why: why.0, length: length.0 };
    if guard == EJECT {
        return Ok(Json(eject(&desk, by, target, mode)?));
    }
    let overlay = Overlay::mode(&guard, mode).ok_or_else(|| {
        let known = GUARDS.join(", ");
        Problem::not_found(format!("there is no guard `{guard}`; there is {known}, {EJECT}"))
    })?;
    let parts = Targets::of(&desk.app).called(target.as_deref())?;
    let whose = target.map_or_else(String::new, |target| format!(" of {target}"));
    let subject = format!("mode {guard}{whose}");
    let told = move |parts: &[Arc<Parts>]| modes(&guard, parts);
    Ok(Json(lay::<Switch>(&desk, (ChangeKind::Mode, subject), by, parts, overlay, told)?))
}

/// `PUT /platform/modes/server/GUARD`: in every class of requests.
pub(super) async fn server_mode(
    State(desk): State<Desk>,
    Path(guard): Path<String>,
    Extension(Who(who)): Extension<Who>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Change>, Problem> {
    let ServerSwitch { mode, why, length } = body::read(&headers, body).await?;
    let Some(guard) = Guarding::ALL.into_iter().find(|known| known.as_str() == guard) else {
        let known = Guarding::ALL.map(Guarding::as_str).join(", ");
        return Err(Problem::not_found(format!("a server has no guard `{guard}`; there is {known}")));
    };
    let served = Servers::of(&desk.app).guards();
    if served.is_empty() {
        return Err(Problem::not_found("this process has no server with guards"));
    }
    let by = By { who, why: why.0, length: length.0 };
    let subject = format!("mode {guard} of the server");
    let change = desk.in_force.make((ChangeKind::Mode, subject), by, Instant::now(), move || {
        let before: Vec<(Arc<ServerGuards>, Before)> = served
            .into_iter()
            .map(|guards| {
                let before = guards.set_mode(guard, mode);
                (guards, before)
            })
            .collect();
        let undo: Undo = Box::new(move || {
            before.iter().for_each(|(guards, before)| guards.restore(before));
            let mode = before.first().map_or(Mode::Off, |(guards, _)| guards.mode(guard));
            Ok(server_told(guard, mode))
        });
        Ok((server_told(guard, mode), undo))
    })?;
    Ok(Json(change))
}

fn server_told(guard: Guarding, mode: Mode) -> String {
    format!("mode of the server's {guard}: {mode}")
}

/// The balancers' guard, which is nobody's policy: endpoints that are left out.
fn eject(desk: &Desk, by: By, target: Option<String>, mode: Mode) -> Result<Change, Error> {
    let discovery = crate::discovery(&desk.app)?;
    // A target that nobody calls is a mistake, and told as everywhere.
    Targets::of(&desk.app).called(target.as_deref())?;
    let whose = target.as_ref().map_or_else(String::new, |target| format!(" of {target}"));
    let subject = format!("mode {EJECT}{whose}");
    let (name, asked) = (subject.clone(), target.clone());
    let told = move |modes: Vec<(Arc<str>, Mode)>| {
        let is_asked = |name: &Arc<str>| asked.as_deref().is_none_or(|asked| asked == &**name);
        let asked = modes.iter().filter(|(target, _)| is_asked(target));
        let each: Vec<String> = asked.map(|(target, mode)| format!("{target} {}", mode.as_str())).collect();
        format!("mode of {EJECT}: {}", if each.is_empty() { "unused".to_owned() } else { each.join(", ") })
    };
    desk.in_force.make((ChangeKind::Mode, subject), by, Instant::now(), move || {
        let what = told(discovery.lay_eject_mode(&name, target.as_deref(), mode));
        let undo: Undo = Box::new(move || Ok(told(discovery.lift_eject_mode(&name))));
        Ok((what, undo))
    })
}

/// `PUT /platform/policy/CLIENT`.
pub(super) async fn policy(
    State(desk): State<Desk>,
    Path(client): Path<String>,
    Extension(Who(who)): Extension<Who>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Change>, Problem> {
    let Partial { policy, why, length } = body::read(&headers, body).await?;
    let parts = Targets::of(&desk.app).called(Some(&client))?;
    if policy.as_object().is_some_and(serde_json::Map::is_empty) {
        let example = Partial::EXAMPLE;
        return Err(Problem::invalid(format!("`policy` is empty and would change nothing; send {example}")));
    }
    let by = By { who, why: why.0, length: length.0 };
    let subject = format!("policy of {client}");
    // What is laid is told once; what is in force without it is what is configured.
    let mut laid = Some(policy.to_string());
    let told = move |_: &[Arc<Parts>]| match laid.take() {
        Some(laid) => format!("policy of {client}: {laid}"),
        None => format!("policy of {client}"),
    };
    let overlay = Overlay::partial(policy);
    Ok(Json(lay::<Partial>(&desk, (ChangeKind::Policy, subject), by, parts, overlay, told)?))
}

/// `PUT /platform/breakers/TARGET`.
pub(super) async fn breaker(
    State(desk): State<Desk>,
    Path(target): Path<String>,
    Extension(Who(who)): Extension<Who>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Change>, Problem> {
    let Hold { state, why, length } = body::read(&headers, body).await?;
    let parts = Targets::of(&desk.app).called(Some(&target))?;
    let subject = format!("breaker of {target}");
    let force = move |hand: Option<Forced>| -> Option<Forced> {
        parts.iter().fold(None, |before, parts| parts.force(hand).or(before))
    };
    let hand = match state {
        Wanted::Open => Forced::Open,
        Wanted::Closed => Forced::Closed,
        Wanted::Auto => {
            if length.is_some() {
                return Err(Problem::invalid(
                    "`for` has no meaning with \"auto\", which leaves nothing that could go back; leave it out",
                ));
            }
            let auto = || {
                force(None);
                Ok(held(&target, None))
            };
            let change = desk.in_force.end(ChangeKind::Breaker, Some(&subject), &who, &why.0, auto)?;
            return Ok(Json(change));
        }
    };
    let by = By { who, why: why.0, length: length.unwrap_or_default().0 };
    let mut what = held(&target, Some(hand));
    let modes = Targets::of(&desk.app).called(Some(&target))?;
    if modes.iter().any(|parts| parts.modes(BREAKER).iter().any(|mode| !mode.enforces())) {
        // Who opens a breaker at night should not have to find out why nothing happens.
        what.push_str(&format!("; {}, and only enforce refuses calls", self::modes(BREAKER, &modes)));
    }
    let change = desk.in_force.make((ChangeKind::Breaker, subject), by, Instant::now(), move || {
        let before = force(Some(hand));
        let undo: Undo = Box::new(move || {
            force(before);
            Ok(held(&target, before))
        });
        Ok((what, undo))
    })?;
    Ok(Json(change))
}

/// Lays `overlay` over the policies of `parts`, all or none; `told` says what is then in force.
fn lay<A: Ask>(
    desk: &Desk,
    (kind, subject): (ChangeKind, String),
    by: By,
    parts: Vec<Arc<Parts>>,
    overlay: Overlay,
    mut told: impl FnMut(&[Arc<Parts>]) -> String + Send + 'static,
) -> Result<Change, Error> {
    let name = subject.clone();
    desk.in_force.make((kind, subject), by, Instant::now(), move || {
        for parts in &parts {
            parts.fits(&overlay).map_err(|error| explained::<A>(parts.target(), &error))?;
        }
        parts.iter().for_each(|parts| parts.lay(&name, overlay.clone()));
        let what = told(&parts);
        let undo: Undo = Box::new(move || {
            parts.iter().for_each(|parts| parts.lift(&name));
            Ok(told(&parts))
        });
        Ok((what, undo))
    })
}

/// `mode of breaker: catalog observe, payments enforce`.
fn modes(guard: &str, parts: &[Arc<Parts>]) -> String {
    let each = parts.iter().map(|parts| {
        let modes: Vec<&str> = parts.modes(guard).iter().map(|mode| mode.as_str()).collect();
        // Its last client may have gone in the meantime.
        let modes = if modes.is_empty() { "unused".to_owned() } else { modes.join(" and ") };
        format!("{} {modes}", parts.target())
    });
    format!("mode of {guard}: {}", each.collect::<Vec<_>>().join(", "))
}

fn held(target: &str, hand: Option<Forced>) -> String {
    let how = match hand {
        None => "back to its rules",
        Some(Forced::Open) => "held open by hand",
        Some(Forced::Closed) => "held closed by hand",
    };
    format!("breaker of {target} {how}")
}

/// In a file it is a bad configuration; here it is the mistake of who asks.
fn explained<A: Ask>(target: &str, error: &Error) -> Error {
    Error::new(ErrorKind::Invalid, format!("{target}: {}; send {}", error.detail(), A::EXAMPLE))
}

const BREAKER: &str = "breaker";
const EJECT: &str = "eject";
