//! A vault: opened once, kept sealed in memory, and read anew when another process has changed it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use certosa_model::{CredentialName, Fault};
use certosa_store::{State, StateError, VaultChange, VaultHead, fault};
use tokio::sync::watch;

use crate::envelope::{self, EnvelopeError, FORMAT};
use crate::generation::{FileId, GenerationFile, Lock, Mark, Seen, Staleness};
use crate::kek::{Derivation, Kek};
use crate::record::Keys;
use crate::secret::SecretLength;
use crate::snapshot::{Credentials, Listed, Snapshot};

/// A vault that is there, and of which nothing can be used yet.
pub struct SealedVault {
    state: State,
    head: VaultHead,
}

/// A vault whose KEK is known. Clones are the same vault.
#[derive(Clone)]
pub struct Vault(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub state: State,
    generation_path: PathBuf,
    current: RwLock<Current>,
    generation: watch::Sender<u64>,
}

/// What is in force, and the file that said so.
struct Current {
    snapshot: Arc<Snapshot>,
    seen: Option<Seen>,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error("cannot use {path}")]
    File { path: PathBuf, source: io::Error },
    #[error("the vault has format {0}, and this certosa knows format {FORMAT} only")]
    Format(u64),
    #[error(
        "this is another KEK than the vault was sealed with: its id is {found}, the vault's is {wanted}; name the \
         source of the KEK that sealed it (a database from before a change of the KEK needs the KEK of that time)"
    )]
    WrongKek { found: String, wanted: String },
    #[error("the vault stays sealed; if you restored the database, accept it as it is")]
    Stale(#[source] Staleness),
    #[error("the record of credential {record} was changed outside of certosa: {what}; restore the database")]
    Record { record: String, what: &'static str },
    #[error(
        "the vault was changed outside of certosa: records were added, taken out or exchanged, or its own row was \
         changed; restore the database"
    )]
    Changed,
    #[error("the database has a vault already")]
    Exists,
    #[error(
        "{0} is there and the database has no vault: restore the database, or remove that file if the vault is to be \
         given up"
    )]
    Orphan(PathBuf),
    #[error("the vault is gone from the database; restore the database")]
    Gone,
    #[error("another process has been changing the vault for too long; end it, or try again")]
    Locked,
    #[error("something else changed the vault in the meantime; nothing was done, try again")]
    Conflict,
    #[error("the change was made; that it was could not be written to the end, so use the vault once more")]
    Unsettled(#[source] io::Error),
    #[error("the change was broken off; look what holds before you try again")]
    Ended,
    #[error("there is no credential `{0}`")]
    Absent(CredentialName),
    #[error("credential `{0}` has no version {1}")]
    NoVersion(CredentialName, u64),
    #[error("credential `{name}` has {found} versions that can be used; revoke some before it gets another")]
    Versions { name: CredentialName, found: usize },
    #[error("the vault holds {0} credentials, which is all that it can")]
    Full(usize),
    #[error("a rule has at most {most} bytes, this one has {found}")]
    RuleLength { found: usize, most: usize },
    #[error("a value that signs is a seed of 32 bytes (RFC 8032), and this one has {0}")]
    Seed(usize),
    #[error(transparent)]
    Value(#[from] SecretLength),
    #[error("the record of credential `{name}`, version {version}, cannot be used")]
    Envelope { name: CredentialName, version: u64, source: EnvelopeError },
    #[error("cannot derive the keys of the vault")]
    Keys(#[source] EnvelopeError),
}

type Result<T> = std::result::Result<T, VaultError>;

impl SealedVault {
    /// The vault of this database; `None`: it has none.
    pub async fn find(state: &State) -> Result<Option<Self>> {
        let Some(head) = state.vault_head().await? else { return Ok(None) };
        if head.format != FORMAT {
            return Err(VaultError::Format(head.format));
        }
        Ok(Some(Self { state: state.clone(), head }))
    }

    /// What a passphrase needs to become the KEK again. `None`: the KEK is not from a passphrase.
    pub fn derivation(&self) -> Option<Derivation> {
        Derivation::from_bytes(&self.head.derivation)
    }

    /// Opens it, if this is its KEK and the database is the last one that was seen.
    pub async fn open(self, kek: Kek) -> Result<Vault> {
        let _lock = lock(self.state.folder()).await?;
        let (keys, snapshot) = self.read(kek).await?;
        let seen = settle(self.state.folder(), &snapshot, &keys)?;
        Ok(Vault::of(self.state, snapshot, Some(seen)))
    }

    /// Opens it and says that this database is the one to go on from, though an older one than was seen. What was
    /// revoked since then is usable again, so this is for the operator to decide. It still has to be a database that
    /// was written with this KEK.
    pub async fn accept_restore(self, kek: Kek) -> Result<Vault> {
        let folder = self.state.folder().to_owned();
        let _lock = lock(&folder).await?;
        let (keys, snapshot) = self.read(kek).await?;
        let text = read_file(&folder)?.unwrap_or_default();
        let seen = Mark::of_text(&text, &keys).iter().map(|mark| mark.generation).max().unwrap_or_default();
        let from = snapshot.mark.generation;
        // Past everything that was seen, so that none of it can come back under the same number.
        let (next, head) = Snapshot::make(keys, seen.max(from).saturating_add(1), snapshot.credentials);
        self.state.change_vault(&VaultChange { from: Some(from), head, edits: Vec::new() }).await?;
        let seen = write_file(&folder, &[next.mark.line(&next.keys)]).map_err(VaultError::Unsettled)?;
        Ok(Vault::of(self.state, next, Some(seen)))
    }

    async fn read(&self, kek: Kek) -> Result<(Arc<Keys>, Snapshot)> {
        let keys = Arc::new(Keys::of(kek, vault_id(&self.head)?).map_err(VaultError::Keys)?);
        let snapshot = read(&self.state, &keys, None).await?;
        Ok((keys, snapshot))
    }
}

impl Vault {
    /// Makes an empty vault, at generation 0.
    pub async fn create(state: &State, kek: Kek) -> Result<Self> {
        let _lock = lock(state.folder()).await?;
        if state.vault_head().await?.is_some() {
            return Err(VaultError::Exists);
        }
        let file = GenerationFile::of(state.folder());
        if read_file(state.folder())?.is_some() {
            return Err(VaultError::Orphan(file.path()));
        }
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|_| VaultError::Keys(EnvelopeError::Random))?;
        let keys = Arc::new(Keys::of(kek, id).map_err(VaultError::Keys)?);
        let (snapshot, head) = Snapshot::make(keys, 0, Credentials::new());
        state.change_vault(&VaultChange { from: None, head, edits: Vec::new() }).await?;
        let seen = settle(state.folder(), &snapshot, &snapshot.keys)?;
        Ok(Self::of(state.clone(), snapshot, Some(seen)))
    }

    /// Whether something has changed the vault since it was read, or may have. One `stat`.
    pub fn changed(&self) -> bool {
        self.0.changed()
    }

    /// Reads the vault anew if it has changed. An older one than this process knows is refused, whatever the file says.
    pub async fn refresh(&self) -> Result<()> {
        let read = self.read_anew().await;
        if read.is_err() {
            // Nobody knows whether what is in use may be: whoever has something asks, and hears that it may not.
            self.0.generation.send_modify(|_| {});
        }
        read
    }

    async fn read_anew(&self) -> Result<()> {
        if !self.changed() {
            return Ok(());
        }
        let folder = self.0.state.folder();
        let _lock = lock(folder).await?;
        if !self.changed() {
            return Ok(());
        }
        let known = self.0.snapshot();
        let found = read(&self.0.state, &known.keys, Some(&known.credentials)).await?;
        let seen = settle(folder, &found, &found.keys)?;
        let (database, file) = (found.mark.generation, known.mark.generation);
        if database < file {
            return Err(VaultError::Stale(Staleness::Older { database, file }));
        }
        self.0.install(found, Some(seen));
        Ok(())
    }

    /// The generation, and word of every new one that this process takes up. Who has a credential in use asks
    /// [`is_usable`](Self::is_usable) then.
    pub fn generations(&self) -> watch::Receiver<u64> {
        self.0.generation.subscribe()
    }

    /// Names, rules, versions and when they were last used. Never a value.
    pub fn list(&self) -> Vec<Listed> {
        self.0.snapshot().list()
    }

    /// Opens every value that can be used, keeps none, and names those that do not open.
    pub async fn check(&self) -> Result<Vec<VaultError>> {
        self.refresh().await?;
        let snapshot = self.0.snapshot();
        let mut odd = Vec::new();
        for credential in snapshot.credentials.values() {
            for version in &credential.versions {
                let Some(sealed) = &version.sealed else { continue };
                let place = credential.place(&snapshot.keys, version.number);
                if let Err(source) = envelope::open(&snapshot.keys.kek, &place, sealed) {
                    odd.push(VaultError::Envelope { name: credential.name.clone(), version: version.number, source });
                }
            }
        }
        Ok(odd)
    }

    fn of(state: State, snapshot: Snapshot, seen: Option<Seen>) -> Self {
        let generation = watch::Sender::new(snapshot.mark.generation);
        let generation_path = GenerationFile::of(state.folder()).path();
        let current = RwLock::new(Current { snapshot: Arc::new(snapshot), seen });
        Self(Arc::new(Inner { state, generation_path, current, generation }))
    }
}

impl Inner {
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).snapshot)
    }

    pub(crate) fn changed(&self) -> bool {
        let found = FileId::of(&self.generation_path);
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        found.is_none() || current.seen.as_ref().map(|seen| seen.id) != found
    }

    /// Commits what was made of the snapshot before, with the lock held. The file names the new generation before it
    /// can be in the database, so that a house looks again even if this process ends in between.
    pub(crate) async fn commit(&self, before: &Snapshot, after: Snapshot, change: &VaultChange) -> Result<()> {
        let folder = self.state.folder();
        let new = after.mark.line(&after.keys);
        let both = [before.mark.line(&before.keys), new.clone()];
        write_file(folder, &both).map_err(|source| file_error(folder, source))?;
        self.state.change_vault(change).await.map_err(|error| match error {
            StateError::Conflict => VaultError::Conflict,
            error => VaultError::State(error),
        })?;
        let seen = write_file(folder, &[new]);
        // It holds, whatever became of the file.
        let (seen, failed) = match seen {
            Ok(seen) => (Some(seen), None),
            Err(error) => (None, Some(error)),
        };
        self.install(after, seen);
        failed.map_or(Ok(()), |error| Err(VaultError::Unsettled(error)))
    }

    fn install(&self, snapshot: Snapshot, seen: Option<Seen>) {
        let generation = snapshot.mark.generation;
        let snapshot = Arc::new(snapshot);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Current { snapshot, seen };
        self.generation.send_replace(generation);
    }
}

impl VaultError {
    /// Who has to do something about it.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Keys(_) | Self::Ended => Fault::Host,
            Self::State(StateError::Database { .. }) | Self::Unsettled(_) => Fault::Host,
            _ => Fault::Operator,
        }
    }
}

pub(crate) async fn lock(folder: &Path) -> Result<Lock> {
    let taken = Lock::take(folder).await;
    let taken = taken.map_err(|source| VaultError::File { path: folder.join("vault.lock"), source })?;
    fault::point();
    taken.ok_or(VaultError::Locked)
}

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The vault in the database, with its KEK checked first and its codes afterwards.
async fn read(state: &State, keys: &Arc<Keys>, known: Option<&Credentials>) -> Result<Snapshot> {
    let head = state.vault_head().await?.ok_or(VaultError::Gone)?;
    if head.format != FORMAT {
        return Err(VaultError::Format(head.format));
    }
    if vault_id(&head)? != keys.vault {
        return Err(VaultError::Changed);
    }
    if !keys.fits(&head.kek_id, &head.kek_check) {
        let (found, wanted) = (hex::encode(keys.kek.id()), hex::encode(head.kek_id.get(..16).unwrap_or_default()));
        return Err(VaultError::WrongKek { found, wanted });
    }
    let tables = state.vault().await?.ok_or(VaultError::Gone)?;
    Snapshot::read(tables, Arc::clone(keys), known)
}

/// Holds the database against the file, and brings the file to what the database is if a crash left it in between.
fn settle(folder: &Path, snapshot: &Snapshot, keys: &Keys) -> Result<Seen> {
    let text = read_file(folder)?;
    Mark::vouched(snapshot.mark, text.as_deref(), keys).map_err(VaultError::Stale)?;
    let line = snapshot.mark.line(keys);
    let is_settled = text.is_some_and(|text| text.lines().count() == 2 && text.lines().last() == Some(&*line));
    if is_settled {
        return GenerationFile::of(folder).hold().map_err(|source| file_error(folder, source));
    }
    write_file(folder, &[line]).map_err(|source| file_error(folder, source))
}

fn read_file(folder: &Path) -> Result<Option<String>> {
    GenerationFile::of(folder).read().map_err(|source| file_error(folder, source))
}

fn write_file(folder: &Path, lines: &[String]) -> io::Result<Seen> {
    let file = GenerationFile::of(folder);
    file.write(lines)?;
    file.hold()
}

fn file_error(folder: &Path, source: io::Error) -> VaultError {
    VaultError::File { path: GenerationFile::of(folder).path(), source }
}

fn vault_id(head: &VaultHead) -> Result<[u8; 16]> {
    head.id.as_slice().try_into().map_err(|_| VaultError::Changed)
}

impl fmt::Debug for SealedVault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedVault").field("generation", &self.head.generation).finish_non_exhaustive()
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let generation = self.0.snapshot().mark.generation;
        f.debug_struct("Vault").field("generation", &generation).finish_non_exhaustive()
    }
}
