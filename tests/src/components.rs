//! Components that are broken, lie about themselves or are not components at all.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{Folder, bundles, certosa, component};

/// Checks a house whose bundle `hello` is these bytes; returns the one problem.
fn refused(bytes: impl AsRef<[u8]>) -> Value {
    let folder = Folder::new(&bundles(&["hello"], "cpuMsMax = 300, memoryMibMax = 16"));
    folder.write("hello.wasm", bytes);
    let ran = folder.run(&["check", "-o", "json"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    let value: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(value["problems"].as_array().unwrap().len(), 1, "{value:#}");
    assert_eq!(value["problems"][0]["line"], 4, "the place of the bundle in the manifest");
    assert!(!folder.path(".certosa/records.jsonl").exists(), "nothing was started");
    value["problems"][0].clone()
}

fn found(problem: &Value) -> &str {
    problem["found"].as_str().unwrap_or_else(|| panic!("{problem:#}"))
}

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

#[test]
fn what_is_no_component_is_refused_by_name() {
    for (bytes, why) in [
        (b"".to_vec(), "not WebAssembly"),
        (b"\x7fELF".to_vec(), "not WebAssembly"),
        (b"  (component)".to_vec(), "text, not binary"),
        (wat("(module)"), "a core module"),
        (b"\0asm\x0d\0\x01".to_vec(), "broken"),
    ] {
        let problem = refused(bytes);
        assert!(found(&problem).contains(why), "{problem:#}");
    }
    let problem = refused(wat("(component)"));
    assert!(problem["message"].as_str().unwrap().contains("offers nothing"), "{problem:#}");
}

#[test]
fn truncated_components_are_refused() {
    let whole = fs::read(component("hello")).unwrap();
    for part in [9, 100, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        let problem = refused(&whole[..part]);
        assert!(
            problem.to_string().contains("broken")
                || problem.to_string().contains("not valid")
                || problem.to_string().contains("offers nothing"),
            "{part}: {problem:#}"
        );
    }
}

#[test]
fn corrupted_components_never_crash_the_house() {
    let whole = fs::read(component("hello")).unwrap();
    let folder = Folder::new(&bundles(&["hello"], "cpuMsMax = 300, memoryMibMax = 16"));
    for step in 1..24 {
        let mut bytes = whole.clone();
        let index = bytes.len() / 24 * step;
        bytes[index] ^= 0x55;
        folder.write("hello.wasm", bytes);
        let ran = folder.run(&["check"]);
        assert!([0, 3].contains(&ran.code), "byte {index}: {ran:?}");
        assert!(!ran.stderr.contains("panicked"), "byte {index}: {ran:?}");
    }
}

#[test]
fn an_import_that_was_not_granted_is_refused() {
    for (import, name) in [
        ("wasi:http/outgoing-handler@0.2.0", "wasi:http/outgoing-handler@0.2.0"),
        ("certosa:tools/vault@0.1.0", "certosa:tools/vault@0.1.0"),
        ("wasi:keyvalue/store@0.2.0", "wasi:keyvalue/store@0.2.0"),
        ("evil:host/shell", "evil:host/shell"),
    ] {
        let folder = Folder::new(&bundles(&["hello"], ""));
        folder.write("hello.wasm", wat(&format!("(component (import \"{import}\" (instance)))")));
        let ran = folder.run(&["check"]);
        assert_eq!(ran.code, 3);
        assert!(ran.stderr.contains("imports what it was not granted") && ran.stderr.contains(name), "{ran:?}");
    }
}

/// A component with the right exports whose core module has these definitions.
fn with_core(core: &str) -> Vec<u8> {
    // `list-tools` and `call-tool` with the flat signatures of their types are not needed: what these tests
    // look at happens before any of them is called.
    wat(&format!(
        r#"(component
            (core module $m {core})
            (core instance $i (instantiate $m))
            (instance $tools)
            (export "certosa:tools/tools@0.1.0" (instance $tools)))"#
    ))
}

#[test]
fn an_export_of_the_right_name_and_the_wrong_type_is_refused() {
    let problem = refused(with_core(""));
    assert!(found(&problem).contains("list-tools"), "{problem:#}");
}

#[test]
fn the_limits_hold_while_a_bundle_is_loaded() {
    // The bundle starts with a little more than one MiB.
    let check = |body: &str| Folder::new(body).run(&["check"]);
    let alone = check(&bundles(&["hello"], "memoryMibMax = 1"));
    assert_eq!(alone.code, 3, "{alone:?}");
    assert!(alone.stderr.contains("starts with more memory than any cell here may have"), "{alone:?}");
    let beside = r#"bundles = [
        (name = "hello", file = "hello.wasm", limits = (memoryMibMax = 1)), (name = "probe", file = "probe.wasm")]"#;
    let beside = check(beside);
    assert_eq!(beside.code, 3, "{beside:?}");
    assert!(beside.stderr.contains("listing went past a limit: memoryMibMax = 1"), "{beside:?}");
    assert_eq!(check(&bundles(&["hello"], "memoryMibMax = 2")).code, 0);
}

#[test]
fn a_pinned_component_is_that_component() {
    let inspect = Folder::new("").run(&["inspect", "-o", "json", component("hello").to_str().unwrap()]);
    let shape: Value = serde_json::from_str(&inspect.stdout).unwrap();
    let digest = shape["component"]["digest"].as_str().unwrap();
    let body = |digest: &str| {
        format!(
            r#"bundles = [(name = "hello", file = "hello.wasm", digest = "{digest}")], routes = [(tools = ["bundle/**"])]"#
        )
    };
    assert_eq!(Folder::new(&body(digest)).run(&["check"]).code, 0);
    let folder = Folder::new(&body(digest));
    fs::copy(component("probe"), folder.path("hello.wasm")).unwrap();
    let ran = folder.run(&["check"]);
    assert_eq!(ran.code, 3);
    assert!(ran.stderr.contains("not the component that was pinned") && ran.stderr.contains(digest), "{ran:?}");
    assert_eq!(Folder::new(&body("sha256:abc")).run(&["check"]).code, 3);
}

#[test]
fn a_component_that_is_missing_or_elsewhere_is_refused() {
    let folder = Folder::new(&bundles(&["hello"], ""));
    fs::remove_file(folder.path("hello.wasm")).unwrap();
    assert!(folder.run(&["check"]).stderr.contains("cannot read the component of hello"));
    std::os::unix::fs::symlink("/etc/hostname", folder.path("hello.wasm")).unwrap();
    assert!(folder.run(&["check"]).stderr.contains("leads out of the manifest's folder"));
    fs::remove_file(folder.path("hello.wasm")).unwrap();
    fs::create_dir(folder.path("hello.wasm")).unwrap();
    assert!(folder.run(&["check"]).stderr.contains("not a regular file"));
}

#[test]
fn the_compiling_child_takes_only_components() {
    let mut child = certosa(&["internal-compile-component"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"\0asm not a component").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success() && output.stdout.is_empty());
    assert!(!output.stderr.is_empty(), "it says why");
}

#[test]
fn inspect_tells_what_a_component_is() {
    let folder = Folder::new("");
    let ran = folder.run(&["inspect", "hello.wasm"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for word in ["sha256:", "wasi:cli/", "certosa:tools/tools@0.1.0", "greet", "Greets someone"] {
        assert!(ran.stdout.contains(word), "{word}: {}", ran.stdout);
    }
    let wit = folder.run(&["inspect", "--wit", "hello.wasm"]);
    assert!(wit.stdout.contains("export certosa:tools/tools@0.1.0;"), "{wit:?}");
    // The library that reads types panics at this one, in a child.
    let broken = "../fuzz/corpus/component/broken-package-panics-in-wit-parser";
    folder.write("broken.wasm", fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(broken)).unwrap());
    let ran = folder.run(&["inspect", "--wit", "broken.wasm"]);
    assert!(ran.code == 3 && ran.stderr.contains("their reader broke off"), "{ran:?}");
    folder.write("http.wasm", wat("(component (import \"wasi:http/outgoing-handler@0.2.0\" (instance)))"));
    let ran = folder.run(&["inspect", "http.wasm"]);
    assert_eq!(ran.code, 3);
    assert!(ran.stdout.contains("needs `egress` in the manifest"), "{ran:?}");
    folder.write("files.wasm", wat("(component (import \"wasi:nn/graph@0.2.0\" (instance)))"));
    let ran = folder.run(&["inspect", "files.wasm"]);
    assert!(ran.code == 3 && ran.stdout.contains("cannot be granted"), "{ran:?}");
    assert_eq!(folder.run(&["inspect", "manifest.capnp"]).code, 3);
    assert_eq!(folder.run(&["inspect", "missing.wasm"]).code, 6);
}

#[test]
fn an_oversized_component_is_refused_by_its_size() {
    let folder = Folder::new(&bundles(&["hello"], ""));
    fs::File::create(folder.path("hello.wasm")).unwrap().set_len((128 << 20) + 1).unwrap();
    let ran = folder.run(&["check"]);
    assert_eq!(ran.code, 3);
    assert!(ran.stderr.contains("larger than 128 MiB"), "{ran:?}");
}
