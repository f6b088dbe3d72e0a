//! What does a running process say of itself? (its admin listener)

use std::path::Path;

use http::Method;
use platform_core::{
    Error, ErrorKind, Result,
    identity::Identity,
    ops::{Objectives, Operated, Own},
};
use serde::{Deserialize, de::DeserializeOwned};

use super::binary::{Client, operated};
use crate::fleet::{self, Said, Who};

/// As much of `/platform/info` as is asked here.
#[derive(Deserialize)]
struct Info {
    identity: Identity,
    slo: Objectives,
    /// Of a version before it was told, nothing.
    #[serde(default)]
    own: Own,
}

/// Asks an admin listener: `http://127.0.0.1:9464`.
///
/// # Errors
/// An address that is none, a listener that does not answer or wants a token.
pub(super) fn read(url: &str, token_file: Option<&Path>) -> Result<Operated> {
    let address = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    let Some(address) = address.filter(|rest| !rest.is_empty() && !rest.contains('/')) else {
        return Err(Error::config(format!(
            "{url} is no admin listener; write http://HOST:PORT, as the `admin` of its record in the registry says"
        )));
    };
    let who = Who::of(token_file, None)?;
    let Info { identity, slo, own } = ask(address, "/platform/info", &who)?;
    let stack: Vec<Client> = ask(address, "/platform/stack", &who)?;
    Ok(Operated { own, ..operated(identity, slo, &stack) })
}

fn ask<T: DeserializeOwned>(address: &str, path: &str, who: &Who) -> Result<T> {
    let refused = |why: String| Error::config(format!("http://{address}{path} {why}"));
    let said = fleet::run(fleet::ask_at(address, who, &Method::GET, path, None));
    let said = said.map_err(|error| match error.kind() {
        ErrorKind::Upstream => {
            let wants = ["401", "403"].iter().any(|status| error.detail().starts_with(status));
            let advice = if wants { "; name its token with --token-file FILE" } else { "" };
            refused(format!("answered {}{advice}", error.detail()))
        }
        _ => refused(format!("does not answer: {}", error.detail())),
    })?;
    let no_platform = |why: String| refused(format!("is no admin listener of this platform: {why}"));
    match said {
        Said::Json(value) => serde_json::from_value(value).map_err(|error| no_platform(error.to_string())),
        Said::Text(_) => Err(no_platform("it answers with something else than JSON".to_owned())),
    }
}
