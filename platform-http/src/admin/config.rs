//! Where operators ask, and by what they are known: the `[admin]` section.

use platform_core::config::{Refusal, Rules};
use serde::{Deserialize, Serialize};

use crate::{
    asking,
    server::{Clients, TlsConfig, no_address},
};

/// Where operators ask, and by what they are known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen; `0.0.0.0:9464` in a container, port 0 takes a free one.
    pub listen: String,
    /// A file of lines `NAME:TOKEN`, read whenever a token is shown; empty where nobody has one.
    pub token_file: String,
    /// Its certificate, and whose it asks for; `clients` is `optional` unless somebody says otherwise, because probes
    /// and scrapers show none.
    pub tls: TlsConfig,
    /// With `tls.client_ca`: who may read and change, by what their certificates name. A name that ends in `/*` stands
    /// for all that begin alike.
    pub peers: Vec<String>,
    /// How the fleet view and the command `platform` ask other listeners that have certificates.
    pub fleet: asking::Config,
}

impl Default for Config {
    fn default() -> Self {
        let tls = TlsConfig { clients: Clients::Optional, ..TlsConfig::default() };
        Config {
            listen: DEFAULT_LISTEN.to_owned(),
            token_file: String::new(),
            tls,
            peers: Vec::new(),
            fleet: asking::Config::default(),
        }
    }
}

impl Rules for Config {
    fn refusals(&self) -> Vec<Refusal> {
        let listen = no_address(&self.listen, DEFAULT_LISTEN).map(|why| Refusal::new("listen", why));
        let tls = self.tls.refusals().into_iter().map(|refusal| refusal.under("tls"));
        let peers = match (self.tls.asks(), self.peers.is_empty()) {
            (true, true) => Some(
                "is empty, and nobody's certificate would let anybody in; name them, as in \"spiffe://shop/on-call/*\"",
            ),
            (false, false) => Some("is only read with `tls.client_ca`; set that, or no peers"),
            _ => None,
        };
        let fleet = self.fleet.refusals().into_iter().map(|refusal| refusal.under("fleet"));
        let peers = peers.map(|why| Refusal::new("peers", why));
        listen.into_iter().chain(tls).chain(fleet).chain(peers).collect()
    }
}

/// The port of the contract, for this machine only: what stands there is nobody else's business until somebody
/// says so.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:9464";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_and_who_may_show_them_are_set_together() {
        let wrong = |toml: &str| {
            let config =
                platform_core::config::Config::builder().toml(format!("[admin]\n{toml}")).load().unwrap();
            let admin: Config = config.section("admin").unwrap();
            let told = config.check("admin", &admin).err().map(|error| error.to_string()).unwrap_or_default();
            (told, admin.tls.clients)
        };
        for fine in [
            "",
            "tls = { cert = 'a', key = 'b' }",
            "tls = { cert = 'a', key = 'b', client_ca = 'c' }\npeers = ['spiffe://shop/ann']",
        ] {
            assert_eq!(wrong(fine), (String::new(), Clients::Optional), "{fine}");
        }
        assert!(
            wrong("tls = { cert = 'a', key = 'b', client_ca = 'c' }").0.contains("`admin.peers` is empty")
        );
        assert!(wrong("fleet = { cert = 'a' }").0.contains("`admin.fleet.cert` and `key` belong together"));
        assert!(wrong("peers = ['a']").0.contains("`admin.peers` is only read with"));
        assert!(wrong("tls = { cert = 'a' }").0.contains("`admin.tls.key` is missing"));
        assert_eq!(wrong("tls = { clients = 'required' }").1, Clients::Required);
    }
}
