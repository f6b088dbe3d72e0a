//! Is this token good?

use jsonwebtoken::{Validation, decode, decode_header, errors::ErrorKind as Wrong};
use serde_json::{Map, Value};

use super::{Bearer, BearerConfig, keys::Key, ring};

/// What a token has to say; and with which keys it may be signed.
pub(super) struct Checks {
    keys: Vec<(Key, Validation)>,
}

impl Checks {
    pub(super) fn new(config: &BearerConfig, keys: Vec<Key>) -> Self {
        ring::install();
        let checked = keys.into_iter().map(|key| {
            // One algorithm, the key's: what a token says of it is compared and never obeyed.
            let mut checks = Validation::new(key.algorithm);
            checks.leeway = config.leeway.as_secs();
            checks.validate_nbf = true;
            checks.set_issuer(&[&config.issuer]);
            checks.set_audience(&[&config.audience]);
            checks.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
            (key, checks)
        });
        Checks { keys: checked.collect() }
    }

    /// What `token` says, if it is good; else why not, in words that show nothing of it.
    pub(super) fn check(&self, token: &str) -> Result<Bearer, &'static str> {
        if token.len() > LONGEST {
            return Err("the token is longer than 8 KiB");
        }
        let header = decode_header(token).map_err(|error| match error.kind() {
            // An `alg` that nobody knows; `none` is one of these.
            Wrong::Json(_) => "its header cannot be read, or names an algorithm that is not accepted",
            _ => "it is no JWT: three parts of base64url with points between them",
        })?;
        if header.crit.is_some() {
            // RFC 7515, section 4.1.11: who does not understand them must refuse.
            return Err("it has critical headers, and none is understood here");
        }
        let meant = self.keys.iter().filter(|(key, _)| match (&key.id, &header.kid) {
            (Some(known), Some(meant)) => known == meant,
            // A key without a name, or a token that names none.
            _ => true,
        });
        let (mut met, mut signed_by_other) = (false, false);
        for (key, checks) in meant {
            match decode::<Map<String, Value>>(token, &key.verifying, checks) {
                Ok(told) => {
                    return Bearer::of(told.claims).ok_or("its subject is no line of 1 to 255 characters");
                }
                // Another key may have signed it.
                Err(error) if *error.kind() == Wrong::InvalidAlgorithm => met = true,
                Err(error) if *error.kind() == Wrong::InvalidSignature => signed_by_other = true,
                Err(error) => return Err(words(error.kind())),
            }
        }
        Err(match (met, signed_by_other) {
            (_, true) => words(&Wrong::InvalidSignature),
            (true, false) => words(&Wrong::InvalidAlgorithm),
            (false, false) => "no key here has the name that it gives (kid)",
        })
    }
}

fn words(wrong: &Wrong) -> &'static str {
    match wrong {
        Wrong::InvalidSignature => "none of the keys here has signed it",
        Wrong::InvalidAlgorithm => "it names another algorithm than that of the keys here",
        Wrong::ExpiredSignature => "it has ended",
        Wrong::ImmatureSignature => "it has not begun",
        Wrong::InvalidIssuer => "another issuer has issued it",
        Wrong::InvalidAudience => "it is for another audience",
        Wrong::MissingRequiredClaim(claim) => match claim.as_str() {
            "exp" => "it does not say when it ends (exp)",
            "iss" => "it does not say who issued it (iss)",
            "aud" => "it does not say for whom it is (aud)",
            _ => "it does not say whom it names (sub)",
        },
        Wrong::InvalidClaimFormat(_) => "a time in it is no number",
        _ => "it is no JWT: its parts cannot be read",
    }
}

/// Twice what the largest issuers make; headers in all may have 64 KiB.
const LONGEST: usize = 8 * 1024;
