//! Whose certificate is it?

use std::{fmt, sync::Arc};

/// Whom a peer's certificate names: its one SPIFFE ID, such as `spiffe://shop/orders`, else its first URI, else its
/// first DNS name.
///
/// It was verified against `server.tls.client_ca` when the peer connected. Handlers find it among a request's
/// extensions; a request of a peer without a certificate has none.
///
/// ```
/// use axum::Extension;
/// use platform_http::tls::Identity;
///
/// async fn hello(peer: Option<Extension<Identity>>) -> String {
///     peer.map_or("who are you?".to_owned(), |Extension(peer)| format!("hello, {peer}"))
/// }
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Identity(Arc<str>);

impl Identity {
    /// As it stands in the certificate.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whom a certificate that was verified names; nobody if it has two SPIFFE IDs, which is not allowed, or no name
    /// at all.
    #[cfg(feature = "tls")]
    pub(super) fn of(certificate: &rustls::pki_types::CertificateDer<'_>) -> Option<Self> {
        let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
        let uris: Vec<&str> = certificate.valid_uri_names().filter(|uri| is_printable(uri)).collect();
        let mut spiffe = uris.iter().filter(|uri| uri.starts_with(SPIFFE));
        let name = match (spiffe.next(), spiffe.next()) {
            (Some(_), Some(_)) => return None,
            (Some(one), None) => Some(*one),
            (None, _) => uris.first().copied(),
        };
        name.or_else(|| certificate.valid_dns_names().next()).map(|name| Identity(Arc::from(name)))
    }

    #[cfg(test)]
    pub(crate) fn named(name: &str) -> Self {
        Identity(Arc::from(name))
    }
}

/// It stands in lines and problem documents: nothing that a line could break at, and no more than SPIFFE allows.
#[cfg(feature = "tls")]
fn is_printable(uri: &str) -> bool {
    uri.len() <= LONGEST && uri.bytes().all(|byte| byte.is_ascii_graphic())
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.0).finish()
    }
}

#[cfg(feature = "tls")]
const SPIFFE: &str = "spiffe://";
/// Bytes of a SPIFFE ID (SPIFFE-ID, section 2.3).
#[cfg(feature = "tls")]
const LONGEST: usize = 2048;

#[cfg(test)]
#[cfg(feature = "tls")]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    fn named(names: Vec<SanType>) -> Option<String> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Identity::of(certificate.der()).map(|identity| identity.to_string())
    }

    #[test]
    fn a_certificate_names_one_peer_or_nobody() {
        let uri = |uri: &str| SanType::URI(uri.try_into().unwrap());
        let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
        let rows = [
            (vec![uri("spiffe://shop/orders")], Some("spiffe://shop/orders")),
            (
                vec![dns("orders.shop"), uri("https://x/"), uri("spiffe://shop/orders")],
                Some("spiffe://shop/orders"),
            ),
            (vec![uri("spiffe://shop/orders"), uri("spiffe://shop/edge")], None),
            (vec![dns("orders.shop"), uri("urn:orders")], Some("urn:orders")),
            (vec![dns("orders.shop"), dns("other.shop")], Some("orders.shop")),
            (vec![uri("spiffe://shop/a\nb"), dns("orders.shop")], Some("orders.shop")),
            (vec![], None),
        ];
        for (names, wanted) in rows {
            assert_eq!(named(names.clone()).as_deref(), wanted, "{names:?}");
        }
    }
}
