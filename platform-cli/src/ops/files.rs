//! Are the files as they should be?
//!
//! Nothing is replaced without a word, and nothing that is not ours is replaced at all: every file of ours says by which
//! command it was made. What people write into, runbooks, is written once.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use platform_core::{Error, ErrorKind, Result, ops::Rendered};

/// Files that should stand in a folder.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    /// Within the folder; empty for the folder itself.
    name: &'static str,
    files: Vec<Rendered>,
    /// Whatever is there already stays.
    once: bool,
}

/// What was done, or has to be.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// A line for each file that was written, or that is not as it should be.
    pub(crate) lines: Vec<String>,
    /// What a person should know besides.
    pub(crate) notes: Vec<String>,
    /// Something has to be done.
    pub(crate) stale: bool,
}

impl Files {
    pub(super) fn new(folder: PathBuf) -> Self {
        Files { folder, parts: Vec::new() }
    }

    /// Files that are ours, in the folder of this name within the folder.
    pub(super) fn add(&mut self, name: &'static str, files: Vec<Rendered>) {
        self.parts.push(Part { name, files, once: false });
    }

    /// Files that are people's as soon as they are there.
    pub(super) fn add_once(&mut self, name: &'static str, files: Vec<Rendered>) {
        self.parts.push(Part { name, files, once: true });
    }

    /// Says what is missing, different, or, where this is the `whole` of it, left over.
    pub(super) fn check(&self, whole: bool) -> Result<Seen> {
        let mut seen = Seen::default();
        for (part, file, path) in self.all() {
            match known(&path)? {
                None => seen.lines.push(format!("missing   {}", path.display())),
                Some(text) if !part.once && text != file.text => {
                    seen.lines.push(format!("different {}", path.display()));
                }
                Some(_) => {}
            }
        }
        if whole {
            seen.lines.extend(self.left_over()?.iter().map(|path| format!("left over {}", path.display())));
        }
        seen.stale = !seen.lines.is_empty();
        Ok(seen)
    }

    /// Writes what is missing or different, and says so. All is looked at before anything is written.
    pub(super) fn write(&self, whole: bool) -> Result<Seen> {
        let mut due = Vec::new();
        for (part, file, path) in self.all() {
            match known(&path)? {
                None => due.push(("wrote", file, path)),
                Some(text) if part.once || text == file.text => {}
                Some(text) if !is_ours(&text) => {
                    return Err(Error::config(format!(
                        "{} was not made by this command, so it is not replaced; move it away, or name another folder \
                         with --out",
                        path.display()
                    )));
                }
                Some(_) => due.push(("replaced", file, path)),
            }
        }
        let mut seen = Seen::default();
        for (did, file, path) in due {
            let refused = |error: io::Error| {
                Error::new(ErrorKind::Start, format!("cannot write {}: {error}", path.display()))
            };
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder).map_err(refused)?;
            }
            // Beside it and renamed: a reader never sees half of it.
            let beside = path.with_extension("new");
            fs::write(&beside, &file.text).and_then(|()| fs::rename(&beside, &path)).map_err(refused)?;
            seen.lines.push(format!("{did:<8} {}", path.display()));
        }
        if whole {
            let left = self.left_over()?;
            seen.notes.extend(
                left.iter().map(|path| format!("{} is of nothing any more; remove it", path.display())),
            );
        }
        Ok(seen)
    }

    /// Where each stands, and its text.
    pub(super) fn into_texts(self) -> Vec<(PathBuf, String)> {
        self.all().map(|(_, file, path)| (path, file.text.clone())).collect()
    }

    fn all(&self) -> impl Iterator<Item = (&Part, &Rendered, PathBuf)> {
        self.parts.iter().flat_map(move |part| {
            part.files.iter().map(move |file| (part, file, self.folder.join(part.name).join(&file.name)))
        })
    }

    /// Files of ours, in folders of ours, that nothing is rendered into any more.
    fn left_over(&self) -> Result<Vec<PathBuf>> {
        let wanted: BTreeSet<PathBuf> = self.all().map(|(.., path)| path).collect();
        let mut left = Vec::new();
        for part in self.parts.iter().filter(|part| !part.once) {
            let folder = self.folder.join(part.name);
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(unreadable(&folder, &error)),
            };
            for entry in entries {
                let path = entry.map_err(|error| unreadable(&folder, &error))?.path();
                let kind = path.extension().and_then(|kind| kind.to_str());
                let same =
                    part.files.iter().any(|file| Path::new(&file.name).extension() == path.extension());
                let asked = same && kind.is_some() && path.is_file() && !wanted.contains(&path);
                if asked && known(&path)?.is_some_and(|text| is_ours(&text)) {
                    left.push(path);
                }
            }
        }
        left.sort();
        Ok(left)
    }
}

fn known(path: &Path) -> Result<Option<String>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(path, &error)),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::config(format!("cannot read {}: {error}", path.display()))
}

fn is_ours(text: &str) -> bool {
    text.contains(MARK)
}

/// Stands in every file of ours.
const MARK: &str = "ade by `platform ops ";

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path, texts: &[(&str, &str)]) -> Files {
        let mut files = Files::new(folder.to_owned());
        let made = |text: &str| format!("# Made by `platform ops rules`\n{text}");
        let of = texts.iter().map(|(name, text)| Rendered { name: (*name).to_owned(), text: made(text) });
        files.add("rules", of.collect());
        files.add_once("runbooks", vec![Rendered { name: "a.md".to_owned(), text: "a".to_owned() }]);
        files
    }

    fn words(seen: &Seen) -> Vec<String> {
        let word = |line: &String| {
            let (what, path) = line.rsplit_once(' ').unwrap();
            format!("{} {}", what.trim(), Path::new(path).file_name().unwrap().to_str().unwrap())
        };
        seen.lines.iter().map(word).collect()
    }

    #[test]
    fn what_is_replaced_is_said_and_what_people_wrote_stays() {
        let folder = tempfile::tempdir().unwrap();
        let first = files(folder.path(), &[("a.yaml", "1"), ("b.yaml", "1")]);
        let seen = first.check(true).unwrap();
        assert!(seen.stale);
        assert_eq!(words(&seen), ["missing a.yaml", "missing b.yaml", "missing a.md"]);
        assert_eq!(words(&first.write(true).unwrap()), ["wrote a.yaml", "wrote b.yaml", "wrote a.md"]);
        assert!(!first.check(true).unwrap().stale);
        assert!(first.write(true).unwrap().lines.is_empty(), "nothing was due");

        fs::write(folder.path().join("runbooks/a.md"), "what we learned").unwrap();
        let second = files(folder.path(), &[("a.yaml", "2")]);
        assert_eq!(words(&second.check(true).unwrap()), ["different a.yaml", "left over b.yaml"]);
        assert_eq!(words(&second.check(false).unwrap()), ["different a.yaml"]);
        let seen = second.write(true).unwrap();
        assert_eq!(words(&seen), ["replaced a.yaml"]);
        assert!(seen.notes[0].contains("b.yaml is of nothing any more"), "{:?}", seen.notes);
        assert_eq!(fs::read_to_string(folder.path().join("runbooks/a.md")).unwrap(), "what we learned");
    }

    #[test]
    fn what_is_not_ours_is_not_replaced_and_nothing_else_is_written_then() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("rules")).unwrap();
        fs::write(folder.path().join("rules/b.yaml"), "by hand").unwrap();
        let error = files(folder.path(), &[("a.yaml", "1"), ("b.yaml", "1")]).write(true).unwrap_err();
        assert!(error.detail().contains("b.yaml was not made by this command"), "{error}");
        assert!(!folder.path().join("rules/a.yaml").exists());
        assert_eq!(fs::read_to_string(folder.path().join("rules/b.yaml")).unwrap(), "by hand");
    }
}
