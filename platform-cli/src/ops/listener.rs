//! What does a running process say of itself? (its admin listener)

use http::Method;
use platform_core::{
    Error, ErrorKind, Result,
    identity::Identity,
    ops::{Objectives, Operated, Own},
};
use platform_http::asking::Asker;
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    asked::Asked,
    binary::{Client, operated},
};
use crate::{
    arguments::Arguments,
    fleet::{self, Question, Said, Who},
};

/// As much of `/platform/info` as is asked here.
#[derive(Deserialize)]
struct Info {
    identity: Identity,
    slo: Objectives,
    /// Of a version before it was told, nothing.
    #[serde(default)]
    own: Own,
}

/// Asks an admin listener: `http://127.0.0.1:9464`, `https://10.0.0.7:9464`.
///
/// # Errors
/// An address that is none, a listener that does not answer or wants a token.
pub(super) fn read(url: &str, asked: &Asked) -> Result<Operated> {
    let config = fleet::config(&Arguments::parse(&asked.reaching, &fleet::FLAGS)?)?;
    let asker = fleet::asker(&config)?;
    let who = Who::of(asked.token_file.as_deref(), None)?;
    let url = url.trim_end_matches('/');
    let Info { identity, slo, own } = ask(&asker, url, "/platform/info", &who)?;
    let stack: Vec<Client> = ask(&asker, url, "/platform/stack", &who)?;
    Ok(Operated { own, ..operated(identity, slo, &stack) })
}

fn ask<T: DeserializeOwned>(asker: &Asker, url: &str, path: &str, who: &Who) -> Result<T> {
    let refused = |why: String| Error::config(format!("{url}{path} {why}"));
    let question = Question { method: &Method::GET, path, body: None };
    let listener = asker.url(url)?;
    let said = fleet::run(fleet::ask_at(&listener, url, who, question));
    let said = said.map_err(|error| match error.kind() {
        ErrorKind::Upstream => {
            let wants = ["401", "403"].iter().any(|status| error.detail().starts_with(status));
            let advice = if wants { "; name its token with --token-file FILE" } else { "" };
            refused(format!("answered {}{advice}", error.detail()))
        }
        ErrorKind::Usage | ErrorKind::Config => error,
        _ => refused(format!("does not answer: {}", error.detail())),
    })?;
    let no_platform = |why: String| refused(format!("is no admin listener of this platform: {why}"));
    match said {
        Said::Json(value) => serde_json::from_value(value).map_err(|error| no_platform(error.to_string())),
        Said::Text(_) => Err(no_platform("it answers with something else than JSON".to_owned())),
    }
}
