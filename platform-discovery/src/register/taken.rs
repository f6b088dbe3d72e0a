//! Whose name is it?

use std::{
    io,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use platform_core::{Error, ErrorKind};

use crate::{endpoint::State, record::Record};

/// Whether another, who lives at `address` in this state under the name of `own`, keeps it.
///
/// One who drains is about to give the name back, and one who was killed left a port where nobody listens: its
/// successor under the same name need not wait until the lease ends. Knocks at a door; call it where blocking is
/// fine.
pub(super) fn is_taken(address: SocketAddr, state: State, own: &Record) -> bool {
    address != own.address && state == State::Ready && !is_deserted(address)
}

/// The refusal; `left` is how many seconds the other's lease has to live, where that is known.
pub(super) fn taken(address: SocketAddr, own: &Record, left: Option<u64>) -> Error {
    let lease = left.map(|left| format!(" and its lease lives for {left} s more")).unwrap_or_default();
    Error::new(
        ErrorKind::Start,
        format!(
            "another {} registered as \"{}\" at {address}{lease}; give this one (at {}) a service.instance of its own, \
             or wait",
            own.name, own.instance, own.address
        ),
    )
}

/// Does the machine of `address` itself say that nobody listens there? Silence is no such word. Blocks.
fn is_deserted(address: SocketAddr) -> bool {
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    TcpStream::connect_timeout(&address, KNOCK).is_err_and(refused)
}

/// A refusal comes at once; a machine that says nothing for so long is not asked again.
const KNOCK: Duration = Duration::from_millis(200);
