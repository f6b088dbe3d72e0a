//! What does an instance say about itself in a registry?
//!
//! The same JSON in every registry. Reading is generous, because writers of other versions share the
//! registry: unknown fields are ignored, absent ones have their usual meaning. What makes no sense is left
//! out and counted; one bad record never costs the others.

use std::{net::SocketAddr, time::Duration};

use platform_core::{error::one_line, identity::DEFAULT_VARIANT};
use serde::{Deserialize, Deserializer, Serialize};
use tokio::time::Instant;

use crate::{
    endpoint::{Endpoint, Protocol, State, is_callable},
    target::is_service_name,
};

/// One instance's entry in a registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The service.
    pub name: String,
    /// This process among its equals.
    pub instance: String,
    /// Where it is called.
    pub address: SocketAddr,
    /// Where its operators look.
    #[serde(default, deserialize_with = "address_or_nothing")]
    pub admin: Option<SocketAddr>,
    /// Whether they have to speak TLS there; not written where they need not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub admin_tls: bool,
    /// What it speaks.
    #[serde(default)]
    pub protocol: Protocol,
    /// Whether it takes new calls.
    #[serde(default)]
    pub state: State,
    /// Where it runs.
    #[serde(default)]
    pub zone: String,
    /// Which version it runs.
    #[serde(default)]
    pub version: String,
    /// Which of the versions that run side by side.
    #[serde(default = "usual_variant")]
    pub variant: String,
    /// Its share of the traffic relative to the others.
    #[serde(default = "usual_weight")]
    pub weight: u32,
    /// The team that is called at night.
    #[serde(default)]
    pub owner: String,
    /// When the record is void unless it is renewed: milliseconds since 1970.
    pub expires_unix_ms: u64,
}

impl Record {
    /// Reads the record of `instance` of `name`, as a registry of one's own may keep it.
    ///
    /// # Errors
    ///
    /// In a few words what makes no sense: one line, whatever was written.
    pub fn read(bytes: &[u8], name: &str, instance: &str) -> Result<Self, String> {
        if bytes.len() > MAX_BYTES {
            return Err(format!("it is larger than {MAX_BYTES} bytes"));
        }
        // serde's words hold what it stumbled over, as it was written.
        let record: Record = serde_json::from_slice(bytes)
            .map_err(|error| one_line(brief(&error.to_string(), LONGEST_TOLD)).into_owned())?;
        if record.name != name {
            return Err(format!("it is a record of \"{}\" among those of \"{name}\"", told(&record.name)));
        }
        if record.instance != instance {
            return Err(format!("it is a record of \"{}\" under another's name", told(&record.instance)));
        }
        if !is_callable(record.address) {
            return Err(format!("nobody can be called at {}", record.address));
        }
        Ok(record)
    }

    /// The record as it is stored.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a record is strings and numbers")
    }

    /// Why this record cannot be stored, if it cannot.
    pub(crate) fn fault(&self) -> Option<String> {
        if !is_service_name(&self.name) {
            return Some(format!("\"{}\" is no service name", told(&self.name)));
        }
        if !is_instance_name(&self.instance) {
            return Some(format!(
                "\"{}\" cannot be an instance's name (1 to 128 of A-Z, a-z, 0-9, '.', '_' and '-', no '.' first)",
                told(&self.instance)
            ));
        }
        if !is_callable(self.address) {
            return Some(format!("nobody can be called at {}", self.address));
        }
        (self.to_json().len() > MAX_BYTES).then(|| format!("it is larger than {MAX_BYTES} bytes"))
    }

    /// Whether both say the same of the instance, whatever they say of the end of its lease.
    #[cfg(any(feature = "consul", feature = "etcd"))]
    pub(crate) fn says_the_same(&self, other: &Record) -> bool {
        *self == Record { expires_unix_ms: self.expires_unix_ms, ..other.clone() }
    }

    /// What it describes.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint {
            address: self.address,
            admin: self.admin,
            admin_tls: self.admin_tls,
            instance: self.instance.clone(),
            zone: self.zone.clone(),
            version: self.version.clone(),
            variant: self.variant.clone(),
            weight: self.weight,
            protocol: self.protocol,
            state: self.state,
            owner: self.owner.clone(),
        }
    }

    /// Whether the lease has not ended yet.
    pub(crate) fn is_alive(&self, unix_ms: u64) -> bool {
        self.expires_unix_ms > unix_ms
    }

    /// The end of the lease on this process's clock, which no correction of the wall clock moves.
    pub(crate) fn expires(&self, unix_ms: u64, now: Instant) -> Instant {
        expires(self.expires_unix_ms, unix_ms, now)
    }
}

/// The end of a lease that was written as a time of day.
pub(crate) fn expires(expires_unix_ms: u64, unix_ms: u64, now: Instant) -> Instant {
    match expires_unix_ms.checked_sub(unix_ms) {
        // A lease that ends in a hundred years is a writer's mistake; it must not overflow the clock.
        Some(left) => now + Duration::from_millis(left).min(LONGEST_LEASE),
        None => now,
    }
}

/// What can be a file's name, a key in any registry, and a word in a log line.
pub(crate) fn is_instance_name(text: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=128).contains(&text.len()) && !text.starts_with('.') && text.bytes().all(sound)
}

fn usual_variant() -> String {
    DEFAULT_VARIANT.to_owned()
}

fn usual_weight() -> u32 {
    1
}

/// An operator's address that cannot be read is no reason to lose the instance.
fn address_or_nothing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

/// A stranger's text, fit for a log line.
fn told(text: &str) -> String {
    one_line(brief(text, 64)).into_owned()
}

/// So many characters of it at most.
fn brief(text: &str, most: usize) -> &str {
    let end = text.char_indices().nth(most).map_or(text.len(), |(index, _)| index);
    &text[..end]
}

/// Ten times a generous record; a registry is no place for documents.
pub(crate) const MAX_BYTES: usize = 16 * 1024;

/// Characters of an error.
const LONGEST_TOLD: usize = 200;

const LONGEST_LEASE: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            name: "catalog".into(),
            instance: "catalog-7d4f".into(),
            address: "127.0.0.1:7001".parse().unwrap(),
            admin: Some("127.0.0.1:9464".parse().unwrap()),
            admin_tls: false,
            protocol: Protocol::H2,
            state: State::Ready,
            zone: "a".into(),
            version: "1.4.2".into(),
            variant: "stable".into(),
            weight: 1,
            owner: "team-catalog".into(),
            expires_unix_ms: 1_700_000_030_000,
        }
    }

    #[test]
    fn the_record_is_the_one_of_the_contract() {
        let text = concat!(
            r#"{"name":"catalog","instance":"catalog-7d4f","address":"127.0.0.1:7001","admin":"127.0.0.1:9464","#,
            r#""protocol":"h2","state":"ready","zone":"a","version":"1.4.2","variant":"stable","weight":1,"#,
            r#""owner":"team-catalog","expires_unix_ms":1700000030000}"#
        );
        assert_eq!(String::from_utf8(record().to_json()).unwrap(), text);
        assert_eq!(Record::read(text.as_bytes(), "catalog", "catalog-7d4f"), Ok(record()));
    }

    #[test]
    fn who_has_to_speak_tls_to_the_operators_listener_is_told_so() {
        let secured = Record { admin_tls: true, ..record() };
        let text = String::from_utf8(secured.to_json()).unwrap();
        assert!(text.contains(r#""admin":"127.0.0.1:9464","admin_tls":true,"#), "{text}");
        assert_eq!(Record::read(text.as_bytes(), "catalog", "catalog-7d4f"), Ok(secured.clone()));
        assert!(secured.endpoint().admin_tls && !record().endpoint().admin_tls);
    }

    /// In a folder, in etcd, and what is in Consul says the same in its own words.
    #[test]
    fn a_record_is_written_as_ever_and_those_of_every_version_are_read() {
        crate::golden::is("record.json", &String::from_utf8(record().to_json()).unwrap());
        for (version, text) in crate::golden::of_every_version("record.json") {
            let read = Record::read(text.as_bytes(), "catalog", "catalog-7d4f");
            assert_eq!(read, Ok(record()), "{version}");
        }
    }

    #[test]
    fn what_is_absent_has_its_usual_meaning_and_what_is_unknown_is_ignored() {
        let text = r#"{"name":"catalog","instance":"i","address":"[::1]:1","expires_unix_ms":5,"load":{"rif":3},"admin":"soon"}"#;
        let read = Record::read(text.as_bytes(), "catalog", "i").unwrap();
        assert_eq!((read.protocol, read.state, read.weight), (Protocol::Http1, State::Ready, 1));
        assert_eq!((read.variant.as_str(), read.admin), ("stable", None));
    }

    #[test]
    fn a_record_that_makes_no_sense_is_refused_with_a_reason() {
        let text = String::from_utf8(record().to_json()).unwrap();
        let table: [(String, &str); 11] = [
            (String::new(), "EOF"),
            (text[..40].to_owned(), "EOF"),
            (text.replace("127.0.0.1:7001", "somewhere"), "socket address"),
            (text.replace("127.0.0.1:7001", "0.0.0.0:7001"), "nobody can be called at 0.0.0.0:7001"),
            (text.replace("127.0.0.1:7001", "127.0.0.1:0"), "nobody can be called"),
            (text.replace("\"catalog\"", "\"ratings\""), "a record of \"ratings\""),
            (text.replace("catalog-7d4f", "other"), "under another's name"),
            (text.replace("\"h2\"", "\"carrier pigeon\""), "unknown variant"),
            (text.replace("\"h2\"", "\"carrier\\npigeon\""), "`carrier\\npigeon`"),
            (text.replace("\"catalog\"", "\"a\\u001b[31m\""), "a record of \"a\\u{1b}[31m\""),
            (text.replace("team-catalog", &"x".repeat(MAX_BYTES)), "larger than 16384 bytes"),
        ];
        for (text, why) in table {
            let error = Record::read(text.as_bytes(), "catalog", "catalog-7d4f").unwrap_err();
            assert!(error.contains(why), "{error} should contain {why}");
            assert!(!error.contains(char::is_control), "{error:?}");
        }
    }

    #[cfg(any(feature = "consul", feature = "etcd"))]
    #[test]
    fn a_record_that_only_lives_longer_says_the_same() {
        assert!(record().says_the_same(&Record { expires_unix_ms: 2, ..record() }));
        assert!(!record().says_the_same(&Record { state: State::Draining, ..record() }));
    }

    #[test]
    fn what_could_not_be_read_back_is_not_written() {
        assert_eq!(record().fault(), None);
        for (name, instance) in
            [("Catalog", "i"), ("catalog", ""), ("catalog", ".i"), ("catalog", "a/b"), ("catalog", "é")]
        {
            let record = Record { name: name.into(), instance: instance.into(), ..record() };
            assert!(record.fault().is_some(), "{name}/{instance}");
        }
        let nowhere = Record { address: "0.0.0.0:1".parse().unwrap(), ..record() };
        assert!(nowhere.fault().unwrap().contains("0.0.0.0:1"));
        let novel = Record { owner: "x".repeat(MAX_BYTES), ..record() };
        assert!(novel.fault().unwrap().contains("larger"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_ends_on_this_clock_as_it_does_on_the_wall() {
        let now = Instant::now();
        let ends = |unix_ms| record().expires(unix_ms, now) - now;
        assert_eq!(ends(1_700_000_000_000), Duration::from_secs(30));
        assert_eq!(ends(1_700_000_030_001), Duration::ZERO);
        assert_eq!(ends(0), LONGEST_LEASE);
        assert!(!record().is_alive(1_700_000_030_000) && record().is_alive(1_700_000_029_999));
    }
}
