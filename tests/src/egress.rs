//! Bundles that reach out: a real house, real guests, and a server on the loopback that is GitHub to one of them and
//! whatever it takes to the other.

mod addresses;
mod flight;
pub mod github;
mod granted;
mod limits;
mod quiet;
mod refused;

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::planted;
use crate::support::{Folder, House, Ran, certosa, manifest};
use github::FakeGitHub;

/// Nothing of this may ever come out. Its characters have forms of their own in URLs, JSON and HTML.
pub const TOKEN: &str = "ghp_Pl4nted/Key+With&Forms=16";

/// A manifest, in the parts that tests change.
pub struct Said {
    /// Of both bundles.
    pub to: String,
    /// More fields of `egress`.
    pub egress: String,
    /// More fields of the bundle `errand`.
    pub bundle: String,
    pub credentials: String,
    pub callers: String,
    /// More fields of the house.
    pub more: String,
}

impl Said {
    /// Both bundles may send what they like to the server, and have one credential for it.
    pub fn new(server: &FakeGitHub) -> Self {
        let to = to(server, "");
        Self {
            credentials: credential("github", "bundle/*/**", &to, "bearer = void", ""),
            to,
            egress: String::new(),
            bundle: String::new(),
            callers: "\"anonymous/loopback\"".to_owned(),
            more: String::new(),
        }
    }

    fn body(&self) -> String {
        let Self { to, egress, bundle, credentials, callers, more } = self;
        let reach = format!("egress = (to = ({to}), addresses = [\"127.0.0.0/8\", \"::1/128\"], {egress})");
        format!(
            "listen = \"127.0.0.1:0\",\n\
             bundles = [\n\
             (name = \"github\", file = \"github.wasm\", {reach}),\n\
             (name = \"errand\", file = \"errand.wasm\", {reach}, {bundle}),\n\
             ],\n\
             routes = [(path = \"/mcp\", tools = [\"bundle/**\"], callers = [{callers}])],\n\
             roots = [\"root.pem\"],\n\
             credentials = [{credentials}],\n{more}"
        )
    }

    /// A folder with it, in which nothing is sealed yet.
    pub fn folder(&self, server: &FakeGitHub) -> Folder {
        let folder = Folder::new(&self.body());
        folder.write("root.pem", server.authority_pem());
        folder
    }

    /// Another manifest for a house that is there.
    pub fn rewrite(&self, folder: &Folder) {
        folder.write("manifest.capnp", manifest(&self.body()));
    }

    /// A house with the token sealed under these names.
    pub fn house(&self, server: &FakeGitHub, names: &[&str]) -> House {
        let folder = self.folder(server);
        for name in names {
            set(&folder, name, TOKEN);
        }
        House::in_folder(folder)
    }
}

/// A reach that has the server, and more.
pub fn to(server: &FakeGitHub, more: &str) -> String {
    let port = server.port();
    format!(
        "schemes = [\"https\", \"http\"], hosts = [\"localhost\"], ports = [{port}], \
         methods = [\"GET\", \"POST\", \"HEAD\"], {more}"
    )
}

pub fn credential(name: &str, subs: &str, to: &str, how: &str, more: &str) -> String {
    format!("(name = \"{name}\", allowedSubs = [\"{subs}\"], send = (to = ({to}), {how}), {more}),")
}

/// Seals a value by standard input.
pub fn set(folder: &Folder, name: &str, value: &str) {
    let ran = vault(folder, &["set", name], value);
    assert_eq!(ran.code, 0, "{ran:?}");
}

/// A command of the vault with this on its standard input.
pub fn vault(folder: &Folder, args: &[&str], input: &str) -> Ran {
    planted::plant(input.trim_end().as_bytes());
    let mut command = certosa(&[&["vault"], args].concat());
    let piped = || Stdio::piped();
    let command = command.current_dir(folder.dir.path()).stdin(piped()).stdout(piped()).stderr(piped());
    let mut child = command.spawn().unwrap();
    let _refused_before = child.stdin.take().unwrap().write_all(input.as_bytes());
    Ran::of(child.wait_with_output().unwrap())
}

/// The house of most tests: one credential for everything.
pub fn open() -> (FakeGitHub, House) {
    open_with(|_| ())
}

/// The same with something else in its manifest.
pub fn open_with(say: impl FnOnce(&mut Said)) -> (FakeGitHub, House) {
    let server = FakeGitHub::start(TOKEN);
    let mut said = Said::new(&server);
    say(&mut said);
    let house = said.house(&server, &["github"]);
    (server, house)
}

/// What a tool of `errand` says came of a request for this path at the server.
pub fn errand(house: &House, server: &FakeGitHub, tool: &str, path: &str, more: Value) -> Value {
    let mut arguments = json!({
        "scheme": if server.url().starts_with("https") { "https" } else { "http" },
        "authority": format!("localhost:{}", server.port()),
        "path": path,
    });
    let fields = arguments.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    fields.retain(|_, value| !value.is_null());
    told(&house.call(&format!("errand_{tool}"), arguments))
}

pub fn fetch(house: &House, server: &FakeGitHub, path: &str, more: Value) -> Value {
    errand(house, server, "fetch", path, more)
}

/// A path that GitHub answers only with the token.
pub fn issues(house: &House, server: &FakeGitHub) -> Value {
    fetch(house, server, "/repos/a/b/issues", json!({"headers": [["user-agent", "errand"]]}))
}

/// The JSON in the text of a result.
pub fn told(result: &Value) -> Value {
    let text = result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{result}"));
    serde_json::from_str(text).unwrap_or_else(|_| panic!("{text}"))
}

/// Waits until this holds.
pub fn until(what: &str, holds: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed().as_secs() < 30, "{what}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
