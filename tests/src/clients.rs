//! The official SDKs, the official conformance suite and an edge host. `cargo xtask test` installs them under
//! `target/clients`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::egress::github::FakeGitHub;
use crate::egress::{Said, TOKEN};
use crate::support::{Folder, House, Ran, component, target};

pub fn clients() -> PathBuf {
    let folder = target().join("clients");
    assert!(folder.join("node_modules").exists(), "the clients are not installed: run `cargo xtask test`");
    folder
}

fn node() -> Command {
    Command::new(clients().join("node_modules/node/bin/node"))
}

fn here(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn passes(command: &mut Command) -> String {
    let ran = Ran::of(command.output().unwrap());
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    ran.stdout
}

#[test]
fn the_typescript_sdks_use_the_demo_house() {
    let house = House::in_folder(Folder::demo());
    passes(node().arg(here("clients/typescript.mjs")).arg(house.url()).arg(clients()));
}

#[test]
fn the_python_sdk_uses_the_demo_house() {
    let house = House::in_folder(Folder::demo());
    passes(python().arg(house.url()));
}

fn python() -> Command {
    let mut python = Command::new(clients().join("venv/bin/python"));
    python.arg(here("clients/python_client.py"));
    python
}

/// A script of `tests/clients` that is given the binary, a manifest and a running house.
fn over_both_transports(mut command: Command) {
    let house = House::in_folder(Folder::demo());
    let (program, manifest) = (target().join("release/certosa"), house.folder.path("manifest.capnp"));
    passes(command.arg(program).arg(manifest).arg(house.url()));
}

fn script(name: &str) -> Command {
    let mut node = node();
    node.arg(here("clients").join(name));
    node
}

#[test]
fn the_python_sdk_starts_the_house_and_the_bridge() {
    over_both_transports(python());
}

#[test]
fn the_typescript_sdks_start_the_house_and_the_bridge() {
    let mut command = script("stdio.mjs");
    with_packages(&mut command);
}

/// MCP Inspector's command line, and then the clients of the README with their own configuration files.
#[test]
fn the_inspector_and_the_clients_of_the_readme_use_the_demo_house() {
    with_packages(&mut script("inspector.mjs"));
    with_packages(&mut script("config.mjs"));
}

/// The walk of `docs/vault.md`: a token is sealed, and a client of the registries opens an issue with it.
#[test]
fn the_typescript_sdks_open_an_issue_with_a_token_that_nobody_sees() {
    let server = FakeGitHub::start(TOKEN);
    let house = Said::new(&server).house(&server, &["github"]);
    passes(script("issue.mjs").arg(house.url()).arg(server.url()).arg(clients()));
    let titles: Vec<_> = server.issues().into_iter().map(|issue| issue.title).collect();
    assert_eq!(titles, ["The hatch is stuck (modern)", "The hatch is stuck (legacy)"]);
}

fn with_packages(command: &mut Command) {
    let house = House::in_folder(Folder::demo());
    let (program, manifest) = (target().join("release/certosa"), house.folder.path("manifest.capnp"));
    passes(command.arg(program).arg(manifest).arg(house.url()).arg(clients()));
}

/// The suite's summary of a revision, as a table.
fn scores(url: &str, revision: &str) -> String {
    let suite = clients().join("node_modules/@modelcontextprotocol/conformance/dist/index.js");
    let work = tempfile::tempdir().unwrap();
    let args = ["server", "--url", url, "--requirements", revision];
    let output = node().arg(suite).args(args).current_dir(work.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let (_, summary) = text.split_once("=== SUMMARY ===").unwrap_or_else(|| panic!("no summary:\n{text}"));
    let (scenarios, rest) = summary.split_once("Total:").unwrap();
    assert!(output.status.success(), "a scored scenario fails:\n{summary}");
    let unscored: Vec<_> =
        rest.lines().filter_map(|line| line.trim().trim_start_matches(['✓', '✗', ' ']).split(' ').next()).collect();
    let row = |line: &str| {
        let (name, counts) = line.trim_start_matches(['✓', '✗', ' ']).split_once(": ").unwrap();
        let scored = if unscored.contains(&name) { "no" } else { "yes" };
        let result = if line.starts_with('✓') { "passes" } else { "fails" };
        let count = |word: &str| counts.split(", ").find_map(|part| part.strip_suffix(word)).unwrap().trim().to_owned();
        format!("| {name} | {scored} | {result} | {} | {} |\n", count("passed"), count("failed"))
    };
    let rows: Vec<_> = scenarios.lines().map(str::trim).filter(|line| line.contains(" passed, ")).map(row).collect();
    assert!(rows.len() > 25, "{summary}");
    format!("| Scenario | Scored | Result | Checks passed | failed |\n|---|---|---|---|---|\n{}", rows.concat())
}

/// The official suite, with three bundles behind the endpoint: every scored scenario passes, and
/// `docs/conformance.md` has the scores of this very run.
#[test]
fn the_conformance_suite_gives_the_scores_that_are_published() {
    let folder = Folder::new("");
    folder.write("manifest.capnp", fs::read(here("conformance.capnp")).unwrap());
    let house = House::in_folder(folder);
    let published = fs::read_to_string(here("../docs/conformance.md")).unwrap();
    for revision in ["2026-07-28", "2025-11-25"] {
        let table = scores(&house.url(), revision);
        assert!(!table.contains("| yes | fails |"), "{table}");
        assert!(published.contains(&table), "docs/conformance.md has other scores for {revision} than these:\n{table}");
    }
}

/// The same component runs on an edge host: transpiled with jco, called in workerd.
#[test]
fn hello_runs_in_workerd() {
    let work = tempfile::tempdir().unwrap();
    let mut command = node();
    command.arg(here("edge/run.mjs")).arg(component("hello")).arg(work.path()).arg(clients());
    passes(&mut command);
}

/// One line of shell, as the README has it.
#[test]
fn the_curl_line_of_the_readme_works() {
    let house = House::in_folder(Folder::demo());
    let readme = fs::read_to_string(here("../README.md")).unwrap();
    let start = readme.find("curl -s").expect("the README has a curl line");
    let line = &readme[start..start + readme[start..].find("```").unwrap()];
    let line = line.replace("http://127.0.0.1:8787", &format!("http://{}", house.address));
    let answer = passes(Command::new("sh").args(["-c", &line]));
    assert!(answer.contains("Hello, "), "{answer}");
}
