//! Which keys sign tokens, and what does each of them sign with?
//!
//! The algorithm belongs to the key and is settled when the file is read: that of a JWK is its `alg`, else the usual
//! one of its kind. A token only says which of them it means.

use std::path::PathBuf;

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse},
};
use platform_discovery::tls::{NamedFile, Wrong};
use rustls::pki_types::{SubjectPublicKeyInfoDer, alg_id, pem::PemObject as _};

/// One public key.
pub(super) struct Key {
    /// What a token calls it; a key without a name may be meant by any.
    pub(super) id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) verifying: DecodingKey,
}

/// The keys of all files.
///
/// # Errors
/// A file cannot be read or used; the key that names it is in the text, and nothing that stands in it.
pub(super) fn load(files: &[PathBuf]) -> Result<Vec<Key>, Wrong> {
    let mut keys = Vec::new();
    for path in files {
        let file = NamedFile { key: KEYS, path };
        let text = file.read()?;
        let found =
            if text.trim_ascii_start().starts_with(b"{") { set(file, &text)? } else { pem(file, &text)? };
        keys.extend(found);
        if keys.len() > MOST_KEYS {
            return Err(file
                .wrong(format!("with it there are more than {MOST_KEYS} keys; an issuer has two or three")));
        }
    }
    Ok(keys)
}

/// A JWK Set. Keys for other purposes stand in it too and are passed over.
fn set(file: NamedFile<'_>, text: &[u8]) -> Result<Vec<Key>, Wrong> {
    // serde's words may show what it stumbled over.
    let set: JwkSet = serde_json::from_slice(text).map_err(|error| {
        file.wrong(format!("it is no JWK Set (line {}, column {})", error.line(), error.column()))
    })?;
    let mut keys = Vec::new();
    for jwk in &set.keys {
        if matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_)) {
            return Err(file.wrong(SECRET));
        }
        if let Some((algorithm, verifying)) = of_jwk(jwk).map_err(|why| file.wrong(why))? {
            keys.push(Key { id: jwk.common.key_id.clone(), algorithm, verifying });
        }
    }
    if keys.is_empty() { Err(file.wrong(NOBODY)) } else { Ok(keys) }
}

/// A key and its algorithm; `None` for a key that signs no tokens or of a kind that nobody here knows.
fn of_jwk(jwk: &Jwk) -> Result<Option<(Algorithm, DecodingKey)>, &'static str> {
    if jwk.common.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature) {
        return Ok(None);
    }
    let named = match jwk.common.key_algorithm {
        None => None,
        Some(named) => match Algorithm::try_from(named) {
            Ok(named) => Some(named),
            Err(_) => return Ok(None),
        },
    };
    let verifying = DecodingKey::from_jwk(jwk).map_err(|_| "a key in it is broken");
    let (usual, fits): (Algorithm, &[Algorithm]) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, RSA),
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, &[Algorithm::ES256])
        }
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => {
            (Algorithm::ES384, &[Algorithm::ES384])
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, &[Algorithm::EdDSA])
        }
        _ => return Ok(None),
    };
    let algorithm = named.unwrap_or(usual);
    if !fits.contains(&algorithm) {
        return Err("the `alg` of a key in it is for another kind of key");
    }
    let verifying = verifying?;
    check_size(algorithm, &verifying)?;
    Ok(Some((algorithm, verifying)))
}

/// PEM, one key or several.
fn pem(file: NamedFile<'_>, text: &[u8]) -> Result<Vec<Key>, Wrong> {
    let mut keys = Vec::new();
    for found in SubjectPublicKeyInfoDer::pem_slice_iter(text) {
        let found = found.map_err(|_| file.wrong("it is neither a JWK Set nor PEM"))?;
        let (algorithm, verifying) = of_der(&found).map_err(|why| file.wrong(why))?;
        keys.push(Key { id: None, algorithm, verifying });
    }
    if keys.is_empty() { Err(file.wrong(NOBODY)) } else { Ok(keys) }
}

/// SubjectPublicKeyInfo (RFC 5280, section 4.1): what algorithm the key is for, and its bits.
fn of_der(der: &[u8]) -> Result<(Algorithm, DecodingKey), &'static str> {
    let broken = "a key in it is broken";
    let (whole, _) = element(der, SEQUENCE).ok_or(broken)?;
    let (algorithm, rest) = element(whole, SEQUENCE).ok_or(broken)?;
    let (bits, _) = element(rest, BIT_STRING).ok_or(broken)?;
    // The first byte says how many of the last one's bits are none; keys are whole bytes.
    let key = bits.strip_prefix(&[0]).ok_or(broken)?;
    let (algorithm, verifying) = if algorithm == alg_id::RSA_ENCRYPTION.as_ref() {
        let (numbers, _) = element(key, SEQUENCE).ok_or(broken)?;
        let (modulus, rest) = element(numbers, INTEGER).ok_or(broken)?;
        let (exponent, _) = element(rest, INTEGER).ok_or(broken)?;
        (Algorithm::RS256, DecodingKey::from_rsa_raw_components(unsigned(modulus), unsigned(exponent)))
    } else if algorithm == alg_id::ECDSA_P256.as_ref() {
        (Algorithm::ES256, DecodingKey::from_ec_der(key))
    } else if algorithm == alg_id::ECDSA_P384.as_ref() {
        (Algorithm::ES384, DecodingKey::from_ec_der(key))
    } else if algorithm == alg_id::ED25519.as_ref() {
        (Algorithm::EdDSA, DecodingKey::from_ed_der(key))
    } else {
        return Err("this kind of key cannot be used; RSA, ECDSA (P-256, P-384) and Ed25519 can");
    };
    check_size(algorithm, &verifying)?;
    Ok((algorithm, verifying))
}

/// A key that no signature could be checked with would refuse every token, and nobody would know why.
fn check_size(algorithm: Algorithm, key: &DecodingKey) -> Result<(), &'static str> {
    use jsonwebtoken::DecodingKeyKind::{RsaModulusExponent, SecretOrDer};
    let fits = match (algorithm, key.kind()) {
        (_, RsaModulusExponent { n, .. }) => {
            if (LEAST_RSA..=MOST_RSA).contains(&unsigned(n).len()) {
                return Ok(());
            }
            return Err("an RSA key in it has fewer than 2048 bits or more than 8192");
        }
        (Algorithm::ES256, SecretOrDer(point)) => point.len() == 65 && point[0] == UNCOMPRESSED,
        (Algorithm::ES384, SecretOrDer(point)) => point.len() == 97 && point[0] == UNCOMPRESSED,
        (_, SecretOrDer(point)) => point.len() == 32,
    };
    if fits { Ok(()) } else { Err("a key in it is broken: its point has another size") }
}

/// The contents of the first element of `der` if it has this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = der.split_first()?;
    let (&length, rest) = rest.split_first()?;
    if first != tag {
        return None;
    }
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        // Keys of 8192 bits need two bytes to say their length.
        0x81 | 0x82 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// A positive number without the zeros that stand before it.
pub(super) fn unsigned(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// The key that names the files.
pub(super) const KEYS: &str = "server.bearer.keys";
/// Each is tried that a token could mean: what a request may cost is bounded.
const MOST_KEYS: usize = 32;
const RSA: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];
const NOBODY: &str =
    "there is no public key in it that signs tokens: write a JWK Set, or PEM (BEGIN PUBLIC KEY)";
const SECRET: &str = "there is a shared secret in it (kty `oct`): whoever can check a token with it can make one; use a \
                      key pair and write the public half here";
/// Bytes of a modulus: 2048 to 8192 bits, what ring verifies.
const LEAST_RSA: usize = 256;
const MOST_RSA: usize = 1024;
/// SEC 1, section 2.3.3.
const UNCOMPRESSED: u8 = 4;
const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
const INTEGER: u8 = 0x02;
