//! When is the registry away?
//!
//! `at=5s,for=30s`: killed five seconds after the first user came, started again with all that it had stored half a
//! minute later.

use std::time::Duration;

use platform_core::config::duration;

/// Where instances find each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A folder; no server is needed.
    #[default]
    Dir,
    /// An etcd that the fleet starts.
    Etcd,
}

/// A registry that dies and comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outage {
    /// Counted from the first user.
    pub(crate) at: Duration,
    pub(crate) length: Duration,
}

impl Kind {
    /// The registry of this name.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "dir" => Ok(Kind::Dir),
            "etcd" => Ok(Kind::Etcd),
            _ => Err("expected dir or etcd".to_owned()),
        }
    }
}

impl Outage {
    /// Reads `at=LENGTH,for=LENGTH`.
    ///
    /// # Errors
    /// What was expected.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (mut at, mut length) = (None, None);
        for part in text.split(',').map(str::trim) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let place = match key {
                "at" => &mut at,
                "for" => &mut length,
                _ => return Err(format!("{key:?} is neither at nor for; {EXPECTED}")),
            };
            let value = duration::parse(value).map_err(|why| format!("{key}: {why}"))?;
            if place.replace(value).is_some() {
                return Err(format!("{key} is given twice"));
            }
        }
        match (at, length) {
            (Some(at), Some(length)) if !length.is_zero() => Ok(Outage { at, length }),
            _ => Err(EXPECTED.to_owned()),
        }
    }
}

const EXPECTED: &str = "expected both, as in at=5s,for=30s";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_has_a_beginning_and_a_length() {
        let outage = Outage { at: Duration::from_secs(5), length: Duration::from_secs(30) };
        for text in ["at=5s,for=30s", "for=30s, at=5s"] {
            assert_eq!(Outage::parse(text), Ok(outage));
        }
        for (text, why) in [
            ("", "expected both"),
            ("at=5s", "expected both, as in at=5s,for=30s"),
            ("at=5s,for=0s", "expected both"),
            ("at=5s,for=30", "no unit"),
            ("at=5s,at=6s", "given twice"),
            ("after=5s,for=30s", "\"after\" is neither"),
        ] {
            assert!(Outage::parse(text).unwrap_err().contains(why), "{text}: {:?}", Outage::parse(text));
        }
        assert_eq!(Kind::parse("etcd"), Ok(Kind::Etcd));
        assert!(Kind::parse("zookeeper").is_err());
    }
}
