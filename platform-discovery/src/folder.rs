//! Whose folder is the directory registry?
//!
//! Whoever can write into the registry can send our traffic anywhere. So we make the folder for our user alone
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

use crate::config::Dir;

/// The registry's folder. Its methods touch the disk; call them where blocking is fine.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// A folder above, made by us in a place where others can write too.
    above: Option<PathBuf>,
}

impl Folder {
    /// The folder of this configuration and environment.
    pub(crate) fn of(config: &Dir) -> Self {
        if config.path.as_os_str().is_empty() {
            let uid = rustix::process::geteuid().as_raw();
            Folder::usual(std::env::var_os("XDG_RUNTIME_DIR"), &std::env::temp_dir(), uid)
        } else {
            Folder { path: config.path.clone(), above: None }
        }
    }

    fn usual(runtime: Option<OsString>, temporary: &Path, uid: u32) -> Self {
        match runtime.map(PathBuf::from).filter(|path| path.is_absolute()) {
            Some(runtime) => Folder { path: runtime.join("platform/registry"), above: None },
            None => {
                let above = temporary.join(format!("platform-{uid}"));
                Folder { path: above.join("registry"), above: Some(above) }
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
        // Nothing is made inside of what cannot be trusted: a link may lead anywhere.
        if let Some(above) = &self.above {
            make(above)?;
        }
        self.look()?;
        make(&self.path)?;
        self.look()?;
        let service = self.of_service(name);
        make(&service)?;
        Ok(service)
    }

    fn look_as(&self, uid: u32) -> Result<bool> {
        // A link in the temporary folder is somebody's trap; a link in a configured path is the operator's.
        if let Some(above) = &self.above {
            match fs::symlink_metadata(above) {
                Ok(found) => trust(above, &found, uid)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(unreadable(above, error)),
            }
        }
        match fs::metadata(&self.path) {
            Ok(found) => trust(&self.path, &found, uid).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(unreadable(&self.path, error)),
        }
    }
}

fn make(path: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| {
        Error::new(
            ErrorKind::Start,
            format!("the registry's folder {} cannot be made; set discovery.dir.path", path.display()),
        )
        .with_source(error)
    })
}

fn trust(path: &Path, found: &Metadata, uid: u32) -> Result<()> {
    let shown = path.display();
    let why = if !found.is_dir() {
        format!("the registry's folder {shown} is no folder; remove it, or set discovery.dir.path")
    } else if found.uid() != uid {
        format!(
            "the registry's folder {shown} belongs to user {} and this process runs as {uid}; set discovery.dir.path \
             to a folder of its own",
            found.uid()
        )
    } else if found.mode() & 0o022 != 0 {
        format!(
            "the registry's folder {shown} can be written to by other users (mode {:03o}); run: chmod 700 {shown}",
            found.mode() & 0o777
        )
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::Start, why))
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Start, format!("the registry's folder {} cannot be read", path.display()))
        .with_source(error)
}

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
}
