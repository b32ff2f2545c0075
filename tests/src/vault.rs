//! `certosa vault` and `certosa doctor`, as an operator meets them. What the vault itself does stands in its own tests.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::egress::github::FakeGitHub;
use crate::egress::{Said, TOKEN, credential, issues, set, to, vault};
use crate::planted;
use crate::support::{Folder, House, Ran, certosa, manifest, target};

const SEND: &str = "send = (to = (hosts = [\"api.example.com\"]), bearer = void)";

/// A manifest with the bundle `hello`, and these fields besides.
fn folder(more: &str) -> Folder {
    Folder::new(&body(more))
}

fn body(more: &str) -> String {
    format!("{}, {more}", crate::support::bundles(&["hello"], ""))
}

fn one() -> Folder {
    folder(&format!("credentials = [(name = \"key\", allowedSubs = [\"bundle/hello/**\"], {SEND})]"))
}

fn listed(folder: &Folder) -> Value {
    let ran = vault(folder, &["list", "-o", "json"], "");
    serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"))
}

fn states(folder: &Folder) -> Vec<String> {
    let listed = listed(folder);
    let versions = listed["versions"].as_array().unwrap().iter();
    versions.map(|version| format!("{} {}", version["number"], version["state"].as_str().unwrap())).collect()
}

#[test]
fn a_value_goes_in_and_never_comes_out() {
    let folder = one();
    let first = vault(&folder, &["set", "key"], "hush-hush-hush\n");
    assert_eq!(first.code, 0, "{first:?}");
    assert!(first.stderr.contains("made a new KEK in ") && first.stderr.contains("back it up"), "{first:?}");
    let kek = folder.path(".certosa/kek");
    assert_eq!(fs::metadata(&kek).unwrap().permissions().mode() & 0o777, 0o600);
    let second = vault(&folder, &["rotate", "key", "--overlap", "3600"], "hush-hush-hush-2");
    assert_eq!((second.code, second.stderr.as_str()), (0, ""), "{second:?}");
    assert_eq!(states(&folder), ["1 retiring", "2 active"]);
    assert_eq!(vault(&folder, &["revoke", "key", "--version", "1"], "").code, 0);
    assert_eq!(states(&folder), ["1 revoked", "2 active"]);
    for args in
        [&["rotate-data-key", "key"][..], &["allow", "key"], &["check"], &["list"], &["revoke", "key"], &["list"]]
    {
        let ran = vault(&folder, args, "");
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
        assert!(!format!("{ran:?}").contains("hush"), "{args:?}: {ran:?}");
    }
    assert_eq!(states(&folder), ["1 revoked", "2 revoked"]);
    assert_eq!(vault(&folder, &["check"], "").code, 3, "all its versions were revoked");
    assert_eq!(vault(&folder, &["rm", "key"], "").code, 0);
    assert!(vault(&folder, &["list"], "").stdout.is_empty());
    for file in ["state.db", "state.db-wal"] {
        let bytes = fs::read(folder.path(&format!(".certosa/{file}"))).unwrap_or_default();
        assert!(!bytes.windows(4).any(|window| window == b"hush"), "{file}");
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    let folder = folder(&format!(
        "credentials = [(name = \"key\", allowedSubs = [\"bundle/hello/**\"], {SEND}), \
         (name = \"seal\", allowedSubs = [\"bundle/hello/**\"], sign = \"letters\")]"
    ));
    for (args, input, code, wanted) in [
        (&["set", "other"][..], "x", 4, "declares no credential other"),
        (&["set", "key", "value"], "", 2, "unexpected argument"),
        (&["set", "KEY"], "x", 2, "a credential's name is"),
        (&["set", "key"], "", 6, "1 to 65536"),
        (&["set", "key", "--generate"], "", 4, "--generate is for"),
        (&["set", "seal"], "too short", 4, "a seed of 32 bytes"),
        (&["rotate", "key"], "x", 4, "certosa vault set key"),
        (&["revoke", "key"], "", 4, "there is no credential `key`"),
        (&["rotate-kek", "--to", "keyring://x"], "", 2, "a KEK comes from"),
    ] {
        let ran = vault(&folder, args, input);
        assert_eq!(ran.code, code, "{args:?}: {ran:?}");
        assert!(ran.stderr.contains(wanted), "{args:?}: {ran:?}");
    }
    let long = vault(&folder, &["set", "key"], &"x".repeat(70_000));
    assert_eq!(long.code, 6, "{}", long.stderr);
    assert!(vault(&folder, &["list"], "").stdout.is_empty(), "nothing was half done");
    let wrong = Folder::new(&body("vault = (kek = \"kek.txt\"), credentials = []"));
    let ran = vault(&wrong, &["list"], "");
    assert!(ran.code == 3 && ran.stderr.contains("manifest.capnp:") && ran.stderr.contains("file:///path"), "{ran:?}");
}

#[test]
fn the_kek_changes_its_source_and_the_old_one_opens_nothing() {
    let folder = one();
    set(&folder, "key", "value");
    let new = folder.path("kek.new");
    let to = format!("file://{}", new.display());
    let ran = vault(&folder, &["rotate-kek", "--to", &to], "");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("name this source in the manifest"), "{ran:?}");
    let old = vault(&folder, &["check"], "");
    assert!(old.code == 6 && old.stderr.contains("this is another KEK"), "{old:?}");
    let more = format!(
        "vault = (kek = \"{to}\"), credentials = [(name = \"key\", allowedSubs = [\"bundle/hello/**\"], {SEND})]"
    );
    folder.write("manifest.capnp", manifest(&body(&more)));
    assert_eq!(vault(&folder, &["check"], "").code, 0);
}

#[test]
fn each_source_gives_the_kek() {
    let kek = "4f9a".repeat(16);
    let server = FakeGitHub::start(&kek);
    let with = |source: &str| {
        let credentials = format!("credentials = [(name = \"key\", allowedSubs = [\"bundle/hello/**\"], {SEND})]");
        let folder = folder(&format!("vault = (kek = \"{source}\"), roots = [\"root.pem\"], {credentials}"));
        folder.write("root.pem", server.authority_pem());
        folder
    };
    let run = |folder: &Folder, args: &[&str], environment: &[(&str, &str)]| {
        let mut command = certosa(&[&["vault"], args].concat());
        let mut child = command
            .envs(environment.iter().copied())
            .current_dir(folder.dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        use std::io::Write as _;
        let _refused_before = child.stdin.take().unwrap().write_all(b"value");
        Ran::of(child.wait_with_output().unwrap())
    };
    let variable = with("env://A_KEK");
    assert!(run(&variable, &["set", "key"], &[]).stderr.contains("there is no variable A_KEK"));
    assert_eq!(run(&variable, &["set", "key"], &[("A_KEK", &kek)]).code, 0);
    assert!(run(&variable, &["check"], &[("A_KEK", &"50f1".repeat(16))]).stderr.contains("this is another KEK"));

    let helper = with(&format!("exec:///bin/echo?arg=-n&arg={kek}"));
    assert_eq!(run(&helper, &["set", "key"], &[]).code, 0);
    let silent = with("exec:///bin/true");
    assert!(run(&silent, &["set", "key"], &[]).stderr.contains("/bin/true"));

    let bao = with(&format!("openbao+https://localhost:{}/v1/secret/data/certosa#kek", server.port()));
    let without = run(&bao, &["set", "key"], &[]);
    assert!(without.code == 6 && without.stderr.contains("neither BAO_TOKEN nor VAULT_TOKEN"), "{without:?}");
    let denied = run(&bao, &["set", "key"], &[("BAO_TOKEN", "s.other")]);
    assert!(denied.stderr.contains("403"), "{denied:?}");
    assert!(!denied.stderr.contains("s.other"), "{denied:?}");
    for name in ["BAO_TOKEN", "VAULT_TOKEN"] {
        assert_eq!(run(&bao, &["set", "key"], &[(name, "s.root")]).code, 0);
        assert_eq!(run(&bao, &["check"], &[(name, "s.root")]).code, 0);
    }
}

#[test]
fn a_value_comes_from_openbao_and_is_seen_by_nobody_on_the_way() {
    let server = FakeGitHub::start(TOKEN);
    let house = House::in_folder(Said::new(&server).folder(&server));
    planted::plant(TOKEN.as_bytes());
    let bao = |path: &str| format!("openbao+https://localhost:{}/v1/secret/data/{path}", server.port());
    let run = |args: &[&str], token: &str| {
        let mut command = certosa(&[&["vault"], args].concat());
        Ran::of(command.env("BAO_TOKEN", token).current_dir(house.folder.dir.path()).output().unwrap())
    };
    for (from, token, wanted) in [
        (bao("certosa#kek"), "s.other", "403"),
        (bao("certosa#absent"), "s.root", "the field is not there"),
        (bao("elsewhere#kek"), "s.root", "404"),
    ] {
        let ran = run(&["set", "github", "--from", &from], token);
        assert!(ran.code == 6 && ran.stderr.contains(wanted) && ran.stderr.contains(&from[8..40]), "{ran:?}");
    }
    assert_eq!(run(&["set", "github", "--from", "file:///etc/passwd"], "s.root").code, 2);
    assert_eq!(run(&["set", "github", "--generate", "--from", &bao("certosa#kek")], "s.root").code, 2);
    assert!(vault(&house.folder, &["list"], "").stdout.is_empty(), "nothing was half done");
    for (args, version) in [(["set", "github"], 1), (["rotate", "github"], 2)] {
        let ran = run(&[&args[..], &["--from", &bao("certosa#kek"), "-o", "json"]].concat(), "s.root");
        let said: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
        assert_eq!(said["version"], version, "{ran:?}");
        assert_eq!(issues(&house, &server)["status"], 200, "{}", house.log());
    }
}

/// Types into a terminal, and says what was shown.
const TYPIST: &str = r#"
import os, pty, sys, time
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:2] + sys.argv[3:])
shown = b""
for line in sys.argv[2].split(","):
    prompt = len(shown)
    while not shown[prompt:].rstrip(b" ").endswith(b":"):
        shown += os.read(terminal, 1000)
    time.sleep(0.05)
    os.write(terminal, line.encode() + b"\n")
try:
    while piece := os.read(terminal, 1000):
        shown += piece
except OSError:
    pass
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

#[test]
fn a_person_is_asked_without_an_echo() {
    let credentials = format!("credentials = [(name = \"key\", allowedSubs = [\"bundle/hello/**\"], {SEND})]");
    let folder = folder(&format!("vault = (kek = \"passphrase\"), {credentials}"));
    let typed = |lines: &str, args: &[&str]| {
        let mut python = Command::new("python3");
        let program = target().join("release/certosa");
        python.args(["-c", TYPIST]).arg(program).arg(lines).args([&["vault"], args].concat());
        Ran::of(python.current_dir(folder.dir.path()).output().unwrap())
    };
    let short = typed("short,short", &["set", "key"]);
    assert!(short.code == 6 && short.stdout.contains("at least 12 bytes"), "{short:?}");
    let differing = typed("correct horse battery,correct horse batterz", &["set", "key"]);
    assert!(differing.stdout.contains("not the same"), "{differing:?}");
    let made = typed("correct horse battery,correct horse battery,the value", &["set", "key"]);
    assert_eq!(made.code, 0, "{made:?}");
    assert!(
        made.stdout.contains("a new passphrase for the vault") && made.stdout.contains("the value of key"),
        "{made:?}"
    );
    assert!(!made.stdout.contains("correct horse") && !made.stdout.contains("the value\r"), "{made:?}");
    assert_eq!(typed("correct horse battery", &["check"]).code, 0);
    let wrong = typed("incorrect horse battery", &["check"]);
    assert!(wrong.code == 6 && wrong.stdout.contains("this is another KEK"), "{wrong:?}");
}

#[test]
fn a_restored_database_waits_for_the_operator() {
    let folder = one();
    set(&folder, "key", "old");
    let database = folder.path(".certosa/state.db");
    let kept = folder.path("backup");
    let backup = || {
        let copied = Command::new("sqlite3").arg(&database).arg(format!(".backup {}", kept.display())).status();
        // Without the program: what is in the log goes into the file when the last one closes it.
        if !copied.is_ok_and(|status| status.success()) {
            fs::copy(&database, &kept).unwrap();
        }
    };
    backup();
    assert_eq!(vault(&folder, &["revoke", "key"], "").code, 0);
    for file in ["state.db", "state.db-wal", "state.db-shm"] {
        let _absent = fs::remove_file(folder.path(&format!(".certosa/{file}")));
    }
    fs::copy(&kept, &database).unwrap();
    fs::set_permissions(&database, fs::Permissions::from_mode(0o600)).unwrap();
    let sealed = vault(&folder, &["check"], "");
    assert!(sealed.code == 6 && sealed.stderr.contains("the vault stays sealed"), "{sealed:?}");
    let accepted = vault(&folder, &["accept-restore"], "");
    assert_eq!(accepted.code, 0, "{accepted:?}");
    assert_eq!(states(&folder), ["1 active"], "what was revoked since is usable again");
}

#[test]
fn many_change_the_vault_at_once() {
    let folder = one();
    set(&folder, "key", "first");
    let all: Vec<_> = std::thread::scope(|scope| {
        let each = |index: usize| {
            let folder = &folder;
            scope.spawn(move || vault(folder, &["rotate", "key"], &format!("value {index}")))
        };
        (0..6).map(each).collect::<Vec<_>>().into_iter().map(|it| it.join().unwrap()).collect()
    });
    let done = all.iter().filter(|ran| ran.code == 0).count();
    assert!(done >= 1, "{all:?}");
    assert!(all.iter().all(|ran| ran.code == 0 || ran.code == 4 && ran.stderr.contains("nothing was done")), "{all:?}");
    assert_eq!(states(&folder).len(), done + 1);
    assert_eq!(vault(&folder, &["check"], "").code, 0);
}

#[test]
fn a_doctor_says_what_is_missing_and_what_would_help() {
    let server = FakeGitHub::start(TOKEN);
    let mut said = Said::new(&server);
    said.credentials +=
        &credential("stray", "bundle/errand/**", "hosts = [\"elsewhere.example\"]", "bearer = void", "");
    said.credentials += &credential("ported", "bundle/errand/**", "hosts = [\"localhost\"]", "bearer = void", "");
    said.to = to(&server, "paths = [\"/repos/**\"]");
    let elsewhere = to(&server, "paths = [\"/elsewhere\"]");
    said.credentials += &credential("lost", "bundle/errand/**", &elsewhere, "bearer = void", "");
    let folder = said.folder(&server);
    let ran = folder.run(&["doctor"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    for wanted in [
        "reaches    GET, POST, HEAD {https, http}://localhost:",
        "also at 127.0.0.0/8, ::1/128, which are not global",
        "missing    github: it has no value: certosa vault set github",
    ] {
        assert!(ran.stdout.contains(wanted), "{wanted}: {}", ran.stdout);
    }
    set(&folder, "github", TOKEN);
    set(&folder, "stray", TOKEN);
    set(&folder, "ported", TOKEN);
    set(&folder, "lost", TOKEN);
    let ran = folder.run(&["doctor", "-o", "json"]);
    let lines: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[0]["credentials"][0]["missing"]), (2, &Value::Null), "{lines:?}");
    let of_errand = lines[1]["credentials"].as_array().unwrap();
    for (name, line) in [
        ("stray", "egress.to.hosts = [\"elsewhere.example\"]"),
        ("ported", "egress.to.ports = [443]"),
        ("lost", "egress.to.paths = [\"/elsewhere\"]"),
    ] {
        let found = of_errand.iter().find(|it| it["name"] == name).unwrap();
        assert!(found["missing"].as_str().unwrap().contains(line), "{found}");
    }
    // Without the KEK nobody can look into the vault; what bundles may reach is known all the same.
    fs::remove_file(folder.path(".certosa/kek")).unwrap();
    let ran = folder.run(&["doctor"]);
    assert_eq!(ran.code, 6, "{ran:?}");
    assert!(
        ran.stdout.contains("reaches    GET, POST, HEAD") && ran.stdout.contains("the vault stays sealed"),
        "{ran:?}"
    );
    assert!(ran.stderr.contains("the vault stays sealed (vault.kek = file://"), "{ran:?}");
}

#[test]
fn rules_that_cannot_be_meant_are_refused_with_their_place() {
    for (credential, wanted) in [
        (
            "name = \"Key\", allowedSubs = [\"bundle/hello/**\"], send = (to = (hosts = [\"a.example\"]))",
            "not the name of a credential",
        ),
        ("name = \"key\", send = (to = (hosts = [\"a.example\"]))", "a credential that nothing may use"),
        ("name = \"key\", allowedSubs = [\"bundle/helo/**\"], send = (to = (hosts = [\"a.example\"]))", "not declared"),
        ("name = \"key\", allowedSubs = [\"bundle/hello/**\"]", "a reach without hosts"),
        ("name = \"key\", allowedSubs = [\"bundle/hello/**\"], send = (to = (hosts = [\"*\"]))", "not a host"),
        ("name = \"key\", allowedSubs = [\"bundle/hello/**\"], send = (to = (hosts = [\"A.example\"]))", "not a host"),
        (
            "name = \"key\", allowedSubs = [\"bundle/hello/**\"], send = (to = (hosts = [\"a.example\"], methods = [\"CONNECT\"]))",
            "not a method",
        ),
        (
            "name = \"key\", allowedSubs = [\"bundle/hello/**\"], send = (to = (hosts = [\"a.example\"], paths = [\"/a/../b\"]))",
            "not a path",
        ),
        (
            "name = \"key\", allowedSubs = [\"bundle/hello/**\"], send = (to = (hosts = [\"a.example\"], ports = [0]))",
            "not a port",
        ),
        (
            "name = \"key\", allowedSubs = [\"bundle/hello/**\"], send = (to = (hosts = [\"a.example\"], schemes = [\"ftp\"]))",
            "not a scheme",
        ),
        (
            "name = \"key\", allowedSubs = [\"bundle/hello/**\"], send = (to = (hosts = [\"a.example\"]), header = (name = \"Host\"))",
            "cannot be used here",
        ),
        (
            "name = \"key\", allowedSubs = [\"bundle/hello/**\"], send = (to = (hosts = [\"a.example\"]), header = (name = \"proxy-authorization\"))",
            "cannot be used here",
        ),
        (
            "name = \"key\", allowedSubs = [\"bundle/hello/**\"], send = (to = (hosts = [\"a.example\"]), basic = \"a:b\")",
            "cannot be used here",
        ),
        ("name = \"key\", allowedSubs = [\"bundle/hello/**\"], sign = \"\"", "cannot be used here"),
        ("name = \"key\", allowedSubs = [\"bundle/hello/**\"], mac = \"m\", perMinuteMax = 0", "out of its range"),
    ] {
        let ran = folder(&format!("credentials = [({credential})]")).run(&["check"]);
        assert!(
            ran.code == 3 && ran.stderr.contains(wanted) && ran.stderr.contains("manifest.capnp:"),
            "{credential}: {ran:?}"
        );
    }
    let twice = format!("(name = \"key\", allowedSubs = [\"bundle/hello/**\"], {SEND})");
    let ran = folder(&format!("credentials = [{twice}, {twice}], roots = [\"hello.wasm\"]")).run(&["check"]);
    assert!(ran.stderr.contains("a second credential of this name"), "{ran:?}");
    let body = crate::support::bundles(&["hello"], "")
        .replace("limits = ()", "egress = (to = (hosts = [\"a.example\"]), addresses = [\"10.0.0.1/8\"])");
    let ran = Folder::new(&body).run(&["check"]);
    assert!(ran.stderr.contains("not a range"), "{ran:?}");
    let body =
        crate::support::bundles(&["hello"], "").replace("limits = ()", "egress = (to = (hosts = [\"a.example\"]))");
    let ran = Folder::new(&format!("{body}, roots = [\"hello.wasm\"]")).run(&["check"]);
    assert!(ran.stderr.contains("a file of roots that cannot be used"), "{ran:?}");
}

#[test]
fn a_start_names_a_few_of_many_that_are_missing() {
    let server = FakeGitHub::start(TOKEN);
    let mut said = Said::new(&server);
    let rule =
        |index| credential(&format!("k{index}"), "bundle/errand/**", "hosts = [\"localhost\"]", "bearer = void", "");
    said.credentials = (0..25).map(rule).collect();
    let folder = said.folder(&server);
    set(&folder, "k0", TOKEN);
    // Its input ends at once.
    let ran = folder.run(&["stdio"]);
    assert_eq!(ran.stderr.matches("has no value yet").count(), 20, "{ran:?}");
    assert!(ran.stderr.contains("4 more credentials cannot be used as they are declared"), "{ran:?}");
}

/// The format of docs/vault.md, by a program of another language.
#[test]
fn a_page_of_python_opens_the_vectors() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/vault.py");
    let ran = Command::new(crate::clients::clients().join("venv/bin/python")).arg(script).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("values opened, codes and passphrase are right"), "{ran:?}");
}
