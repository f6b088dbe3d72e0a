//! One service's file: is it what the service will read?

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use platform_core::{
    Error, Result, blocking,
    config::{Config, Mode, Name, Rules},
    identity::Identity,
    lifecycle,
    ops::Objectives,
    recovery::Recovery,
    telemetry,
};
use platform_discovery::Target;
use platform_http::{admin, client, server};
use serde::{Serialize, de::DeserializeOwned};
use toml_edit::ImDocument;

use super::finding::{Finding, Place};

/// What a file says of a service.
pub(super) struct Service {
    pub(super) file: PathBuf,
    pub(super) name: String,
    pub(super) calls: Vec<Call>,
    pub(super) config: Config,
}

/// A client of it, with what counts for it.
pub(super) struct Call {
    pub(super) client: String,
    pub(super) target: Target,
    pub(super) settings: client::Settings,
}

/// Reads `file` and tells what is wrong with it, in each of its profiles. `None` where nothing of it makes sense.
pub(super) fn read(file: &Path) -> (Option<Service>, Vec<Finding>) {
    let mut findings = BTreeSet::new();
    let service = profile(file, None, &mut findings);
    for name in profiles(file) {
        // What is wrong without a profile is wrong in each, and told once.
        let known: BTreeSet<String> = findings.iter().map(|finding: &Finding| finding.what.clone()).collect();
        let mut own = BTreeSet::new();
        profile(file, Some(&name), &mut own);
        findings.extend(own.into_iter().filter(|finding| !known.contains(&finding.what)));
    }
    (service, findings.into_iter().collect())
}

fn profile(file: &Path, profile: Option<&str>, findings: &mut BTreeSet<Finding>) -> Option<Service> {
    let mut told = |result: Result<()>| {
        if let Err(error) = result {
            findings.extend(explained(file, profile, &error));
        }
    };
    let mut builder = Config::builder().file(file);
    if let Some(profile) = profile {
        builder = builder.profile(profile);
    }
    let config = match builder.load() {
        Ok(config) => config,
        Err(error) => {
            told(Err(error));
            return None;
        }
    };
    let identity = config.overlay(&Identity { name: name_around(file), ..Identity::default() }, "service");
    told(section::<server::Config>(&config, "server"));
    told(section::<admin::Config>(&config, "admin"));
    told(section::<platform_discovery::Config>(&config, "discovery"));
    told(section::<telemetry::Settings>(&config, "telemetry"));
    told(config.section::<lifecycle::Config>("lifecycle").map(drop));
    told(section::<Objectives>(&config, "slo"));
    for name in config.names("blocking") {
        told(section::<blocking::Config>(&config, &format!("blocking.{name}")));
    }
    // `[defaults]` count for every client, and for who has none in the file.
    let defaults = client::configured(&config, UNNAMED);
    let usable = defaults.is_ok();
    told(
        defaults.map(drop).map_err(|error| {
            Error::config(error.detail().replace(&format!("clients.{UNNAMED}."), "defaults."))
        }),
    );
    let mut calls = Vec::new();
    for name in config.names("clients") {
        if !usable {
            // What is wrong there is told, and would be again for each client.
            continue;
        }
        match call(&config, &name) {
            Ok(call) => calls.push(call),
            Err(error) => told(Err(error)),
        }
    }
    for call in &calls {
        findings.extend(recommended_in_vain(file, call));
        findings.extend(hedged_for_nothing(file, &config, call));
    }
    findings.extend(never_late(file, &config));
    let identity = match identity {
        Ok(identity) => identity,
        Err(error) => {
            findings.extend(explained(file, profile, &error));
            return None;
        }
    };
    if let Err(why) = Name::parse(&identity.name)
        && config.has("service.name")
    {
        // A folder's name is no service's unless somebody says so.
        findings.insert(Finding::new(Place::of(file, "service.name"), format!("`service.name`: {why}")));
    }
    if identity.owner.is_empty() {
        let place = Place::of(file, "service");
        let why = format!(
            "nobody owns {}: write `owner = \"team-…\"` under [service], so that somebody is called at night",
            identity.name
        );
        findings.insert(Finding::new(place, why));
    }
    Some(Service { file: file.to_path_buf(), name: identity.name, calls, config })
}

/// Reads every section that is the platform's, so that all of its values are known.
///
/// # Errors
/// Those of the first section that cannot be read.
pub(super) fn claim(config: &Config) -> Result<()> {
    config.section::<Identity>("service")?;
    config.section::<server::Config>("server")?;
    config.section::<admin::Config>("admin")?;
    config.section::<platform_discovery::Config>("discovery")?;
    config.section::<telemetry::Settings>("telemetry")?;
    config.section::<lifecycle::Config>("lifecycle")?;
    config.section::<Objectives>("slo")?;
    for name in config.names("blocking") {
        config.section::<blocking::Config>(&format!("blocking.{name}"))?;
    }
    config.section::<client::Settings>("defaults")?;
    for name in config.names("clients") {
        client::configured(config, &name)?;
    }
    Ok(())
}

fn section<T: Serialize + DeserializeOwned + Default + Rules>(config: &Config, path: &str) -> Result<()> {
    config.check(path, &config.section::<T>(path)?)
}

fn call(config: &Config, name: &str) -> Result<Call> {
    let settings = client::configured(config, name)?;
    let key = format!("clients.{name}.target");
    let target = Target::parse(&settings.target).map_err(|error| {
        let origin = config.origin(&key).map(|origin| format!("{origin}: ")).unwrap_or_default();
        Error::config(format!("{origin}`{key}`: {}", error.detail()))
    })?;
    Ok(Call { client: name.to_owned(), target, settings })
}

/// A service config beside the file is there and can be meant; one with a whole path belongs to where the service runs.
fn recommended_in_vain(file: &Path, call: &Call) -> Option<Finding> {
    let path = &call.settings.service_config;
    let folder = file.parent().unwrap_or(Path::new(""));
    let there = folder.join(path);
    if path.as_os_str().is_empty() || (path.is_absolute() && !there.exists()) {
        return None;
    }
    let error = platform_grpc::channel::policy::check_service_config(&there).err()?;
    let key = format!("clients.{}.service_config", call.client);
    Some(Finding::new(Place::of(file, &key), error.detail().to_owned()))
}

/// A hedge is paid by the budget, and must not take what repeats need.
fn hedged_for_nothing(file: &Path, config: &Config, call: &Call) -> Option<Finding> {
    let policy = &call.settings.policy;
    if policy.recovery != Recovery::Hedge || policy.hedge.mode != Mode::Enforce {
        return None;
    }
    let (ratio, extra) = (policy.budget.ratio.as_f64(), policy.hedge.extra.as_f64());
    let key = |key: &str| nearest(config, &call.client, key);
    let name = &call.client;
    if ratio <= 0.0 {
        let why = format!(
            "calls of {name} are hedged, and `budget.ratio` is 0: under load there is no budget for a hedge; raise it, or \
             write `recovery = \"retry\"`"
        );
        Some(Finding::new(Place::of(file, &key("policy.budget.ratio")), why))
    } else if extra > ratio {
        let why = format!(
            "calls of {name} may be hedged up to a share of {extra}, and their whole budget is {ratio}: hedges would spend \
             what repeats need; lower `hedge.extra` or raise `budget.ratio`"
        );
        Some(Finding::new(Place::of(file, &key("policy.hedge.extra")), why))
    } else {
        None
    }
}

/// An objective that nothing can miss wakes nobody: whoever would be late has failed before.
fn never_late(file: &Path, config: &Config) -> Option<Finding> {
    // What cannot be read is told where it is read.
    let bound = config.section::<Objectives>("slo").ok()?.latency?.bound;
    let server = config.section::<server::Config>("server").ok()?;
    let limits =
        std::iter::once(server.policy.timeout).chain(server.classes.values().map(|one| one.policy.timeout));
    let longest = limits.reduce(|one, other| Some(one?.max(other?)))??;
    (longest <= bound).then(|| {
        let why = format!(
            "an answer within {bound:?} is promised, and no request may take longer than {longest:?} (`server.policy.timeout`): this \
             objective can never be missed, so its alert is dead; promise less than the limit"
        );
        Finding::new(Place::of(file, "slo.latency.bound"), why)
    })
}

/// Where the file sets `key` of a client: in its own section, else in the defaults, else its section's head.
pub(super) fn nearest(config: &Config, client: &str, key: &str) -> String {
    let own = format!("clients.{client}.{key}");
    let all = format!("defaults.{key}");
    if config.has(&own) || !config.has(&all) { own } else { all }
}

/// Each problem of an error, with its place: `platform.toml:3 (profile dev): unknown key `server.lisen`…`.
fn explained(file: &Path, profile: Option<&str>, error: &Error) -> Vec<Finding> {
    let detail = error.detail();
    // Several are told a line each, behind a head.
    let problems: Vec<&str> = match detail.split_once(" problems:\n  ") {
        Some((count, problems)) if count.parse::<usize>().is_ok() => problems.split("\n  ").collect(),
        _ => vec![detail],
    };
    let here = format!("{}:", file.display());
    let each = problems.into_iter().map(|problem| {
        let placed = problem.strip_prefix(&here).and_then(|rest| {
            let digits = rest.find(|c: char| !c.is_ascii_digit())?;
            Some((rest[..digits].parse().ok()?, &rest[digits..]))
        });
        let Some((line, rest)) = placed else {
            let what = problem.strip_prefix(&here).unwrap_or(problem).trim();
            // What nobody has written is wrong beside something that somebody has.
            let unwritten = ["default: ", "code: "].iter().find_map(|origin| what.strip_prefix(origin));
            let key = unwritten.and_then(|what| what.split('`').nth(1));
            let place = key.map_or_else(|| Place::file(file), |key| Place::of(file, key));
            return Finding::new(place, unwritten.unwrap_or(what));
        };
        let of_profile = profile.map(|name| format!(" (profile {name})"));
        let (prefix, rest) = match of_profile.as_deref().and_then(|told| rest.strip_prefix(told)) {
            Some(rest) => (format!("profile.{}.", profile.unwrap_or_default()), rest),
            None => (String::new(), rest),
        };
        let what = rest.trim_start_matches(": ").trim();
        let key = what.split('`').nth(1).map(|key| prefix + key).unwrap_or_default();
        Finding::new(Place { file: file.to_path_buf(), line: Some(line), key }, what)
    });
    each.collect()
}

/// What a service is called whose file does not say it: its crate, else its folder.
fn name_around(file: &Path) -> String {
    let Some(folder) = file.parent() else { return String::new() };
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
    let package = ImDocument::parse(manifest)
        .ok()
        .and_then(|manifest| manifest.get("package")?.get("name")?.as_str().map(str::to_owned));
    package.unwrap_or_else(|| {
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
        folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    })
}

fn profiles(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let Ok(document) = ImDocument::parse(text) else { return Vec::new() };
    let profiles = document.get("profile").and_then(|item| item.as_table_like());
    profiles.into_iter().flat_map(|table| table.iter().map(|(name, _)| name.to_owned())).collect()
}

/// What counts for every client, asked by a name that nobody has.
const UNNAMED: &str = "nobody-is-called-this";

/// The calls of all services, by the name of the caller.
pub(super) fn by_name(services: &[Service]) -> BTreeMap<&str, &Service> {
    services.iter().map(|service| (service.name.as_str(), service)).collect()
}
