//! What several rooms do with files. Everything here blocks.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

/// Of a file at one moment: any of these differs after it was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    modified: (i64, i64),
    changed: (i64, i64),
    length: u64,
    inode: u64,
}

impl Stamp {
    /// Of the file behind all links; `None` if there is none to be seen. A link that was turned to a new folder, as
    /// Kubernetes does it, is another file.
    pub fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|found| Stamp::from(&found))
    }
}

impl From<&Metadata> for Stamp {
    fn from(found: &Metadata) -> Self {
        Stamp {
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
            length: found.len(),
            inode: found.ino(),
        }
    }
}

/// The whole file, or one byte more than `most`, so that a larger one shows and never fills the memory.
pub(crate) fn read_at_most(file: File, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Stores these in place of what was there, written beside it first and renamed: nobody reads half of it, and two
/// processes that write at once do not mix. Beside is a name that begins with a dot.
pub(crate) fn replace(place: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = place.file_name().unwrap_or_default().to_string_lossy();
    let beside = place.with_file_name(format!(".{file}.{}", std::process::id()));
    fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, place)).inspect_err(|_| {
        // What is left of it would only lie about.
        let _ = fs::remove_file(&beside);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("a.json");
        replace(&place, b"first").unwrap();
        let before = Stamp::from(&fs::metadata(&place).unwrap());
        replace(&place, b"other").unwrap();
        assert_ne!(Stamp::from(&fs::metadata(&place).unwrap()), before, "as long as before, and another");
        // A folder cannot be replaced by a file.
        fs::create_dir(folder.path().join("b")).unwrap();
        replace(&folder.path().join("b"), b"x").unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_is_too_large_shows_and_is_not_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("a");
        for (length, read) in [(0, 0), (7, 7), (8, 8), (9, 9), (90, 9)] {
            fs::write(&place, vec![b'x'; length]).unwrap();
            assert_eq!(read_at_most(File::open(&place).unwrap(), 8).unwrap().len(), read);
        }
    }
}
