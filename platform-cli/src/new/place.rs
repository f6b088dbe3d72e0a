//! Where does the new service lie, and how does it get there whole?

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
};

use platform_core::{Error, ErrorKind, Result};
use toml_edit::ImDocument;

use super::files::File;

/// Writes all files into `folder`, or nothing.
///
/// # Errors
/// Something stands there already, or cannot be written.
pub(super) fn write(folder: &Path, files: &[File], lock: Option<&Path>) -> Result<()> {
    refuse_taken(folder)?;
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // Beside it and then renamed: whoever is interrupted leaves no half of a service under its name.
    let beside = folder.with_file_name(format!(".{name}.{}", process::id()));
    let written = write_all(&beside, files, lock).and_then(|()| {
        refuse_taken(folder)?;
        fs::rename(&beside, folder).map_err(|error| failed(folder, &error))
    });
    if written.is_ok() && lock.is_some() {
        fit_lock(folder);
    }
    if written.is_err() {
        // What went wrong is told; that this cannot be tidied up either adds nothing.
        let _ = fs::remove_dir_all(&beside);
    }
    written
}

/// Never overwrites.
pub(super) fn refuse_taken(folder: &Path) -> Result<()> {
    match fs::symlink_metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(folder, &error)),
        Ok(_) => Err(Error::new(
            ErrorKind::Usage,
            format!(
                "{} is there already, and nothing is overwritten; take another name or move it",
                folder.display()
            ),
        )),
    }
}

/// Would cargo take the service for a stranger in a workspace around it?
///
/// # Errors
/// A manifest around it that cannot be read.
pub(super) fn needs_own_workspace(folder: &Path) -> Result<bool> {
    for around in folder.ancestors().skip(1) {
        let manifest = around.join("Cargo.toml");
        let text = match fs::read_to_string(&manifest) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(&manifest, &error)),
        };
        // One that is no TOML is cargo's to complain about.
        let Ok(document) = ImDocument::parse(text) else { return Ok(false) };
        let Some(workspace) = document.get("workspace") else { continue };
        let steps = folder.strip_prefix(around).unwrap_or(folder);
        let names = |key: &str| -> Vec<String> {
            let list = workspace.get(key).and_then(|list| list.as_array());
            list.into_iter().flatten().filter_map(|one| one.as_str().map(str::to_owned)).collect()
        };
        let excluded = names("exclude").iter().any(|one| steps.starts_with(one));
        let member = names("members").iter().any(|pattern| matches(pattern, steps));
        return Ok(!member && !excluded);
    }
    Ok(false)
}

/// A member's path, a `*` standing for one step or a part of it.
fn matches(pattern: &str, steps: &Path) -> bool {
    let pattern: PathBuf = pattern.into();
    pattern.components().count() == steps.components().count()
        && pattern.components().zip(steps.components()).all(|(pattern, step)| {
            let (pattern, step) = (pattern.as_os_str().to_string_lossy(), step.as_os_str().to_string_lossy());
            match pattern.split_once('*') {
                None => pattern == step,
                Some((before, behind)) => {
                    step.len() >= before.len() + behind.len()
                        && step.starts_with(before)
                        && step.ends_with(behind)
                }
            }
        })
}

fn write_all(folder: &Path, files: &[File], lock: Option<&Path>) -> Result<()> {
    for File { path, text } in files {
        let path = folder.join(path);
        if let Some(within) = path.parent() {
            fs::create_dir_all(within).map_err(|error| failed(within, &error))?;
        }
        fs::write(&path, text).map_err(|error| failed(&path, &error))?;
    }
    if let Some(lock) = lock {
        fs::copy(lock, folder.join("Cargo.lock")).map_err(|error| failed(lock, &error))?;
    }
    format(folder, files);
    Ok(())
}

/// The lock file is that of the checkout: of all its crates, and not of this one. Made to fit, so that `--locked` is true
/// from the beginning, in an image or a CI that is the first to build it. Versions stay what they are. In a workspace around
/// it the lock file is the workspace's, and nobody's business here.
fn fit_lock(folder: &Path) {
    let cargo = |arguments: &[&str]| {
        let mut cargo = Command::new("cargo");
        cargo.args(arguments).current_dir(folder).stdin(Stdio::null()).stderr(Stdio::null());
        cargo.output().ok().filter(|out| out.status.success())
    };
    let root = cargo(&["locate-project", "--workspace", "--message-format", "plain"]);
    let own = root.is_some_and(|root| {
        let root = String::from_utf8_lossy(&root.stdout).trim().to_owned();
        Path::new(&root) == folder.join("Cargo.toml")
    });
    if own {
        // Whoever has no cargo has it done by the first command that needs it.
        let _ = cargo(&["update", "--workspace", "--offline", "--quiet"]);
    }
}

/// Where a line ends depends on the length of names. Whoever has no rustfmt has it formatted by somebody else's.
fn format(folder: &Path, files: &[File]) {
    let sources = files.iter().filter(|file| file.path.ends_with(".rs")).map(|file| folder.join(&file.path));
    let formatted = Command::new("rustfmt")
        .args(["--edition", "2024", "--quiet"])
        .args(sources)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    // Its failure changes no file.
    let _ = formatted;
}

fn failed(path: &Path, error: &io::Error) -> Error {
    Error::new(ErrorKind::Start, format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn nothing_is_overwritten_and_nothing_is_left_half() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("orders");
        write(&folder, &[file("src/main.rs", "one")], None).unwrap();
        let error = write(&folder, &[file("src/main.rs", "two")], None).unwrap_err();
        assert!(error.to_string().contains("nothing is overwritten"), "{error}");
        assert_eq!(fs::read_to_string(folder.join("src/main.rs")).unwrap(), "one");

        // A file where a folder has to be.
        let halves = [file("src", "a file"), file("src/main.rs", "two")];
        write(&place.path().join("payments"), &halves, None).unwrap_err();
        let left: Vec<_> = fs::read_dir(place.path()).unwrap().map(|one| one.unwrap().file_name()).collect();
        assert_eq!(left, ["orders"]);
    }

    #[test]
    fn a_workspace_around_it_is_left_alone_unless_it_expects_the_service() {
        let place = tempfile::tempdir().unwrap();
        let around = place.path();
        assert!(!needs_own_workspace(&around.join("orders")).unwrap());
        let manifest = "[workspace]\nmembers = [\"services/*\", \"tool\"]\nexclude = [\"apart\"]\n";
        fs::write(around.join("Cargo.toml"), manifest).unwrap();
        for (folder, own) in [
            ("orders", true),
            ("services/orders", false),
            ("services/a/b", true),
            ("tool", false),
            ("apart/x", false),
        ] {
            assert_eq!(needs_own_workspace(&around.join(folder)).unwrap(), own, "{folder}");
        }
    }
}
