//! Is what is set what can be meant?
//!
//! One file, as its service would read it, or all files of a folder, and what they do to each other. What only a
//! service's code knows (its `[settings]`, clients that have no section) is the service's own to check: `--check`.

mod company;
mod finding;
mod service;

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use platform_core::{Error, ErrorKind, Result, config::Config};
use serde_json::json;

use crate::{
    arguments::{Arguments, Flag},
    print, usage,
};

/// `platform check [FOLDER|FILE] [--json]`
pub(crate) fn run(given: &[String]) -> Result<ExitCode> {
    let arguments = Arguments::parse(given, &[Flag::Alone("--json"), Flag::Alone("--help")])?;
    if arguments.has("--help") {
        return Ok(print(HELP));
    }
    let words = arguments.words(0, 1, "a folder or a file")?;
    let root = PathBuf::from(words.first().map_or(".", String::as_str));
    let files = files(&root)?;
    if files.is_empty() {
        return Err(usage(format!("{}: there is no {FILE} in it", root.display())));
    }
    let (mut services, mut findings) = (Vec::new(), Vec::new());
    for file in &files {
        let (service, found) = service::read(file);
        services.extend(service);
        findings.extend(found);
    }
    findings.extend(company::findings(&services));

    let count = findings.len();
    if arguments.has("--json") {
        let findings: Vec<_> = findings.iter().map(finding::Finding::json).collect();
        print(&format!("{:#}\n", json!({ "files": files, "findings": findings })));
    } else {
        for finding in &findings {
            print(&format!("{}\n", finding.render()));
        }
        let of = if files.len() == 1 { "1 file".to_owned() } else { format!("{} files", files.len()) };
        print(&match count {
            0 => format!("{of}: fine\n"),
            1 => format!("{of}: 1 error\n"),
            count => format!("{of}: {count} errors\n"),
        });
    }
    Ok(ExitCode::from(u8::from(count > 0)))
}

/// Reads every section of the platform's own.
///
/// # Errors
/// Those of the first section that cannot be read.
pub(crate) fn claim(config: &Config) -> Result<()> {
    service::claim(config)
}

/// The names of the services whose files are at and below `root`.
///
/// # Errors
/// A folder that cannot be read.
pub(crate) fn services(root: &Path) -> Result<Vec<String>> {
    Ok(files(root)?.iter().filter_map(|file| service::read(file).0).map(|service| service.name).collect())
}

/// Every `platform.toml` at and below `root`, in order.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let failed =
        |path: &Path, error: &io::Error| Error::new(ErrorKind::Usage, format!("{}: {error}", path.display()));
    if fs::metadata(root).map_err(|error| failed(root, &error))?.is_file() {
        return Ok(vec![root.to_path_buf()]);
    }
    let (mut found, mut folders) = (Vec::new(), vec![root.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| failed(&folder, &error))? {
            let entry = entry.map_err(|error| failed(&folder, &error))?;
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            // Links are not followed: a circle of them has no end.
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && !name.starts_with('.') && !PASSED.contains(&&*name) => {
                    folders.push(path);
                }
                Ok(kind) if kind.is_file() && name == FILE => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    Ok(found)
}

const FILE: &str = "platform.toml";
/// Where nobody keeps what he wrote.
const PASSED: [&str; 2] = ["target", "node_modules"];

const HELP: &str = "\
platform check [FOLDER|FILE] [--json]: every platform.toml at and below the folder (here, if none is named)

Each file as its service reads it, in every profile: types, unknown keys, ranges, contradictions, owners, hedges
without a budget, objectives that nothing can miss, service configs of gRPC beside it. All of them together: limits that
do not shrink along a path, attempts and budgets that multiply, circles, names that two have. What stands in [settings] the service itself checks: its --check.

Ends with 0 if all is fine, 1 if something was found, 2 if it was asked wrongly.
";
