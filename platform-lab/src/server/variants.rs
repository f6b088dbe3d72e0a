//! Which servers are compared, and how is each started?

use std::{future::Future, io, pin::Pin};

use platform_core::{Error, ErrorKind, Result};

use super::{hello, platform};
use crate::{
    child::{self, Listening, Program},
    load::{Asking, EXPIRED, HELLO},
    peers,
};

/// A server to compare.
pub(crate) struct Variant {
    /// Its name in the table.
    pub(crate) name: &'static str,
    /// What to run.
    pub(crate) program: Program,
    /// What it is asked.
    pub(crate) asking: Asking,
}

/// A server that this binary itself can be.
struct Own {
    name: &'static str,
    asking: Asking,
    serve: fn(Listening) -> Served,
}

type Served = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// All servers that can be had here, and a remark when the peers cannot.
///
/// # Errors
/// This binary does not know its own path.
pub(crate) fn variants(peers: bool) -> Result<(Vec<Variant>, Option<String>)> {
    let this = Program::this()?;
    let own = |own: &Own| {
        let arguments = [SERVE, own.name].map(str::to_owned);
        Variant { name: own.name, program: this.with(arguments), asking: own.asking }
    };
    let mut variants: Vec<Variant> = OWN.iter().map(own).collect();
    if !peers {
        return Ok((variants, None));
    }
    match peers::build() {
        Ok(path) => {
            variants.extend(PEERS.iter().map(|(name, arguments)| {
                let arguments = arguments.iter().map(ToString::to_string).collect();
                Variant { name, program: Program { path: path.clone(), arguments }, asking: HELLO }
            }));
            Ok((variants, None))
        }
        Err(error) => Ok((variants, Some(format!("without the peers: {error}")))),
    }
}

/// Bare hyper: what clients call when only the client is measured.
///
/// # Errors
/// As [`variants`].
pub(crate) fn bare() -> Result<Program> {
    Ok(Program::this()?.with([SERVE, HYPER].map(str::to_owned)))
}

/// Is the server of this name until the lab lets go.
///
/// # Errors
/// No such server, or it could not serve.
pub(crate) fn serve(name: &str) -> Result<()> {
    let own = OWN
        .iter()
        .find(|own| own.name == name)
        .ok_or_else(|| Error::new(ErrorKind::Usage, format!("no server is named {name}")))?;
    child::answer(own.serve)
        .map_err(|error| Error::new(ErrorKind::Start, format!("{name} cannot serve")).with_source(error))
}

/// The hidden first argument that makes this binary a server.
pub(crate) const SERVE: &str = "serve";
/// What the clients call.
const HYPER: &str = "hyper";
/// What the others are compared with.
pub(crate) const BARE: &str = "axum";

const OWN: [Own; 5] = [
    Own { name: HYPER, asking: HELLO, serve: |listening| Box::pin(hello::hyper(listening)) },
    Own { name: BARE, asking: HELLO, serve: |listening| Box::pin(hello::axum(listening)) },
    Own { name: "platform", asking: HELLO, serve: |listening| Box::pin(platform::serve(listening, false)) },
    Own {
        name: "platform+line",
        asking: HELLO,
        serve: |listening| Box::pin(platform::serve(listening, true)),
    },
    Own {
        name: "platform+refused",
        asking: EXPIRED,
        serve: |listening| Box::pin(platform::serve(listening, false)),
    },
];
const PEERS: [(&str, &[&str]); 2] =
    [("axum+usual", &["server"]), ("axum+usual+line", &["server", "--access-line"])];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_does_not_exist_is_refused() {
        assert_eq!(serve("apache").unwrap_err().kind(), ErrorKind::Usage);
    }

    #[test]
    fn our_own_variants_are_started_by_name() {
        let (variants, remark) = variants(false).unwrap();
        assert!(remark.is_none());
        let arguments: Vec<_> = variants.iter().map(|variant| variant.program.arguments.join(" ")).collect();
        assert_eq!(
            arguments,
            ["serve hyper", "serve axum", "serve platform", "serve platform+line", "serve platform+refused"]
        );
    }
}
