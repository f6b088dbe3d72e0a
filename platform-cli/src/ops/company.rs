//! Which services does a folder describe?
//!
//! Every `platform.toml` in it and below is one, and `company.toml` beside them says what no service knows: whom a team
//! reports to, and where it is called.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use platform_core::{
    Error, Result,
    config::{Config, Name},
    identity::Identity,
    ops::{Objectives, Operated, Teams},
};
use serde::{Deserialize, Serialize};

/// What was found.
#[derive(Debug)]
pub(super) struct Company {
    pub(super) services: Vec<Operated>,
    pub(super) teams: Teams,
}

/// `company.toml`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    teams: Teams,
}

/// As much of a client as is asked here.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Called {
    target: String,
}

/// Reads a folder, with what stands under `[profile.NAME]` laid over each service's file.
///
/// # Errors
/// A folder that cannot be read or has no service; a file that no service could start with.
pub(super) fn read(folder: &Path, profile: Option<&str>) -> Result<Company> {
    let mut files = Vec::new();
    find(folder, 0, &mut files)?;
    files.sort();
    if files.is_empty() {
        return Err(Error::config(format!(
            "{} has no {SERVICE} in it or below; name the folder in which the services' folders are",
            folder.display()
        )));
    }
    let services = files.iter().map(|file| service(file, profile)).collect::<Result<_>>()?;
    Ok(Company { services, teams: teams(&folder.join(COMPANY))? })
}

fn find(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    let refused =
        |error: io::Error| Error::config(format!("cannot read the folder {}: {error}", folder.display()));
    for entry in fs::read_dir(folder).map_err(refused)? {
        let entry = entry.map_err(refused)?;
        let (name, kind) = (entry.file_name(), entry.file_type().map_err(refused)?);
        // A link to a folder could lead in a circle; a hidden folder and what was built are nobody's service.
        let skipped = name.to_string_lossy().starts_with('.') || name == "target";
        if kind.is_dir() && !skipped && depth < DEEPEST {
            find(&entry.path(), depth + 1, files)?;
        } else if name == SERVICE && entry.path().is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn service(file: &Path, profile: Option<&str>) -> Result<Operated> {
    let mut builder = Config::builder().file(file);
    if let Some(profile) = profile {
        builder = builder.profile(profile);
    }
    operated(&builder.load()?, &file.display().to_string())
}

/// The service that the text of a file describes which is not there yet.
///
/// # Errors
/// A text that no service could start with.
pub(super) fn not_there_yet(text: &str) -> Result<Operated> {
    operated(&Config::builder().toml(text).load()?, SERVICE)
}

fn operated(config: &Config, file: &str) -> Result<Operated> {
    let identity: Identity = config.overlay(&Identity::default(), "service")?;
    if identity.name.is_empty() {
        return Err(Error::config(format!(
            "{file}: the service has no name here; set `name` in [service], or read it from its program (--from BINARY)"
        )));
    }
    Name::parse(&identity.name).map_err(|why| Error::config(format!("{file}: `service.name`: {why}")))?;
    let objectives: Objectives = config.section("slo")?;
    config.check("slo", &objectives)?;
    let mut calls = Vec::new();
    for client in config.names("clients") {
        let Called { target } = config.section(&format!("clients.{client}"))?;
        calls.extend(named(if target.is_empty() { &client } else { &target }));
    }
    Ok(Operated { identity, objectives, calls, ..Operated::default() })
}

/// The service that a target names; a host of somebody else's is none.
pub(super) fn named(target: &str) -> Option<String> {
    let name = match target.split_once("://") {
        None => target,
        Some(("dir" | "etcd" | "consul", name)) => name.split(['?', '/']).next().unwrap_or_default(),
        Some(_) => return None,
    };
    Some(name.to_owned())
}

fn teams(file: &Path) -> Result<Teams> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Teams::new()),
        Err(error) => return Err(Error::config(format!("cannot read {}: {error}", file.display()))),
    };
    let settings: Settings = toml_edit::de::from_str(&text)
        .map_err(|error| Error::config(format!("{}: {}", file.display(), error.to_string().trim_end())))?;
    Ok(settings.teams)
}

const SERVICE: &str = "platform.toml";
const COMPANY: &str = "company.toml";
/// Deeper than services lie in one repository, and an end for a folder that is no company's.
const DEEPEST: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_names_a_service_unless_it_is_a_strangers_host() {
        for (target, expected) in [
            ("inventory", Some("inventory")),
            ("dir://inventory", Some("inventory")),
            ("consul://inventory?tag=v2", Some("inventory")),
            ("https://maps.example", None),
            ("fixed://127.0.0.1:80", None),
        ] {
            assert_eq!(named(target).as_deref(), expected, "{target}");
        }
    }
}
