//! Where the KEK comes from, and where it does not.

use std::error::Error;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::{future, io};

use certosa_vault::{KekError, KekShape, KekSource, KvError, Made, Outside, SealedVault, Secret, Vault, VaultError};

use crate::support::*;

/// What the outside says: a phrase, and a body for each address that is asked for.
#[derive(Default)]
struct World {
    phrase: &'static str,
    body: &'static str,
    asked: Vec<String>,
}

impl Outside for World {
    fn passphrase(&mut self, is_new: bool) -> io::Result<Secret> {
        self.asked.push(format!("phrase, new: {is_new}"));
        Secret::new(self.phrase.as_bytes().to_vec()).map_err(io::Error::other)
    }

    fn fetch(&mut self, url: &str) -> impl Future<Output = Result<Vec<u8>, Box<dyn Error + Send + Sync>>> + Send {
        self.asked.push(url.to_owned());
        future::ready(if self.body.is_empty() { Err("no answer".into()) } else { Ok(self.body.into()) })
    }
}

fn source(text: &str) -> KekSource {
    text.parse().unwrap()
}

async fn load(text: &str) -> Result<[u8; 16], KekError> {
    source(text).load(None, &mut World::default()).await.map(|kek| *kek.id())
}

fn write(path: &Path, content: &[u8], mode: u32) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_file_is_made_once_and_read_from_then_on() {
    let home = Home::new().await;
    let path = home.folder.path().join("kek");
    let text = format!("file://{}", path.display());
    let (kek, made) = source(&text).load_new(&mut World::default()).await.unwrap();
    assert_eq!(made, Made::File(path.clone()));
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!((metadata.permissions().mode() & 0o777, metadata.len()), (0o600, 32));
    Vault::create(&home.state, kek).await.unwrap();

    let (kek, made) = source(&text).load_new(&mut World::default()).await.unwrap();
    assert_eq!(made, Made::Nothing, "what is there is not overwritten");
    let vault = home.open(kek).await.unwrap();
    vault.set(name("github"), rule("api.example.com"), secret(PLANTED)).await.unwrap();

    fs::remove_file(&path).unwrap();
    let error = load(&text).await.unwrap_err();
    assert!(said(&error).contains(path.to_str().unwrap()), "a vault that is there gets no new KEK");
    assert!(!path.exists());
}

#[tokio::test]
async fn a_file_is_refused_if_others_can_read_it_or_it_is_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kek");
    let text = format!("file://{}", path.display());
    let hex = "0123456789abcdef".repeat(4);
    for mode in [0o600, 0o400] {
        write(&path, format!("{hex}\n").as_bytes(), mode);
        assert!(load(&text).await.is_ok());
        fs::remove_file(&path).unwrap();
    }
    for mode in [0o644, 0o640, 0o604, 0o620, 0o700] {
        write(&path, hex.as_bytes(), mode);
        assert!(matches!(load(&text).await, Err(KekError::Mode { found, .. }) if found == mode));
    }
    for (content, found) in [("", 0), ("short", 5), (&hex[..63], 63), (&format!("{hex}\n\n"), 66)] {
        write(&path, content.as_bytes(), 0o600);
        let error = load(&text).await.unwrap_err();
        assert!(matches!(&error, KekError::Shape { source: KekShape::Length(length), .. } if *length == found));
        assert!(!said(&error).contains("0123456789"), "{}", said(&error));
    }
    write(&path, &vec![b'a'; 1 << 20], 0o600);
    assert!(matches!(load(&text).await, Err(KekError::Shape { .. })));

    fs::rename(&path, folder.path().join("real")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("real"), &path).unwrap();
    assert!(matches!(load(&text).await, Err(KekError::NotRegular(_))));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(load(&text).await, Err(KekError::NotRegular(_))));
    fs::remove_dir(&path).unwrap();
    let pipe = std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&path).status().unwrap();
    assert!(pipe.success());
    assert!(matches!(load(&text).await, Err(KekError::NotRegular(_))), "and it is not waited for");
    assert!(matches!(load("file:///dev/urandom").await, Err(KekError::NotRegular(_))));
}

#[tokio::test]
async fn a_variable_holds_text() {
    assert!(matches!(load("env://CERTOSA_TEST_NOT_SET").await, Err(KekError::Variable(_))));
    // The variables of cargo are there without anybody setting one, and none is a KEK.
    let error = load("env://CARGO_PKG_NAME").await.unwrap_err();
    assert!(matches!(&error, KekError::Shape { source: KekShape::Length(13), .. }), "{error:?}");
    assert!(!said(&error).contains("certosa-vault"));
}

#[tokio::test]
async fn a_helper_is_run_and_there_is_nothing_else_if_it_fails() {
    let helper = "exec:///usr/bin/printf?arg=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef%5cn";
    assert!(load(helper).await.is_ok());
    let error = load("exec:///usr/bin/printf?arg=planted-1f6c9d").await.unwrap_err();
    assert!(matches!(&error, KekError::Shape { source: KekShape::Length(14), .. }), "{}", said(&error));
    let error = load("exec:///bin/false").await.unwrap_err();
    assert!(said(&error).contains("exit status: 1"), "{}", said(&error));
    assert!(matches!(load("exec:///no/such/helper").await, Err(KekError::Helper { .. })));
}

#[tokio::test]
async fn a_passphrase_opens_what_it_sealed() {
    let home = Home::new().await;
    let mut world = World { phrase: "correct horse battery staple", ..World::default() };
    let (made_kek, made) = source("passphrase").load_new(&mut world).await.unwrap();
    assert_eq!(made, Made::Nothing);
    Vault::create(&home.state, made_kek).await.unwrap();
    let open = async |phrase: &'static str| {
        let sealed = SealedVault::find(&home.state).await.unwrap().unwrap();
        let mut world = World { phrase, ..World::default() };
        let kek = source("passphrase").load(sealed.derivation(), &mut world).await.unwrap();
        assert_eq!(world.asked, ["phrase, new: false"]);
        sealed.open(kek).await
    };
    let vault = open("correct horse battery staple").await.unwrap();
    assert!(matches!(open("correct horse battery stable").await, Err(VaultError::WrongKek { .. })));
    assert_eq!(world.asked, ["phrase, new: true"]);

    vault.rotate_kek(kek(1)).await.unwrap();
    let sealed = SealedVault::find(&home.state).await.unwrap().unwrap();
    assert_eq!(sealed.derivation(), None);
    let refused = source("passphrase").load(sealed.derivation(), &mut world).await;
    assert!(matches!(refused, Err(KekError::NotDerived)));
}

#[tokio::test]
async fn openbao_is_asked_for_one_field() {
    let text = "openbao+https://bao.example:8200/v1/secret/data/certosa#kek";
    let body = r#"{"data":{"data":{"kek":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="},"metadata":{"version":1}}}"#;
    let mut world = World { body, ..World::default() };
    let kek = source(text).load(None, &mut world).await.unwrap();
    assert_eq!(world.asked, ["https://bao.example:8200/v1/secret/data/certosa"]);
    assert_eq!(*kek.id(), *certosa_vault::Kek::new(&std::array::from_fn(|at| at as u8)).unwrap().id());
    assert!(matches!(load(text).await, Err(KekError::OpenBao(KvError::Fetch { .. }))));
    let mut world = World { body: r#"{"errors":["permission denied"]}"#, ..World::default() };
    assert!(matches!(source(text).load(None, &mut world).await, Err(KekError::OpenBao(KvError::Answer { .. }))));
}
