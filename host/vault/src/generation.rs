//! The file that says how far the vault has come. It lies beside the database, so that an older database stands out.
//!
//! ```text
//! certosa vault generation 1
//! 41 CONTENT CODE
//! 42 CONTENT CODE
//! ```
//!
//! CONTENT is the code of the vault's row (`snapshot`), CODE is HMAC-SHA256 over vault id, generation and content,
//! both in hex. Before a change is committed the file names two generations, the one that is and the one that is to
//! be; afterwards it names the new one alone. Whatever a crash leaves, the database is at one of those.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use certosa_store::fault;
use hmac::Mac as _;
use rustix::fs::{FlockOperation, flock};

use crate::kek::hmac;
use crate::record::{Keys, part};

/// One generation, and what the vault is made of at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub generation: u64,
    pub content: [u8; 32],
}

pub(crate) struct GenerationFile<'a> {
    folder: &'a Path,
}

/// The file that was seen. It is held open, so that its inode is not given to the next one, which may be of the same
/// size and, where clocks are coarse, of the same time.
pub(crate) struct Seen {
    pub id: FileId,
    #[expect(dead_code, reason = "holding it is what it is for")]
    held: File,
}

/// Which file it is, as far as `stat` tells: each is a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
    modified: (i64, i64),
    bytes: u64,
}

/// Why the database may not be the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Staleness {
    #[error("the database is at generation {database}, and generation {file} was seen: an older database was restored")]
    Older { database: u64, file: u64 },
    #[error(
        "the database is at generation {database}, and vault.generation knows none after {file}: it is an older file, \
         or the database is another one"
    )]
    Ahead { database: u64, file: u64 },
    #[error("the database is at generation {database} with other content than was seen: it is another one")]
    Other { database: u64 },
    #[error("vault.generation is missing, and the database is at generation {database}")]
    Missing { database: u64 },
    #[error("vault.generation has no code under this KEK: it was changed, or belongs to another vault")]
    Forged,
}

const FIRST_LINE: &str = "certosa vault generation 1";
const BYTES_MAX: u64 = 512;
const LOCK_WAIT: Duration = Duration::from_secs(10);
const LOCK_PAUSE: Duration = Duration::from_millis(10);

impl<'a> GenerationFile<'a> {
    pub(crate) fn of(folder: &'a Path) -> Self {
        Self { folder }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join("vault.generation")
    }

    /// `None`: there is no file.
    pub(crate) fn read(&self) -> io::Result<Option<String>> {
        let file = match File::open(self.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut bytes = Vec::new();
        file.take(BYTES_MAX).read_to_end(&mut bytes)?;
        // What is no text has no code either.
        Ok(Some(String::from_utf8(bytes).unwrap_or_default()))
    }

    /// Takes the place of the file that was there, or leaves it as it was. On the disk when this returns. The lock is
    /// held, so the draft is nobody else's; one that a crash left is written over.
    pub(crate) fn write(&self, lines: &[String]) -> io::Result<()> {
        fault::point();
        let draft = self.folder.join("vault.generation.new");
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&draft)?;
        writeln!(file, "{FIRST_LINE}")?;
        for line in lines {
            writeln!(file, "{line}")?;
        }
        file.sync_all()?;
        fault::point();
        fs::rename(&draft, self.path())?;
        fault::point();
        File::open(self.folder)?.sync_all()?;
        fault::point();
        Ok(())
    }

    /// The file as it is now. With the lock held it is the one that was read or written last.
    pub(crate) fn hold(&self) -> io::Result<Seen> {
        let held = File::open(self.path())?;
        Ok(Seen { id: FileId::from_metadata(&held.metadata()?), held })
    }
}

impl FileId {
    /// `None` where there is no file, or none that can be looked at: it is not the one that was seen.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        fs::symlink_metadata(path).ok().as_ref().map(Self::from_metadata)
    }

    fn from_metadata(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            modified: (found.mtime(), found.mtime_nsec()),
            bytes: found.len(),
        }
    }
}

impl Mark {
    /// Its line, without the end.
    pub(crate) fn line(&self, keys: &Keys) -> String {
        let code = self.code(keys).finalize().into_bytes();
        format!("{} {} {}", self.generation, hex::encode(self.content), hex::encode(code))
    }

    /// The lines of a file that have a code under these keys: one or two.
    pub(crate) fn of_text(text: &str, keys: &Keys) -> Vec<Self> {
        let Some(lines) = text.strip_prefix(FIRST_LINE).and_then(|rest| rest.strip_prefix('\n')) else {
            return Vec::new();
        };
        lines.lines().take(2).filter_map(|line| Self::of_line(line, keys)).collect()
    }

    fn of_line(line: &str, keys: &Keys) -> Option<Self> {
        let mut words = line.split(' ');
        let (generation, content, code) = (words.next()?, words.next()?, words.next()?);
        let mut mark = Self { generation: generation.parse().ok()?, content: [0; 32] };
        hex::decode_to_slice(content, &mut mark.content).ok()?;
        mark.code(keys).verify_slice(&hex::decode(code).ok()?).ok()?;
        Some(mark)
    }

    fn code(&self, keys: &Keys) -> hmac::Hmac<sha2::Sha256> {
        let mut mac = hmac(&keys.generation);
        for bytes in [FIRST_LINE.as_bytes(), &keys.vault, &self.generation.to_be_bytes(), &self.content] {
            part(&mut mac, bytes);
        }
        mac
    }

    /// Whether `found`, which is in the database, is what the file vouches for.
    pub(crate) fn vouched(found: Self, text: Option<&str>, keys: &Keys) -> Result<(), Staleness> {
        let database = found.generation;
        let Some(text) = text else {
            // A vault that was just made: the file comes after the database.
            return if database == 0 { Ok(()) } else { Err(Staleness::Missing { database }) };
        };
        let marks = Self::of_text(text, keys);
        if marks.contains(&found) {
            return Ok(());
        }
        match marks.iter().map(|mark| mark.generation).max() {
            None => Err(Staleness::Forged),
            Some(file) if file > database => Err(Staleness::Older { database, file }),
            Some(file) if file < database => Err(Staleness::Ahead { database, file }),
            Some(_) => Err(Staleness::Other { database }),
        }
    }
}

/// Keeps every other process from changing the vault until it is dropped.
pub(crate) struct Lock(#[expect(dead_code, reason = "the lock lives as long as the file is open")] File);

impl Lock {
    /// `None`: somebody else had it for too long.
    pub(crate) async fn take(folder: &Path) -> io::Result<Option<Self>> {
        let path = folder.join("vault.lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        let end = tokio::time::Instant::now() + LOCK_WAIT;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Some(Self(file))),
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            if tokio::time::Instant::now() >= end {
                return Ok(None);
            }
            tokio::time::sleep(LOCK_PAUSE).await;
        }
    }
}
