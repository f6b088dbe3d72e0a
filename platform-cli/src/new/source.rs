//! Where does a service get the platform's crates from?

use std::path::{Component, Path, PathBuf};

use platform_core::Result;

use crate::usage;

/// What `--platform` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A checkout.
    Path(PathBuf),
    /// A repository, and what of it.
    Git { url: String, revision: Option<String> },
    /// A registry, and which version.
    Registry(String),
}

impl Source {
    /// Without a word it is the checkout that this program was built from.
    ///
    /// # Errors
    /// A word that is none; a folder that is no checkout.
    pub(super) fn parse(word: Option<&str>) -> Result<Self> {
        let (kind, value) = word.map_or(("path", None), |word| match word.split_once('=') {
            Some((kind, value)) => (kind, Some(value)),
            None => (word, None),
        });
        match (kind, value) {
            ("path", path) => {
                let path = Path::new(path.unwrap_or(BUILT_FROM));
                let found =
                    path.canonicalize().ok().filter(|path| path.join("platform-core/Cargo.toml").is_file());
                let found = found.ok_or_else(|| {
                    usage(format!(
                        "{} is no checkout of the platform; say --platform path=FOLDER, git=URL or registry=VERSION",
                        path.display()
                    ))
                })?;
                Ok(Source::Path(found))
            }
            ("git", Some(value)) if !value.is_empty() => {
                let (url, revision) = match value.split_once('#') {
                    Some((url, revision)) => (url, Some(revision.to_owned())),
                    None => (value, None),
                };
                Ok(Source::Git {
                    url: quotable(url)?,
                    revision: revision.map(|one| quotable(&one)).transpose()?,
                })
            }
            ("git", _) => Err(usage("--platform git needs an address: git=https://host/platform.git#v0.1.0")),
            ("registry", version) => {
                Ok(Source::Registry(quotable(version.unwrap_or(env!("CARGO_PKG_VERSION")))?))
            }
            (other, _) => Err(usage(format!(
                "--platform {other:?}: say path, path=FOLDER, git=URL#TAG, registry or registry=VERSION"
            ))),
        }
    }

    /// The checkout as a service in `folder` names it: by steps where both have a parent in common, so that they can
    /// be moved together.
    pub(super) fn path_from(&self, folder: &Path) -> Option<String> {
        let Source::Path(checkout) = self else { return None };
        Some(relative(folder, checkout).unwrap_or_else(|| checkout.clone()).display().to_string())
    }

    /// The value of a dependency on the crate that lies in `within` of the checkout, for a service in `folder`.
    pub(super) fn dependency(&self, within: &str, folder: &Path) -> String {
        match self {
            Source::Path(_) => format!("path = \"{}/{within}\"", self.path_from(folder).unwrap_or_default()),
            Source::Git { url, revision: None } => format!("git = \"{url}\""),
            Source::Git { url, revision: Some(revision) } if is_commit(revision) => {
                format!("git = \"{url}\", rev = \"{revision}\"")
            }
            Source::Git { url, revision: Some(tag) } => format!("git = \"{url}\", tag = \"{tag}\""),
            Source::Registry(version) => format!("version = \"{version}\""),
        }
    }

    /// What `cargo install` is told to get the program `platform`, by a service in `folder`.
    pub(super) fn program(&self, folder: &Path) -> String {
        match self {
            Source::Path(_) => {
                format!("--path \"{}/platform-cli\"", self.path_from(folder).unwrap_or_default())
            }
            Source::Git { url, revision: None } => format!("--git \"{url}\" platform-cli"),
            Source::Git { url, revision: Some(revision) } => {
                let what = if is_commit(revision) { "rev" } else { "tag" };
                format!("--git \"{url}\" --{what} \"{revision}\" platform-cli")
            }
            // A bare version would be that one and no later one, and has to have three numbers.
            Source::Registry(version) => {
                let at_least =
                    if version.starts_with(|first: char| first.is_ascii_digit()) { "^" } else { "" };
                format!("platform-cli --version \"{at_least}{version}\"")
            }
        }
    }

    /// The versions that the checkout was tested with: a service begins with the same ones.
    pub(super) fn lock(&self) -> Option<PathBuf> {
        let Source::Path(checkout) = self else { return None };
        Some(checkout.join("Cargo.lock")).filter(|lock| lock.is_file())
    }
}

fn is_commit(revision: &str) -> bool {
    (7..=40).contains(&revision.len()) && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What may stand between quotes of a TOML file.
fn quotable(text: &str) -> Result<String> {
    if text.is_empty() || text.contains(['"', '\\', '{', '}']) || text.chars().any(char::is_control) {
        return Err(usage(format!("--platform: {text:?} is no address, tag or version")));
    }
    Ok(text.to_owned())
}

/// `to` as steps from `from`; `None` where they have nothing in common but the root.
fn relative(from: &Path, to: &Path) -> Option<PathBuf> {
    let common = from.components().zip(to.components()).take_while(|(one, other)| one == other).count();
    if common < 2 {
        return None;
    }
    let up = from.components().skip(common).map(|_| Component::ParentDir);
    Some(up.chain(to.components().skip(common)).collect())
}

/// Where this program was built: it is there straight after a clone, and nowhere else.
const BUILT_FROM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_word_it_is_the_checkout_beside_which_it_is_named_by_steps() {
        let source = Source::parse(None).unwrap();
        let Source::Path(checkout) = &source else { panic!("{source:?}") };
        let beside = checkout.parent().unwrap().join("shop/orders");
        let name = checkout.file_name().unwrap().to_str().unwrap();
        let expected = format!("path = \"../../{name}/platform-core\"");
        if beside.components().count() > 3 {
            assert_eq!(source.dependency("platform-core", &beside), expected);
        }
        let inside = source.dependency("platform-http", &checkout.join("orders"));
        assert_eq!(inside, "path = \"../platform-http\"");
        let far = source.path_from(Path::new("/elsewhere/orders")).unwrap();
        assert_eq!(Path::new(&far), checkout);
        assert!(source.lock().is_some());
    }

    #[test]
    fn git_and_registry_are_pinned_as_cargo_wants_it() {
        let dependency = |word: &str| Source::parse(Some(word)).unwrap().dependency("x", Path::new("/a/b"));
        assert_eq!(dependency("git=https://h/p.git"), "git = \"https://h/p.git\"");
        assert_eq!(dependency("git=https://h/p.git#v1.0.0"), "git = \"https://h/p.git\", tag = \"v1.0.0\"");
        assert_eq!(
            dependency("git=https://h/p.git#0a1b2c3d"),
            "git = \"https://h/p.git\", rev = \"0a1b2c3d\""
        );
        assert_eq!(dependency("registry=0.2"), "version = \"0.2\"");
        assert_eq!(dependency("registry"), concat!("version = \"", env!("CARGO_PKG_VERSION"), "\""));
        assert_eq!(Source::parse(Some("registry")).unwrap().lock(), None);
    }

    #[test]
    fn what_is_no_source_is_refused() {
        for (word, told) in [
            ("path=/nowhere", "is no checkout"),
            ("git", "needs an address"),
            ("git=a\"b", "is no address"),
            ("svn=x", "say path, path=FOLDER"),
        ] {
            let error = Source::parse(Some(word)).unwrap_err().to_string();
            assert!(error.contains(told), "{word}: {error}");
        }
    }
}
