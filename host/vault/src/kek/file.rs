//! A KEK in a file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use certosa_store::fault;
use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::process::geteuid;
use zeroize::Zeroizing;

use super::Kek;
use super::source::KekError;
use crate::secret::Key;

/// More than any spelling of a KEK has.
const BYTES_MAX: u64 = 128;

/// Reads a file that its owner alone can read, and that is ours. What is checked is what is read: the open file, not
/// its name.
pub(super) fn read(path: &Path) -> Result<Kek, KekError> {
    let failed = |source| KekError::File { path: path.to_owned(), source };
    // Without NONBLOCK a pipe under that name would be waited for.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits();
    let file = match OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path) {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(KekError::NotRegular(path.to_owned()));
        }
        opened => opened.map_err(failed)?,
    };
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(KekError::NotRegular(path.to_owned()));
    }
    if metadata.mode() & 0o177 != 0 {
        return Err(KekError::Mode { path: path.to_owned(), found: metadata.mode() & 0o7777 });
    }
    let (found, wanted) = (metadata.uid(), geteuid().as_raw());
    if found != wanted {
        return Err(KekError::Owner { path: path.to_owned(), found, wanted });
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(BYTES_MAX as usize + 1));
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    Kek::parse(&bytes).map_err(|source| KekError::Shape { from: format!("the file {}", path.display()), source })
}

/// Makes a file with a new KEK of 32 raw bytes. It is on the disk when this returns, and no file was overwritten. It has
/// its name only when all of it is there.
pub(super) fn make(path: &Path) -> Result<Kek, KekError> {
    let failed = |source| KekError::File { path: path.to_owned(), source };
    let mut key = Key::zero();
    getrandom::fill(key.fill()).map_err(|_| KekError::Random)?;
    let folder = path.parent().ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    let draft = path.with_extension("draft");
    let write = || {
        // One that is there is of a process that ended too early, and has not sealed anything.
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fault::point(),
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        fault::point();
        file.write_all(key.expose()).and_then(|()| file.sync_all())?;
        fault::point();
        // It replaces nothing, and is never there twice.
        renameat_with(CWD, &draft, CWD, path, RenameFlags::NOREPLACE)?;
        fault::point();
        File::open(folder).and_then(|folder| folder.sync_all())
    };
    write().map_err(failed)?;
    read(path)
}
