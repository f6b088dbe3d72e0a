//! The cryptography of tokens: jsonwebtoken's, by the same ring that TLS rests on.
//!
//! It brings none of its own unless a feature asks for a second library. Signing is here too, because the choice is one
//! for the whole process: a team that makes tokens with jsonwebtoken goes by it.

use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind, Result, new_error},
    jwk::{EllipticCurve, ThumbprintHash},
    signature::{self, Signer, Verifier},
};
use ring::{
    digest, hmac,
    rand::SystemRandom,
    signature as by,
    signature::{
        EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey,
    },
};

use super::keys::unsigned;

/// Makes jsonwebtoken use it, unless the process has chosen before.
pub(super) fn install() {
    // Who was first is as good: any provider verifies the same signatures.
    let _ = PROVIDER.install_default();
}

struct Verifying {
    algorithm: Algorithm,
    key: DecodingKey,
}

struct Signing {
    algorithm: Algorithm,
    key: EncodingKey,
}

impl JwtVerifier for Verifying {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl JwtSigner for Signing {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for Verifying {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), signature::Error> {
        let verified = match (self.key.kind(), Means::of(self.algorithm)) {
            (DecodingKeyKind::RsaModulusExponent { n, e }, Means::Rsa(how, _)) => {
                RsaPublicKeyComponents { n: unsigned(n), e: unsigned(e) }.verify(how, message, signature)
            }
            (DecodingKeyKind::SecretOrDer(key), Means::Rsa(how, _)) => {
                UnparsedPublicKey::new(how, key).verify(message, signature)
            }
            (DecodingKeyKind::SecretOrDer(key), Means::Ec(how, _)) => {
                UnparsedPublicKey::new(how, key).verify(message, signature)
            }
            (DecodingKeyKind::SecretOrDer(key), Means::Ed) => {
                UnparsedPublicKey::new(&by::ED25519, key).verify(message, signature)
            }
            (DecodingKeyKind::SecretOrDer(key), Means::Hmac(how)) => {
                hmac::verify(&hmac::Key::new(how, key), message, signature)
            }
            _ => return Err(signature::Error::new()),
        };
        verified.map_err(|_| signature::Error::new())
    }
}

impl Signer<Vec<u8>> for Signing {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, signature::Error> {
        let (key, dice) = (self.key.as_bytes(), SystemRandom::new());
        let failed = || signature::Error::new();
        Ok(match Means::of(self.algorithm) {
            Means::Hmac(how) => hmac::sign(&hmac::Key::new(how, key), message).as_ref().to_vec(),
            Means::Rsa(_, how) => {
                let pair = RsaKeyPair::from_der(key)
                    .or_else(|_| RsaKeyPair::from_pkcs8(key))
                    .map_err(|_| failed())?;
                let mut signed = vec![0; pair.public().modulus_len()];
                pair.sign(how, &dice, message, &mut signed).map_err(|_| failed())?;
                signed
            }
            Means::Ec(_, how) => {
                let pair = EcdsaKeyPair::from_pkcs8(how, key, &dice).map_err(|_| failed())?;
                pair.sign(&dice, message).map_err(|_| failed())?.as_ref().to_vec()
            }
            Means::Ed => {
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key).map_err(|_| failed())?;
                pair.sign(message).as_ref().to_vec()
            }
        })
    }
}

/// ring's words for an algorithm.
enum Means {
    Hmac(hmac::Algorithm),
    Rsa(&'static RsaParameters, &'static dyn by::RsaEncoding),
    Ec(&'static by::EcdsaVerificationAlgorithm, &'static by::EcdsaSigningAlgorithm),
    Ed,
}

impl Means {
    fn of(algorithm: Algorithm) -> Means {
        match algorithm {
            Algorithm::HS256 => Means::Hmac(hmac::HMAC_SHA256),
            Algorithm::HS384 => Means::Hmac(hmac::HMAC_SHA384),
            Algorithm::HS512 => Means::Hmac(hmac::HMAC_SHA512),
            Algorithm::RS256 => Means::Rsa(&by::RSA_PKCS1_2048_8192_SHA256, &by::RSA_PKCS1_SHA256),
            Algorithm::RS384 => Means::Rsa(&by::RSA_PKCS1_2048_8192_SHA384, &by::RSA_PKCS1_SHA384),
            Algorithm::RS512 => Means::Rsa(&by::RSA_PKCS1_2048_8192_SHA512, &by::RSA_PKCS1_SHA512),
            Algorithm::PS256 => Means::Rsa(&by::RSA_PSS_2048_8192_SHA256, &by::RSA_PSS_SHA256),
            Algorithm::PS384 => Means::Rsa(&by::RSA_PSS_2048_8192_SHA384, &by::RSA_PSS_SHA384),
            Algorithm::PS512 => Means::Rsa(&by::RSA_PSS_2048_8192_SHA512, &by::RSA_PSS_SHA512),
            Algorithm::ES256 => Means::Ec(&by::ECDSA_P256_SHA256_FIXED, &by::ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::ES384 => Means::Ec(&by::ECDSA_P384_SHA384_FIXED, &by::ECDSA_P384_SHA384_FIXED_SIGNING),
            // The last that the library knows.
            _ => Means::Ed,
        }
    }
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    if algorithm.family() != key.family() {
        return Err(new_error(ErrorKind::InvalidAlgorithm));
    }
    Ok(Box::new(Verifying { algorithm: *algorithm, key: key.clone() }))
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    if algorithm.family() != key.family() {
        return Err(new_error(ErrorKind::InvalidAlgorithm));
    }
    Ok(Box::new(Signing { algorithm: *algorithm, key: key.clone() }))
}

/// Making JWKs of private keys is nobody's business here.
fn unsupported<T>() -> Result<T> {
    Err(Error::from(ErrorKind::UnsupportedAlgorithm))
}

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    key_utils: KeyUtils {
        rsa_pub_components_from_private_key: |_| unsupported(),
        rsa_pub_components_from_public_key: |_| unsupported(),
        ec_pub_components_from_private_key: |_, _| unsupported::<(EllipticCurve, Vec<u8>, Vec<u8>)>(),
        ed_pub_components_from_private_key: |_, _| unsupported(),
        compute_digest: |bytes, hash| {
            let how = match hash {
                ThumbprintHash::SHA256 => &digest::SHA256,
                ThumbprintHash::SHA384 => &digest::SHA384,
                ThumbprintHash::SHA512 => &digest::SHA512,
                _ => return unsupported(),
            };
            Ok(digest::digest(how, bytes).as_ref().to_vec())
        },
    },
};
