//! Whose folder is the directory registry, and whose the one of the saved lists?
//!
//! Whoever can write into either can send our traffic anywhere. So we make the folder for our user alone
//! (mode 0700), and refuse one that another user owns, lying in wait in the temporary folder, or that others
//! can write to. One that others can only read is the operator's choice: records hold no secrets.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, Metadata},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use platform_core::{Error, ErrorKind, Result};

use crate::config::{Config, Dir};

/// A folder that only we write to. Its methods touch the disk; call them where blocking is fine.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// A folder above or this one, made by us in a place where others can write too.
    above: Option<PathBuf>,
    purpose: Purpose,
}

/// What a folder is for, in an error's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Purpose {
    name: &'static str,
    key: &'static str,
}

impl Folder {
    /// The registry's folder of this configuration and environment.
    pub(crate) fn of(config: &Dir) -> Self {
        if config.path.as_os_str().is_empty() {
            let uid = rustix::process::geteuid().as_raw();
            Folder::usual(std::env::var_os("XDG_RUNTIME_DIR"), &std::env::temp_dir(), uid)
        } else {
            Folder { path: config.path.clone(), above: None, purpose: REGISTRY }
        }
    }

    /// The folder of the saved lists; `None` where nothing is to be kept.
    pub(crate) fn of_snapshots(config: &Config) -> Option<Self> {
        match config.snapshot.as_os_str() {
            none if none == "none" => None,
            usual if usual.is_empty() => Folder::of(&config.dir).beside(),
            _ => Some(Folder { path: config.snapshot.clone(), above: None, purpose: SNAPSHOTS }),
        }
    }

    /// The lists beside this registry. `None` for a registry that is the root of a disk.
    fn beside(&self) -> Option<Self> {
        let path = match self.path.file_name()?.to_str() {
            Some("registry") => self.path.with_file_name("snapshots"),
            name => self.path.with_file_name(format!("{}-snapshots", name.unwrap_or("registry"))),
        };
        // Nobody chose this place, so a link in it is a trap.
        let above = self.above.clone().or(Some(path.clone()));
        Some(Folder { path, above, purpose: SNAPSHOTS })
    }

    fn usual(runtime: Option<OsString>, temporary: &Path, uid: u32) -> Self {
        match runtime.map(PathBuf::from).filter(|path| path.is_absolute()) {
            Some(runtime) => {
                Folder { path: runtime.join("platform/registry"), above: None, purpose: REGISTRY }
            }
            None => {
                let above = temporary.join(format!("platform-{uid}"));
                Folder { path: above.join("registry"), above: Some(above), purpose: REGISTRY }
            }
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The records of one service.
    pub(crate) fn of_service(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether it is there; an error if it is there and cannot be trusted or read.
    pub(crate) fn look(&self) -> Result<bool> {
        self.look_as(rustix::process::geteuid().as_raw())
    }

    /// Makes the folder of one service, and those above it.
    pub(crate) fn make(&self, name: &str) -> Result<PathBuf> {
        self.make_itself()?;
        let service = self.of_service(name);
        self.purpose.make(&service)?;
        Ok(service)
    }

    /// Makes the folder, and those above it.
    pub(crate) fn make_itself(&self) -> Result<()> {
        // Nothing is made inside of what cannot be trusted: a link may lead anywhere.
        if let Some(above) = &self.above {
            self.purpose.make(above)?;
        }
        self.look()?;
        self.purpose.make(&self.path)?;
        self.look().map(drop)
    }

    fn look_as(&self, uid: u32) -> Result<bool> {
        // A link in the temporary folder is somebody's trap; a link in a configured path is the operator's.
        if let Some(above) = &self.above {
            match fs::symlink_metadata(above) {
                Ok(found) => self.purpose.trust(above, &found, uid)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(self.purpose.unreadable(above, error)),
            }
        }
        match fs::metadata(&self.path) {
            Ok(found) => self.purpose.trust(&self.path, &found, uid).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.purpose.unreadable(&self.path, error)),
        }
    }
}

impl Purpose {
    fn make(self, path: &Path) -> Result<()> {
        let Purpose { name, key } = self;
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| {
            Error::new(ErrorKind::Start, format!("{name} {} cannot be made; set {key}", path.display()))
                .with_source(error)
        })
    }

    fn trust(self, path: &Path, found: &Metadata, uid: u32) -> Result<()> {
        let (Purpose { name, key }, shown) = (self, path.display());
        let why = if !found.is_dir() {
            format!("{name} {shown} is no folder; remove it, or set {key}")
        } else if found.uid() != uid {
            format!(
                "{name} {shown} belongs to user {} and this process runs as {uid}; set {key} to a folder of its own",
                found.uid()
            )
        } else if found.mode() & 0o022 != 0 {
            format!(
                "{name} {shown} can be written to by other users (mode {:03o}); run: chmod 700 {shown}",
                found.mode() & 0o777
            )
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Start, why))
    }

    fn unreadable(self, path: &Path, error: io::Error) -> Error {
        Error::new(ErrorKind::Start, format!("{} {} cannot be read", self.name, path.display()))
            .with_source(error)
    }
}

const REGISTRY: Purpose = Purpose { name: "the registry's folder", key: "discovery.dir.path" };
const SNAPSHOTS: Purpose = Purpose { name: "the folder of the saved lists", key: "discovery.snapshot" };

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn uid() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    #[test]
    fn the_usual_place_is_the_runtime_folder_else_one_per_user_in_the_temporary_folder() {
        let usual = |runtime: Option<&str>| Folder::usual(runtime.map(OsString::from), Path::new("/tmp"), 7);
        assert_eq!(usual(Some("/run/user/7")).path(), Path::new("/run/user/7/platform/registry"));
        for none in [None, Some(""), Some("relative")] {
            assert_eq!(usual(none).path(), Path::new("/tmp/platform-7/registry"));
        }
    }

    #[test]
    fn a_folder_is_made_for_its_user_alone() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::usual(None, temporary.path(), uid());
        assert!(!folder.look().unwrap(), "nobody has made it yet");
        let service = folder.make("catalog").unwrap();
        for path in [service.as_path(), folder.path(), folder.above.as_deref().unwrap()] {
            assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o700, "{}", path.display());
        }
        assert!(folder.look().unwrap());
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::usual(None, temporary.path(), uid());
        folder.make("catalog").unwrap();
        for path in [folder.path().to_owned(), folder.above.clone().unwrap()] {
            for mode in [0o770, 0o702, 0o777] {
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
                let error = folder.look().unwrap_err();
                assert!(error.detail().contains(&format!("mode {mode:o}); run: chmod 700")), "{error}");
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            assert!(folder.look().unwrap(), "reading does no harm");
        }
    }

    #[test]
    fn a_folder_of_another_user_is_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::usual(None, temporary.path(), uid());
        folder.make("catalog").unwrap();
        let error = folder.look_as(uid() + 1).unwrap_err();
        assert!(error.detail().contains("belongs to user"), "{error}");

        if uid() != 0 {
            eprintln!("skipped: only root can give a folder away");
            return;
        }
        std::os::unix::fs::chown(folder.path(), Some(4242), None).unwrap();
        let error = folder.make("catalog").unwrap_err();
        assert!(error.detail().contains("belongs to user 4242"), "{error}");
    }

    #[test]
    fn a_link_in_the_temporary_folder_is_a_trap() {
        let temporary = tempfile::tempdir().unwrap();
        let mine = tempfile::tempdir().unwrap();
        symlink(mine.path(), temporary.path().join(format!("platform-{}", uid()))).unwrap();
        let trap = Folder::usual(None, temporary.path(), uid());
        for error in [trap.look().unwrap_err(), trap.make("catalog").unwrap_err()] {
            assert!(error.detail().contains("is no folder"), "{error}");
        }
        assert_eq!(fs::read_dir(mine.path()).unwrap().count(), 0, "nothing is made where the link leads");
    }

    #[test]
    fn the_saved_lists_are_beside_the_registry_unless_somebody_says_where() {
        let of = |path: &str, snapshot: &str| {
            let dir = Dir { path: path.into(), ..Dir::default() };
            let config = Config { dir, snapshot: snapshot.into(), ..Config::default() };
            Folder::of_snapshots(&config).map(|folder| folder.path().display().to_string())
        };
        assert_eq!(of("/run/shop/registry", "").unwrap(), "/run/shop/snapshots");
        assert_eq!(of("/run/shop", "").unwrap(), "/run/shop-snapshots");
        assert_eq!(of("/run/shop", "/var/lists").unwrap(), "/var/lists");
        assert_eq!(of("/run/shop", "none"), None);
        assert_eq!(of("/", ""), None);
        let usual = |runtime: Option<&str>| {
            Folder::usual(runtime.map(OsString::from), Path::new("/tmp"), 7).beside().unwrap()
        };
        assert_eq!(usual(None).path(), Path::new("/tmp/platform-7/snapshots"));
        assert_eq!(usual(Some("/run/user/7")).path(), Path::new("/run/user/7/platform/snapshots"));
    }

    #[test]
    fn a_place_that_nobody_chose_is_no_link_and_its_errors_name_its_key() {
        let temporary = tempfile::tempdir().unwrap();
        let (mine, registry) = (temporary.path().join("mine"), temporary.path().join("shop"));
        fs::create_dir(&mine).unwrap();
        symlink(&mine, temporary.path().join("shop-snapshots")).unwrap();
        let trap = Folder { path: registry, above: None, purpose: REGISTRY }.beside().unwrap();
        for error in [trap.look().unwrap_err(), trap.make_itself().unwrap_err()] {
            assert!(error.detail().contains("is no folder; remove it, or set discovery.snapshot"), "{error}");
        }
        let chosen = Folder { path: temporary.path().join("lists"), above: None, purpose: SNAPSHOTS };
        chosen.make_itself().unwrap();
        assert_eq!(fs::metadata(chosen.path()).unwrap().mode() & 0o777, 0o700);
        fs::set_permissions(chosen.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(chosen.look().unwrap_err().detail().contains("the folder of the saved lists"));
    }
}
