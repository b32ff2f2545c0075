//! The command line: what it prints and how it exits.

use serde_json::{Value, json};

use crate::support::{Folder, bundles, certosa};

#[test]
fn help_teaches() {
    for args in [
        &["--help"][..],
        &["serve", "--help"],
        &["check", "--help"],
        &["tools", "--help"],
        &["call", "--help"],
        &["inspect", "--help"],
        &["completions", "--help"],
    ] {
        let output = certosa(args).output().unwrap();
        assert!(output.status.success());
        assert!(output.stdout.len() > 300, "{args:?}");
    }
    let help = String::from_utf8(certosa(&["--help"]).output().unwrap().stdout).unwrap();
    for word in ["certosa check", "Exit codes:", "4  the call was refused"] {
        assert!(help.contains(word), "{word}");
    }
    assert!(!help.contains("internal"), "children's tasks are not for people");
}

#[test]
fn exit_codes_are_stable() {
    let folder = Folder::new(&bundles(&["hello", "probe"], "cpuMsMax = 200"));
    for (args, code) in [
        (&["call", "hello_greet", r#"{"name":"Ana"}"#][..], 0),
        (&["call", "probe_ask"], 4),
        (&["call"], 2),
        (&["dance"], 2),
        (&["check", "nowhere.capnp"], 3),
        (&["call", "hello_nothing"], 4),
        (&["call", "hello_greet", "{}"], 4),
        (&["call", "hello_greet", "not json"], 4),
        (&["call", "probe_spin"], 5),
        (&["call", "probe_panic"], 5),
        (&["call", "--route", "/other", "hello_greet"], 6),
    ] {
        let ran = folder.run(args);
        assert_eq!(ran.code, code, "{args:?}: {ran:?}");
        assert!(!ran.stderr.contains("panicked at host"), "{ran:?}");
    }
    let jq = Folder::new(&bundles(&["jq"], ""));
    let wrong = jq.run(&["call", "jq_query", r#"{"filter":".a[","input":{}}"#]);
    assert_eq!(wrong.code, 1, "{wrong:?}");
    assert!(wrong.stdout.contains("at character"), "{wrong:?}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let folder = Folder::new(&bundles(&["hello"], "").replace("127.0.0.1:0", &address));
    let ran = folder.run(&["serve"]);
    assert_eq!(ran.code, 6);
    assert!(ran.stderr.contains(&format!("cannot listen on {address}")), "{ran:?}");
}

#[test]
fn arguments_come_from_standard_input_too() {
    let folder = Folder::new(&bundles(&["jq"], ""));
    let mut child = certosa(&["call", "jq_query", "-", "-o", "json"]);
    child.current_dir(folder.dir.path()).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = child.spawn().unwrap();
    let arguments = json!({"filter": "map(.n) | add", "input": [{"n": 1}, {"n": 2.5}]}).to_string();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), arguments.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["content"][0]["text"], "3.5");
}

#[test]
fn numbers_pass_through_as_they_are() {
    let folder = Folder::new(&bundles(&["jq"], ""));
    let ran = folder.run(&["call", "jq_query", r#"{"filter":".","input":123456789012345678901234567890}"#]);
    assert_eq!(ran.stdout, "123456789012345678901234567890\n", "{ran:?}");
}

#[test]
fn progress_and_logs_go_to_standard_error() {
    let folder = Folder::new(&bundles(&["probe"], ""));
    let ran = folder.run(&["call", "probe_steps", r#"{"count":2,"ms":1}"#]);
    assert_eq!(ran.stdout, "done\n");
    assert!(ran.stderr.contains("progress 1 of 2"), "{ran:?}");
}

#[test]
fn completions_are_printed() {
    for shell in ["bash", "zsh", "fish"] {
        let output = certosa(&["completions", shell]).output().unwrap();
        assert!(String::from_utf8(output.stdout).unwrap().contains("inspect"), "{shell}");
    }
}
