//! Endpoints that are written in a file.
//!
//! The file is read every second and compared with what was read before, not watched: a ConfigMap is swapped by
//! its folder's link, which notifications of the file miss.

use std::{
    fs::{self, File as Opened},
    io,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::stream;
use platform_core::{Error, ErrorKind, Result, identity::DEFAULT_VARIANT};
use serde::{Deserialize, Deserializer, de};
use tokio::time::{self, Instant};

use crate::{
    disk::read_at_most,
    endpoint::{Endpoint, Found, Protocol, State, is_callable},
    record,
    resolve::{Resolve, Snapshot, Snapshots},
    target::{Place, Target},
    task::aside,
    unix_ms,
};

/// The endpoints in the file of a `file://` target: TOML, or JSON if it begins with a brace.
///
/// ```toml
/// [[endpoints]]
/// address = "10.0.0.7:8080"
///
/// [[endpoints]]
/// address = "10.0.0.8:8080"
/// instance = "catalog-b"     # else the address
/// zone = "b"
/// weight = 2
/// ```
///
/// Beside `address` each may have the fields of a registry's record: `instance`, `admin`, `protocol`, `state`,
/// `zone`, `version`, `variant`, `weight`, `owner`, `expires_unix_ms`; a `name` is read and not compared.
///
/// A file that is gone or makes no sense is an error which names the line, and never an empty set, which is
/// `endpoints = []`. One bad entry is the whole file's, because all have one writer. **Replace the file by renaming
/// another over it**: half a file may make sense too.
#[derive(Clone, Copy, Debug, Default)]
pub struct File;

impl Resolve for File {
    fn resolve(&self, target: &Target) -> Snapshots {
        let Place::File(path) = target.place() else {
            let error = Error::new(ErrorKind::Internal, format!("{target} is no file"));
            return Box::pin(stream::iter([Err(error)]));
        };
        let look = Look { path: Arc::clone(path), text: None, said: None };
        Box::pin(stream::unfold((look, Duration::ZERO), |(look, pause)| async move {
            time::sleep(pause).await;
            let (answer, look) = look.next().await?;
            Some((answer, (look, EVERY)))
        }))
    }

    fn describe(&self, target: &Target) -> String {
        match target.place() {
            Place::File(path) => format!("the file {}", path.display()),
            _ => "a file".to_owned(),
        }
    }
}

struct Look {
    path: Arc<Path>,
    /// What was read last, if it made sense.
    text: Option<String>,
    said: Option<Snapshot>,
}

impl Look {
    /// `None` only if the process is stopping.
    async fn next(mut self) -> Option<(Result<Snapshot>, Look)> {
        let (unix_ms, now) = (unix_ms(SystemTime::now()), Instant::now());
        aside(move || (self.again(unix_ms, now), self)).await.ok()
    }

    fn again(&mut self, unix_ms: u64, now: Instant) -> Result<Snapshot> {
        let text = read(&self.path)?;
        if let (Some(said), Some(known)) = (&self.said, &self.text)
            && *known == text
        {
            return Ok(said.clone());
        }
        let listed = parse(&text).map_err(|(line, why)| {
            Error::config(format!("{}:{line}: {why}; the file is not used", self.path.display()))
        })?;
        let snapshot = Snapshot::new(listed.endpoints.into_iter().map(|entry| entry.found(unix_ms, now)));
        (self.text, self.said) = (Some(text), Some(snapshot.clone()));
        Ok(snapshot)
    }
}

fn read(path: &Path) -> Result<String> {
    let shown = path.display();
    let failed = |error: io::Error| {
        let how = match error.kind() {
            io::ErrorKind::NotFound => "is gone or was never there",
            io::ErrorKind::InvalidData => "is no text",
            _ => "cannot be read",
        };
        Error::new(ErrorKind::Unreachable, format!("the file {shown} {how}")).with_source(error)
    };
    // A pipe would hold the reader for ever.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(Error::new(ErrorKind::Unreachable, format!("{shown} is no plain file")));
    }
    let bytes = Opened::open(path).and_then(|file| read_at_most(file, MAX_BYTES)).map_err(failed)?;
    if bytes.len() > MAX_BYTES {
        return Err(Error::config(format!("the file {shown} is larger than {MAX_BYTES} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))
}

/// What the file says, else the line and what is wrong there.
fn parse(text: &str) -> std::result::Result<Listed, (usize, String)> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|error| (error.line().max(1), error.to_string()));
    }
    toml_edit::de::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        (line, error.message().replace('\n', ", "))
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    endpoints: Vec<Entry>,
}

/// One endpoint; the fields of a [`Record`](crate::Record), of which only the address must be there.
///
/// Unlike a record it is written by hand, so that an unknown field is a mistake.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(deserialize_with = "callable")]
    address: SocketAddr,
    #[serde(default, rename = "name")]
    _name: Option<String>,
    instance: Option<String>,
    admin: Option<SocketAddr>,
    #[serde(default)]
    admin_tls: bool,
    #[serde(default)]
    protocol: Protocol,
    #[serde(default)]
    state: State,
    #[serde(default)]
    zone: String,
    #[serde(default)]
    version: String,
    variant: Option<String>,
    weight: Option<u32>,
    #[serde(default)]
    owner: String,
    expires_unix_ms: Option<u64>,
}

impl Entry {
    fn found(self, unix_ms: u64, now: Instant) -> Found {
        let endpoint = Endpoint {
            address: self.address,
            admin: self.admin,
            admin_tls: self.admin_tls,
            instance: self.instance.unwrap_or_else(|| self.address.to_string()),
            zone: self.zone,
            version: self.version,
            variant: self.variant.unwrap_or_else(|| DEFAULT_VARIANT.to_owned()),
            weight: self.weight.unwrap_or(1),
            protocol: self.protocol,
            state: self.state,
            owner: self.owner,
        };
        let expires = self.expires_unix_ms.map(|expires| record::expires(expires, unix_ms, now));
        Found { expires, ..Found::new(endpoint) }
    }
}

fn callable<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.parse::<SocketAddr>() {
        Ok(address) if is_callable(address) => Ok(address),
        Ok(address) => Err(de::Error::custom(format!("nobody can be called at {address}"))),
        Err(_) => Err(de::Error::custom(format!("\"{text}\" is not IP:PORT"))),
    }
}

/// A change is seen in half a second on average; whoever writes files by hand does not notice.
const EVERY: Duration = Duration::from_secs(1);
/// Twenty thousand endpoints with all their fields; what is larger is another file.
const MAX_BYTES: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt as _;
    use std::os::unix::fs::symlink;

    fn open(path: &Path) -> Snapshots {
        File.resolve(&Target::parse(&format!("file://{}", path.display())).unwrap())
    }

    fn replace(path: &Path, text: &str) {
        let beside = path.with_extension("new");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, path).unwrap();
    }

    fn ports(snapshot: &Snapshot) -> Vec<u16> {
        snapshot.found().iter().map(|found| found.endpoint.address.port()).collect()
    }

    const ONE: &str = "[[endpoints]]\naddress = \"10.0.0.7:1\"\n";
    const TWO: &str = r#"{"endpoints": [{"address": "10.0.0.7:1"}, {"address": "[::1]:2", "zone": "b"}]}"#;

    #[tokio::test(start_paused = true)]
    async fn a_replaced_file_is_seen_at_the_next_look_and_the_same_text_is_the_same_set() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.toml");
        replace(&path, ONE);
        let mut answers = open(&path);
        let first = answers.next().await.unwrap().unwrap();
        assert_eq!(ports(&first), [1]);
        replace(&path, ONE);
        let begun = Instant::now();
        let second = answers.next().await.unwrap().unwrap();
        assert_eq!(begun.elapsed(), EVERY);
        assert!(Arc::ptr_eq(first.found(), second.found()), "another file with the same text is no change");
        replace(&path, TWO);
        assert_eq!(ports(&answers.next().await.unwrap().unwrap()), [1, 2], "JSON under any name");
        replace(&path, "endpoints = []");
        assert!(answers.next().await.unwrap().unwrap().found().is_empty(), "nobody, said in so many words");
    }

    #[tokio::test(start_paused = true)]
    async fn a_config_map_that_is_swapped_by_its_link_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (version, text) in [("..1", ONE), ("..2", TWO)] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("catalog"), text).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/catalog", at("catalog")).unwrap();
        let mut answers = open(&at("catalog"));
        assert_eq!(ports(&answers.next().await.unwrap().unwrap()), [1]);
        symlink("..2", at("..tmp")).unwrap();
        fs::rename(at("..tmp"), at("..data")).unwrap();
        assert_eq!(ports(&answers.next().await.unwrap().unwrap()), [1, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_makes_no_sense_is_an_error_and_the_next_good_one_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.toml");
        let mut answers = open(&path);
        let error = answers.next().await.unwrap().unwrap_err();
        assert!(error.detail().contains("is gone or was never there"), "{error}");
        replace(&path, ONE);
        let good = answers.next().await.unwrap().unwrap();
        replace(&path, "");
        let error = answers.next().await.unwrap().unwrap_err();
        assert!(error.detail().contains("catalog.toml:1: missing field `endpoints`"), "{error}");
        fs::remove_file(&path).unwrap();
        assert!(answers.next().await.unwrap().is_err());
        replace(&path, ONE);
        let again = answers.next().await.unwrap().unwrap();
        assert!(Arc::ptr_eq(good.found(), again.found()), "it is what it was");
    }

    #[test]
    fn an_error_says_the_line_and_what_is_wrong_there() {
        let table = [
            ("endpoints = [\n", 2, "array"),
            ("\n\n[[endpoints]]\naddress = \"catalog:80\"", 4, "\"catalog:80\" is not IP:PORT"),
            ("[[endpoints]]\naddress = \"0.0.0.0:80\"", 2, "nobody can be called at 0.0.0.0:80"),
            ("[[endpoints]]\naddress = \"10.0.0.7:0\"", 2, "nobody can be called"),
            ("[[endpoints]]\naddress = \"10.0.0.7:1\"\nwieght = 2", 3, "unknown field `wieght`"),
            ("[[endpoints]]\naddress = \"10.0.0.7:1\"\nweight = -2", 3, "invalid value"),
            (
                "[[endpoints]]\naddress = \"10.0.0.7:1\"\n\n[[endpoints]]\nzone = \"b\"",
                4,
                "missing field `address`",
            ),
            ("[[endpoint]]\naddress = \"10.0.0.7:1\"", 1, "unknown field `endpoint`"),
            ("{\"endpoints\": [\n{\"address\": \"10.0.0.7:1\"},\n{\"address\": 7}]}", 3, "invalid type"),
            ("{\"endpoints\": [", 1, "EOF"),
            ("127.0.0.1:80", 1, ""),
        ];
        for (text, line, why) in table {
            let (at, said) = parse(text).unwrap_err();
            assert!(at == line && said.contains(why), "{text:?} says {at}: {said}, not {line}: {why}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn every_field_of_a_record_may_be_written() {
        let text = r#"
            [[endpoints]]
            address = "10.0.0.7:1"
            name = "catalog"
            instance = "a"
            admin = "10.0.0.7:9464"
            protocol = "h2"
            state = "draining"
            zone = "b"
            version = "1.4.2"
            variant = "canary"
            weight = 3
            owner = "team-catalog"
            expires_unix_ms = 30000
        "#;
        let now = Instant::now();
        let found = parse(text).unwrap().endpoints.remove(0).found(10_000, now);
        assert_eq!(found.expires, Some(now + Duration::from_secs(20)));
        let wanted = Endpoint {
            instance: "a".into(),
            admin: Some("10.0.0.7:9464".parse().unwrap()),
            protocol: Protocol::H2,
            state: State::Draining,
            zone: "b".into(),
            version: "1.4.2".into(),
            variant: "canary".into(),
            weight: 3,
            owner: "team-catalog".into(),
            ..Endpoint::at("10.0.0.7:1".parse().unwrap())
        };
        assert_eq!(*found.endpoint, wanted);
        let bare = parse(ONE).unwrap().endpoints.remove(0).found(0, now);
        assert_eq!(*bare.endpoint, Endpoint::at("10.0.0.7:1".parse().unwrap()));
    }

    #[test]
    fn what_is_no_plain_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(folder.path()).unwrap_err().detail().contains("no plain file"));
        let path = folder.path().join("noise");
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(read(&path).unwrap_err().detail().contains("is no text"));
        fs::write(&path, vec![b'#'; MAX_BYTES + 1]).unwrap();
        assert!(read(&path).unwrap_err().detail().contains("larger than"));
    }
}
