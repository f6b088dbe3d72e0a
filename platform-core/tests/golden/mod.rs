//! What this version writes, word for word, and what earlier ones wrote.
//!
//! `wire/VERSION/` holds what a version writes where others read it. A test writes the same once more and compares: a
//! change is either taken back, because an older neighbour would not read it, or committed with a line in the CHANGELOG.
//! And it reads what every version has written, as long as its folder is there (CONTRIBUTING.md, Versions).

use std::{env, fs, path::PathBuf};

/// Of what is written today, `written` is the file `name`. With `GOLDEN=write` it becomes that.
///
/// # Panics
/// Where it is another text.
pub(crate) fn is(name: &str, written: &str) {
    let path = folder().join(env!("CARGO_PKG_VERSION")).join(name);
    let mut told = fs::read_to_string(&path).unwrap_or_default();
    if told != written && env::var_os("GOLDEN").is_some_and(|value| value == "write") {
        fs::create_dir_all(path.parent().expect("it stands in a folder")).expect("a folder");
        // Beside it and then renamed: other tests read it meanwhile.
        let beside = path.with_extension(format!("{}.new", std::process::id()));
        fs::write(&beside, written).expect("it can be written");
        fs::rename(&beside, &path).expect("it can be renamed");
        written.clone_into(&mut told);
    }
    assert!(
        told == written,
        "wire/{}/{name} is not what is written now:\n{written}\nWill an older neighbour read it? Then GOLDEN=write \
         brings the file up to date (CONTRIBUTING.md, Versions).",
        env!("CARGO_PKG_VERSION")
    );
}

/// The file `name` of every version that has it, each with its version.
pub(crate) fn of_every_version(name: &str) -> Vec<(String, String)> {
    let versions = fs::read_dir(folder()).expect("there is at least ours").flatten();
    let mut found: Vec<(String, String)> = versions
        .filter_map(|version| {
            let text = fs::read_to_string(version.path().join(name)).ok()?;
            Some((version.file_name().to_string_lossy().into_owned(), text))
        })
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no version has written {name}");
    found
}

fn folder() -> PathBuf {
    // Beside this crate and its neighbours.
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../wire"))
}
