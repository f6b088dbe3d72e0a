//! Programs of others, which judge what was made.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// How a program ended and what it said; `None` where it is not installed, unless it must be. It is looked for beside the
/// Python of the tests and then on the path.
pub(crate) fn ran(
    folder: &Path,
    program: impl AsRef<Path>,
    arguments: &[&str],
) -> Option<(Option<i32>, String)> {
    let program = program.as_ref();
    let python = env::var_os("PLATFORM_TEST_PYTHON").map(PathBuf::from);
    let beside = python.and_then(|python| Some(python.parent()?.join(program))).filter(|path| path.is_file());
    let found = beside.unwrap_or_else(|| program.to_path_buf());
    match Command::new(found).args(arguments).current_dir(folder).output() {
        Ok(out) => {
            let said = [out.stdout, out.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
            Some((out.status.code(), said.concat()))
        }
        Err(error) => {
            let program = program.display();
            let required = env::var_os("PLATFORM_REQUIRE_OUTSIDE").is_some_and(|value| value == "1");
            assert!(!required, "{program} cannot be run: {error}");
            eprintln!("skipped: {program} cannot be run: {error}");
            None
        }
    }
}

/// What it said, finding nothing wrong.
pub(crate) fn judged(folder: &Path, program: &str, arguments: &[&str]) -> Option<String> {
    let (status, said) = ran(folder, program, arguments)?;
    assert_eq!(status, Some(0), "{program} {arguments:?}\n{said}");
    Some(said)
}
