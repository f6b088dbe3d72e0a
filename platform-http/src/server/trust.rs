//! Who is believed?

use platform_core::{
    config::{Refusal, Rules},
    context::wire::Trust,
};
use serde::{Deserialize, Serialize};

use crate::{allow::covers, tls::Identity};

/// Who is believed: `server.trust`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrustConfig {
    /// Peers inside, or anybody.
    pub inbound: Inbound,
    /// With `inbound = "mtls"`: who is inside. A name that ends in `/*` stands for all that begin alike.
    pub peers: Vec<String>,
    /// May they choose versions, faults and arms, and ask for everything to be kept?
    pub overrides: bool,
}

/// Whose requests arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Inbound {
    /// Anybody's.
    Edge,
    /// Services of ours.
    #[default]
    Internal,
    /// Services of ours by their certificates, and anybody's.
    Mtls,
}

impl TrustConfig {
    /// How a peer is believed, by what its certificate names.
    pub(super) fn of(&self, peer: Option<&Identity>) -> Trust {
        let internal = match self.inbound {
            Inbound::Internal => true,
            Inbound::Edge => false,
            Inbound::Mtls => {
                peer.is_some_and(|peer| self.peers.iter().any(|name| covers(name, peer.as_str())))
            }
        };
        Trust { internal, overrides: self.overrides }
    }
}

impl Rules for TrustConfig {
    fn refusals(&self) -> Vec<Refusal> {
        match (self.inbound, self.peers.is_empty()) {
            (Inbound::Mtls, true) => vec![Refusal::new(
                "peers",
                "is empty, and with `inbound = \"mtls\"` nobody would be believed; name them, as in \"spiffe://shop/*\"",
            )],
            (Inbound::Edge | Inbound::Internal, false) => {
                vec![Refusal::new("peers", "is only read with `inbound = \"mtls\"`; write that, or no peers")]
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_inside_by_its_certificate() {
        let config = |inbound, peers: &[&str]| TrustConfig {
            inbound,
            peers: peers.iter().map(ToString::to_string).collect(),
            overrides: true,
        };
        let (edge, internal) = (config(Inbound::Edge, &[]), config(Inbound::Internal, &[]));
        let mtls = config(Inbound::Mtls, &["spiffe://shop/*", "spiffe://other/cart"]);
        for (peer, inside) in [
            (None, false),
            (Some("spiffe://shop/orders"), true),
            (Some("spiffe://other/cart"), true),
            (Some("spiffe://other/carts"), false),
        ] {
            let peer = peer.map(Identity::named);
            assert!(!edge.of(peer.as_ref()).internal && internal.of(peer.as_ref()).internal);
            assert_eq!(mtls.of(peer.as_ref()).internal, inside, "{peer:?}");
            assert!(mtls.of(peer.as_ref()).overrides);
        }
        let refusals = |config: TrustConfig| config.refusals().len();
        assert_eq!((refusals(mtls), refusals(edge), refusals(internal)), (0, 0, 0));
        assert_eq!(refusals(config(Inbound::Mtls, &[])), 1);
        assert_eq!(refusals(config(Inbound::Internal, &["spiffe://shop/*"])), 1);
    }
}
