use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use certosa_model::Digest;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::StoreError;

const MAC_BYTES: usize = 32;
const PIECE_BYTES: usize = 64 << 10;

/// Things that are expensive to make and dangerous to take from elsewhere: compiled code above all, which
/// runs as it is. Each entry ends with an HMAC-SHA256 (RFC 2104) over its kind, its digest and its content,
/// under a random key that lies beside the cache. What does not verify is made again.
pub struct Cache {
    folder: PathBuf,
    key: [u8; 32],
}

impl Cache {
    pub(crate) fn open(state: &Path) -> Result<Self, StoreError> {
        let file = state.join("cache.key");
        let key = key(&file).map_err(|source| StoreError::File { file, source })?;
        let folder = state.join("cache");
        match DirBuilder::new().recursive(true).mode(0o700).create(&folder) {
            Ok(()) => Ok(Self { folder, key }),
            Err(source) => Err(StoreError::Folder { folder, source }),
        }
    }

    /// The content of an entry, if it is there and whole. The bytes that were checked are the bytes that
    /// are returned.
    pub fn load(&self, kind: &str, digest: Digest) -> Option<Vec<u8>> {
        let mut bytes = fs::read(self.file(kind, digest)).ok()?;
        let length = bytes.len().checked_sub(MAC_BYTES)?;
        let (content, tag) = bytes.split_at_checked(length)?;
        self.mac(kind, digest, content).verify_slice(tag).ok()?;
        bytes.truncate(length);
        Some(bytes)
    }

    /// The file of an entry, if it is there and whole, to be mapped instead of read: what is mapped is memory that the
    /// system can take back. The entry is followed by its tag. Entries are replaced by new files and never written in
    /// place; who could do that has the key as well.
    pub fn load_file(&self, kind: &str, digest: Digest) -> Option<File> {
        let mut file = File::open(self.file(kind, digest)).ok()?;
        let mut length = usize::try_from(file.metadata().ok()?.len()).ok()?.checked_sub(MAC_BYTES)?;
        let mut mac = self.mac_of(kind, digest, length);
        let mut piece = vec![0; PIECE_BYTES];
        while length > 0 {
            let piece = piece.get_mut(..length.min(PIECE_BYTES))?;
            file.read_exact(piece).ok()?;
            mac.update(piece);
            length -= piece.len();
        }
        let mut tag = [0; MAC_BYTES];
        file.read_exact(&mut tag).ok()?;
        mac.verify_slice(&tag).ok()?;
        Some(file)
    }

    /// Keeps an entry. It appears under its name whole or not at all.
    pub fn save(&self, kind: &str, digest: Digest, content: &[u8]) -> io::Result<()> {
        let tag = self.mac(kind, digest, content).finalize().into_bytes();
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(content)?;
        file.write_all(&tag)?;
        file.persist(self.file(kind, digest))?;
        Ok(())
    }

    fn file(&self, kind: &str, digest: Digest) -> PathBuf {
        self.folder.join(format!("{kind}-{}", digest.to_hex()))
    }

    fn mac(&self, kind: &str, digest: Digest, content: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.mac_of(kind, digest, content.len());
        mac.update(content);
        mac
    }

    /// The code over everything but the content, which has this length.
    fn mac_of(&self, kind: &str, digest: Digest, length: usize) -> Hmac<Sha256> {
        // HMAC pads a short key with zeros to the block size (RFC 2104, section 2).
        let mut block = [0; 64];
        for (to, from) in block.iter_mut().zip(self.key) {
            *to = from;
        }
        let mut mac = <Hmac<Sha256> as hmac::digest::KeyInit>::new((&block).into());
        for part in [kind.as_bytes(), digest.to_hex().as_bytes()] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.update(&(length as u64).to_be_bytes());
        mac
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// Reads the key, or makes one. Two processes that start at once agree on the one that came first.
fn key(path: &Path) -> io::Result<[u8; 32]> {
    let mut key = [0; 32];
    match File::open(path) {
        Ok(mut file) => {
            file.read_exact(&mut key)?;
            return Ok(key);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let draft = path.with_extension(format!("key.{}", std::process::id()));
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&draft)?;
    file.write_all(&key)?;
    file.sync_all()?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            File::open(path)?.read_exact(&mut key)?;
            Ok(key)
        }
        Err(error) => Err(error),
        Ok(()) => Ok(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StateFolder;

    #[test]
    fn an_entry_comes_back_only_as_it_was_saved() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let cache = StateFolder::open(&state).unwrap().cache().unwrap();
        let digest = Digest::of(b"component");
        assert_eq!(cache.load("code", digest), None);
        cache.save("code", digest, b"machine code").unwrap();
        assert_eq!(cache.load("code", digest).as_deref(), Some(b"machine code".as_slice()));
        assert!(cache.load_file("code", digest).is_some());

        let file = cache.file("code", digest);
        let whole = fs::read(&file).unwrap();
        for index in 0..whole.len() {
            let mut changed = whole.clone();
            changed[index] ^= 1;
            fs::write(&file, changed).unwrap();
            assert_eq!(cache.load("code", digest), None, "byte {index} changed");
            assert!(cache.load_file("code", digest).is_none(), "byte {index} changed");
            fs::write(&file, &whole[..index]).unwrap();
            assert_eq!(cache.load("code", digest), None, "cut at {index}");
            assert!(cache.load_file("code", digest).is_none(), "cut at {index}");
        }
        fs::write(&file, &whole).unwrap();

        let again = StateFolder::open(&state).unwrap().cache().unwrap();
        assert!(again.load("code", digest).is_some(), "the key is kept");
        fs::copy(&file, cache.file("list", digest)).unwrap();
        assert_eq!(cache.load("list", digest), None, "an entry of another kind");
        fs::copy(&file, cache.file("code", Digest::of(b"other"))).unwrap();
        assert_eq!(cache.load("code", Digest::of(b"other")), None, "an entry of another component");

        let elsewhere = StateFolder::open(&folder.path().join("elsewhere")).unwrap().cache().unwrap();
        fs::copy(&file, elsewhere.file("code", digest)).unwrap();
        assert_eq!(elsewhere.load("code", digest), None, "an entry under another key");
    }

    #[test]
    fn a_folder_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(StateFolder::open(folder.path()), Err(StoreError::Open(_))));
    }
}
