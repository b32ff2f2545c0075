//! The pages for people, followed word by word.

use std::fs;
use std::path::Path;

use rmcp::model::{CallToolRequestParams, ClientConfig, Implementation};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::{ClientHandler, ServiceExt as _};
use serde_json::json;

use crate::egress::github::FakeGitHub;
use crate::egress::{TOKEN, vault};
use crate::support::{Folder, House};

/// What stands in blocks of this language under a heading.
fn blocks(page: &str, heading: &str, language: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page)).unwrap();
    let (_, section) = text.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let opening = format!("```{language}\n");
    section.split(&opening).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

struct Person;

impl ClientHandler for Person {
    fn get_info(&self) -> ClientConfig {
        ClientConfig::new(Default::default(), Implementation::new("person", "1"))
    }
}

#[test]
fn the_vault_from_an_empty_folder() {
    const HEADING: &str = "From an empty folder to a tool with a token";
    let server = FakeGitHub::start(TOKEN);
    // The page means GitHub; here it is on this machine, under an authority of its own.
    let manifest = blocks("vault.md", HEADING, "capnp").concat();
    let here = format!("[\"localhost\"], ports = [{}]", server.port());
    let manifest = manifest
        .replace("[\"api.github.com\"]", &here)
        .replace("(to = .github))]", "(to = .github, addresses = [\"127.0.0.0/8\", \"::1/128\"]))]")
        .replace("  bundles", "  listen = \"127.0.0.1:0\",\n  roots = [\"root.pem\"],\n  bundles");
    let folder = Folder::new("");
    folder.write("manifest.capnp", manifest);
    folder.write("root.pem", server.authority_pem());

    let commands = blocks("vault.md", HEADING, "sh").concat();
    let commands: Vec<Vec<&str>> =
        commands.lines().map(|line| line.split('#').next().unwrap().split_whitespace().skip(1).collect()).collect();
    let [doctor, ["vault", set @ ..], ["serve"]] = [&commands[0][..], &commands[1], &commands[2]] else {
        panic!("{commands:?}")
    };
    let ran = folder.run(doctor);
    assert!(ran.code == 3 && ran.stdout.contains("it has no value: certosa vault set github"), "{ran:?}");
    let ran = vault(&folder, set, TOKEN);
    assert!(ran.code == 0 && ran.stderr.contains(".certosa/kek"), "{ran:?}");
    assert_eq!(folder.run(doctor).code, 0);
    let house = House::in_folder(folder);

    let issue =
        json!({"owner": "ana", "repo": "house", "title": "The hatch is stuck", "body": "", "api": server.url()});
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = Person.serve(StreamableHttpClientTransport::from_uri(house.url())).await.unwrap();
        let arguments = issue.as_object().unwrap().clone();
        let opened = client.call_tool(CallToolRequestParams::new("github_create_issue").with_arguments(arguments));
        assert_eq!(opened.await.unwrap().structured_content.unwrap()["number"], 1);
        client.cancel().await.unwrap();
    });
    assert_eq!(server.issues()[0].title, "The hatch is stuck");
    assert_eq!(server.requests()[0].header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
}
