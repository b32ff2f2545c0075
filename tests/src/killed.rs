//! Commands of the vault that are killed at some moment of their work: afterwards the vault opens, with the old or with
//! the new, and can be changed on. The tests of `certosa-vault` do the same at each step of a change.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::egress::github::FakeGitHub;
use crate::egress::{Said, set, vault};
use crate::support::{Folder, certosa};

const OLD: &str = "old:4b1d7e93c2a86f05";
const NEW: &str = "new:c95f0a27e3d81b64";
const KILLS: u32 = 24;

/// A vault with one key, and copies of it as it was.
struct Kept {
    folder: Folder,
    /// The code of a message with the old value, and with the new one.
    codes: [String; 2],
}

impl Kept {
    fn new() -> Self {
        let server = FakeGitHub::start("none");
        let mut said = Said::new(&server);
        said.credentials = "(name = \"code\", allowedSubs = [\"bundle/errand/**\"], mac = \"letters\"),".to_owned();
        let folder = said.folder(&server);
        let codes = [NEW, OLD].map(|value| {
            set(&folder, "code", value);
            code(&folder)
        });
        let [new, old] = codes;
        assert_ne!(old, new);
        let kept = Self { folder, codes: [old, new] };
        kept.copy(".certosa", "kept");
        kept
    }

    fn copy(&self, from: &str, to: &str) {
        let (from, to) = (self.folder.path(from), self.folder.path(to));
        let _none = fs::remove_dir_all(&to);
        assert!(Command::new("cp").arg("-a").args([&from, &to]).status().unwrap().success());
    }

    /// Runs a command that changes the vault again and again, and kills it each time a little later. The last one is
    /// left alone. `look` sees what each left behind and says whether the change is there.
    fn kill_at_every_moment(&self, args: &[&str], look: impl Fn() -> bool) {
        let run = |limit: Option<Duration>| {
            self.copy("kept", ".certosa");
            let mut command = certosa(&[&["vault"], args].concat());
            let command = command.current_dir(self.folder.dir.path()).stdin(Stdio::piped());
            let start = Instant::now();
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            use std::io::Write as _;
            let _not_read = child.stdin.take().unwrap().write_all(NEW.as_bytes());
            if let Some(limit) = limit {
                std::thread::sleep(limit);
                let _ended_before = child.kill();
            }
            let status = child.wait().unwrap();
            assert!(status.success() || limit.is_some(), "{status}");
            start.elapsed()
        };
        let whole = run(None);
        let done = (1..=KILLS).filter(|moment| {
            run(Some(whole * *moment / KILLS));
            look()
        });
        let done = done.count() as u32;
        eprintln!("{args:?} takes {whole:?}; it was done {done} times of {KILLS}");
        assert!(done < KILLS, "none was killed before its work was done");
        run(None);
        assert!(look(), "undisturbed");
    }
}

fn code(folder: &Folder) -> String {
    let (status, answer) = folder.call("errand_mac", &json!({"name": "code", "message": "Dear Ana"}));
    assert_eq!(status, 0, "{answer}");
    let told = crate::egress::told(&answer);
    told["hex"].as_str().unwrap_or_else(|| panic!("{told}")).to_owned()
}

#[test]
fn a_value_is_the_old_one_or_the_new_one() {
    let kept = Kept::new();
    for change in ["set", "rotate"] {
        kept.kill_at_every_moment(&[change, "code"], || {
            let found = code(&kept.folder);
            assert!(kept.codes.contains(&found));
            assert_eq!(vault(&kept.folder, &["check"], "").code, 0);
            assert_eq!(vault(&kept.folder, &["rotate-data-key", "code"], "").code, 0, "it can be changed on");
            assert_eq!(code(&kept.folder), found);
            found == kept.codes[1]
        });
    }
}

#[test]
fn a_vault_has_the_old_kek_or_the_new_one() {
    let kept = Kept::new();
    let old = fs::read_to_string(kept.folder.path("manifest.capnp")).unwrap();
    let to = format!("file://{}", kept.folder.path("kek.new").display());
    let new = old.replace("credentials = ", &format!("vault = (kek = \"{to}\"), credentials = "));
    assert_ne!(old, new);
    kept.kill_at_every_moment(&["rotate-kek", "--to", &to], || {
        let opens = |text: &str| {
            kept.folder.write("manifest.capnp", text);
            let ran = vault(&kept.folder, &["check"], "");
            let is_other = ran.stderr.contains("this is another KEK") || ran.stderr.contains("cannot use the KEK file");
            assert!(ran.code == 0 || is_other, "{ran:?}");
            ran.code == 0
        };
        let is_done = opens(&new);
        assert_ne!(opens(&old), is_done, "one of the two KEKs, and not both");
        if is_done {
            kept.folder.write("manifest.capnp", &new);
        }
        assert_eq!(code(&kept.folder), kept.codes[0]);
        kept.folder.write("manifest.capnp", &old);
        is_done
    });
}
