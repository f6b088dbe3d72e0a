//! Page: one file of HTML, and what a browser may do with it.

/// The page, the same for everybody: it holds no secret, and asks for what it shows.
pub(crate) const PAGE: &str = include_str!("page.html");

/// What the page may do: run its own script and style, and ask its own listener. Both are named by their hashes, so
/// that nothing that slipped into the page would run; nobody may frame it and click for somebody else.
pub(crate) const POLICY: &str = concat!(
    "default-src 'none'; script-src 'sha256-siWN3O99/oV26ID6yuYUHANByl5jXjliWW6Jxxy+F94='; ",
    "style-src 'sha256-W4U0BOQJyEWjgDjU9qKD53j4xGEOhmgK1Qse+Gpzxx8='; ",
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
);

#[cfg(all(test, feature = "tls"))]
mod tests {
    use rustls::{SupportedCipherSuite, crypto::ring::ALL_CIPHER_SUITES};

    use super::*;

    /// Whoever changes the page learns here what its policy has to say.
    #[test]
    fn the_policy_names_what_is_in_the_page() {
        for tag in ["script", "style"] {
            let (_, rest) = PAGE.split_once(&format!("<{tag}>")).expect("the page has it once");
            let (text, rest) = rest.split_once(&format!("</{tag}>")).expect("it ends");
            assert!(!rest.contains(&format!("<{tag}")), "a second {tag} would need a hash of its own");
            let source = format!("{tag}-src 'sha256-{}'", base64(&sha256(text.as_bytes())));
            assert!(POLICY.contains(&source), "POLICY has to say {source}");
        }
        for attribute in [" style=", " onclick=", " src=", "innerHTML", "https://", "http://"] {
            assert!(!PAGE.contains(attribute), "{attribute} does not work here, or should not");
        }
    }

    fn sha256(text: &[u8]) -> Vec<u8> {
        let mut hashes = ALL_CIPHER_SUITES.iter().filter_map(|suite| match suite {
            SupportedCipherSuite::Tls13(suite) => Some(suite.common.hash_provider),
            _ => None,
        });
        let sha256 = hashes.find(|hash| hash.output_len() == 32).expect("TLS 1.3 needs SHA-256");
        sha256.hash(text).as_ref().to_vec()
    }

    fn base64(bytes: &[u8]) -> String {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let three = |chunk: &[u8]| {
            let bits = (0..3).fold(0_u32, |bits, at| bits << 8 | u32::from(*chunk.get(at).unwrap_or(&0)));
            let digit = |at: usize| match at <= chunk.len() {
                true => DIGITS[(bits >> (18 - 6 * at) & 63) as usize] as char,
                false => '=',
            };
            [digit(0), digit(1), digit(2), digit(3)]
        };
        bytes.chunks(3).flat_map(three).collect()
    }
}
