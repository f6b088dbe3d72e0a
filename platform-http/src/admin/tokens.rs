//! Tokens: the file that knows whose they are.

use std::{
    fs,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use platform_core::{Error, ErrorKind, Result, config::Secret};

use super::access::name;

/// The people of `admin.token_file`.
///
/// The file is read whenever a token is shown: operators ask seldom, and whoever was struck from the file is out
/// at once. A file that cannot be read knows nobody.
#[derive(Debug)]
pub(super) struct Tokens {
    path: PathBuf,
    /// The remark that was made last, so that it is made once and not at every request.
    told: Mutex<Option<String>>,
}

/// A person's name and secret.
type Entry = (String, Secret<Vec<u8>>);

impl Tokens {
    /// Reads the file once, so that a mistake is found when the process starts.
    pub(super) fn open(path: &str) -> Result<Self> {
        let tokens = Tokens { path: PathBuf::from(path), told: Mutex::default() };
        tokens.read().map_err(|why| {
            Error::new(ErrorKind::Start, format!("`admin.token_file`: {why}; its lines are NAME:TOKEN"))
        })?;
        Ok(tokens)
    }

    /// Whose token this is.
    pub(super) fn whose(&self, token: &[u8]) -> Option<String> {
        let entries = match self.read() {
            Ok(entries) => entries,
            Err(why) => {
                self.remark(Some(format!(
                    "admin.token_file: {why}; no token is accepted until it is mended"
                )));
                return None;
            }
        };
        let shown = Secret::new(token.to_vec());
        // All are compared, so that the time says nothing about which came close.
        let mut found = None;
        for (name, secret) in entries {
            if secret == shown {
                found = Some(name);
            }
        }
        found
    }

    fn read(&self) -> std::result::Result<Vec<Entry>, String> {
        let shown = self.path.display();
        // Short and local; asking for it elsewhere would take longer than reading it here.
        let text = Secret::new(fs::read_to_string(&self.path).map_err(|error| format!("{shown}: {error}"))?);
        let entries = parse(text.expose()).map_err(|why| format!("{shown}: {why}"))?;
        self.remark(self.openness());
        Ok(entries)
    }

    #[cfg(unix)]
    fn openness(&self) -> Option<String> {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(&self.path).ok()?.permissions().mode() & 0o777;
        let shown = self.path.display();
        (mode & TOO_OPEN != 0)
            .then(|| format!("admin.token_file {shown} has mode {mode:o}: others may use it; `chmod 640` it"))
    }

    #[cfg(not(unix))]
    fn openness(&self) -> Option<String> {
        None
    }

    fn remark(&self, remark: Option<String>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if *told != remark {
            if let Some(remark) = &remark {
                tracing::warn!("{remark}");
            }
            *told = remark;
        }
    }
}

/// Never says what stands in a line, only which one.
fn parse(text: &str) -> std::result::Result<Vec<Entry>, String> {
    let mut entries: Vec<Entry> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((who, token)) = line.split_once(':') else {
            return Err(format!("line {number} has no `:`"));
        };
        let who = name(who.as_bytes()).map_err(|why| format!("line {number}: {why}"))?;
        let token = token.trim();
        if token.is_empty() {
            return Err(format!("line {number} has no token behind the name"));
        }
        entries.push((who, Secret::new(token.as_bytes().to_vec())));
    }
    if entries.is_empty() { Err("nobody stands in it".to_owned()) } else { Ok(entries) }
}

/// Others may do anything, or the group may write. That the group reads is how containers are given secrets.
#[cfg(unix)]
const TOO_OPEN: u32 = 0o027;

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        fs::write(&path, text).unwrap();
        let path = path.to_str().unwrap().to_owned();
        (folder, path)
    }

    #[test]
    fn a_token_has_one_owner_and_the_file_is_read_again() {
        let (_folder, path) = file("# people\n\nann:s3cret\nbob : with:colon \n");
        let tokens = Tokens::open(&path).unwrap();
        assert_eq!(tokens.whose(b"s3cret").as_deref(), Some("ann"));
        assert_eq!(tokens.whose(b"with:colon").as_deref(), Some("bob"));
        assert_eq!(tokens.whose(b"s3cre"), None);
        assert_eq!(tokens.whose(b""), None);

        fs::write(&path, "eve:s3cret\n").unwrap();
        assert_eq!(tokens.whose(b"s3cret").as_deref(), Some("eve"), "the same length, a moment later");

        fs::remove_file(&path).unwrap();
        assert_eq!(tokens.whose(b"s3cret"), None, "a file that is gone knows nobody");
    }

    #[test]
    fn a_mistake_is_told_by_its_line_and_never_shows_a_token() {
        for (text, told) in [
            ("ann:s3cret\ns3cret-alone", "line 2 has no `:`"),
            ("ann:", "line 1 has no token"),
            (":s3cret", "line 1: a name is 1 to 64"),
            ("platform:s3cret", "line 1: `platform`"),
            ("# nobody\n", "nobody stands in it"),
        ] {
            let (_folder, path) = file(text);
            let error = Tokens::open(&path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Start);
            assert!(error.to_string().contains(told), "{error}");
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
        let error = Tokens::open("/nowhere/tokens").unwrap_err();
        assert!(error.to_string().contains("`admin.token_file`: /nowhere/tokens"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_read_is_remarked_upon_once() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_folder, path) = file("ann:s3cret");
        for (mode, too_open) in [(0o600, false), (0o440, false), (0o604, true), (0o620, true), (0o644, true)]
        {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let tokens = Tokens::open(&path).unwrap();
            let told = tokens.told.lock().unwrap().clone();
            assert_eq!(told.is_some(), too_open, "{mode:o} {told:?}");
        }
    }
}
