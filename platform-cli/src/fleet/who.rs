//! By what is somebody at a terminal known to a listener?

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use http::{HeaderName, HeaderValue, header};
use platform_core::{Result, config::Secret};

use crate::usage;

/// Who asks.
#[derive(Debug)]
pub(crate) enum Who {
    Named(String),
    /// A file with a token, read whenever one is shown.
    File(PathBuf),
    Token(Secret<String>),
}

impl Who {
    /// Who names a token's file, else who has a token in the environment, else this name, else the one that this machine
    /// knows.
    ///
    /// # Errors
    /// A file, or a variable, without a token.
    pub(crate) fn of(token_file: Option<&Path>, name: Option<&str>) -> Result<Self> {
        if let Some(file) = token_file {
            of_file(file)?;
            return Ok(Who::File(file.to_owned()));
        }
        if let Some(text) = env::var_os(TOKEN).filter(|text| !text.is_empty()) {
            let token = text.to_str().and_then(first);
            let token = token.ok_or_else(|| usage(format!("{TOKEN}: there is no token in it; {WRITTEN}")))?;
            return Ok(Who::Token(Secret::new(token.to_owned())));
        }
        let login = || env::var("USER").or_else(|_| env::var("LOGNAME")).unwrap_or_default();
        let name = name.map_or_else(login, str::to_owned);
        Ok(Who::Named(if name.is_empty() { NOBODY.to_owned() } else { name }))
    }

    /// What a request shows.
    ///
    /// # Errors
    /// A file without a token, a name that no header can carry.
    pub(super) fn shown(&self) -> Result<(HeaderName, HeaderValue)> {
        let token = match self {
            Who::Named(name) => {
                let value = HeaderValue::from_str(name);
                let value =
                    value.map_err(|_| usage(format!("--as {name:?}: no request can say that name")))?;
                return Ok((HeaderName::from_static("x-platform-actor"), value));
            }
            Who::File(file) => of_file(file)?,
            Who::Token(token) => token.clone(),
        };
        let value = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
        let mut value = value.map_err(|_| usage("a token is printable ASCII"))?;
        value.set_sensitive(true);
        Ok((header::AUTHORIZATION, value))
    }
}

/// The first token of a file.
fn of_file(file: &Path) -> Result<Secret<String>> {
    let shown = file.display();
    let text = fs::read_to_string(file).map_err(|error| usage(format!("--token-file {shown}: {error}")))?;
    let token = first(&text)
        .ok_or_else(|| usage(format!("--token-file {shown}: there is no token in it; {WRITTEN}")))?;
    Ok(Secret::new(token.to_owned()))
}

/// The first token of lines `NAME:TOKEN`, or of tokens alone.
fn first(text: &str) -> Option<&str> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    let token = line.split_once(':').map_or(line, |(_, token)| token.trim());
    (!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())).then_some(token)
}

/// A token for where there is no file, as in a job of a CI.
const TOKEN: &str = "PLATFORM_ADMIN_TOKEN";
const WRITTEN: &str = "write NAME:TOKEN, as in the listener's own file";
/// Whoever has no name at this machine.
const NOBODY: &str = "somebody";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_the_first_of_its_lines_and_stands_in_no_dump() {
        for (text, token) in [
            ("s3cret", Some("s3cret")),
            ("# of the on-call\n\nann: s3cret\nbob:other\n", Some("s3cret")),
            ("ann:", None),
            ("", None),
            ("two words", None),
        ] {
            assert_eq!(first(text), token, "{text:?}");
        }
        let who = Who::Token(Secret::new("s3cret".to_owned()));
        let (name, value) = who.shown().unwrap();
        assert_eq!((name, value.to_str().unwrap()), (header::AUTHORIZATION, "Bearer s3cret"));
        assert!(!format!("{who:?}{value:?}").contains("s3cret"));
    }
}
