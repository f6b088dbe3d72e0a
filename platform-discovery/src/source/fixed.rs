//! Endpoints that are written in the target.

use futures_util::stream;
use platform_core::{Error, ErrorKind};

use crate::{
    endpoint::{Endpoint, Found},
    resolve::{Resolve, Snapshot, Snapshots},
    target::{Place, Target},
};

/// The addresses of a `fixed://` target: one answer, true for ever.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fixed;

impl Resolve for Fixed {
    fn resolve(&self, target: &Target) -> Snapshots {
        let answer = match target.place() {
            Place::Fixed(addresses) => {
                Ok(Snapshot::new(addresses.iter().map(|address| Found::new(Endpoint::at(*address)))))
            }
            _ => Err(Error::new(ErrorKind::Internal, format!("{target} holds no fixed addresses"))),
        };
        Box::pin(stream::iter([answer]))
    }

    fn describe(&self, _target: &Target) -> String {
        "fixed".to_owned()
    }
}
