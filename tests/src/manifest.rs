//! What is refused in a manifest, where, and in which words.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::Value;

use crate::support::{Folder, Ran, bundles, certosa, manifest};

/// The problems that `certosa check` reports.
fn problems(folder: &Folder) -> Vec<Value> {
    let ran = folder.run(&["check", "-o", "json"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    let value: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
    assert_eq!(value["ok"], false);
    value["problems"].as_array().unwrap().clone()
}

fn only(folder: &Folder) -> Value {
    let problems = problems(folder);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems[0].clone()
}

fn says(problem: &Value, words: &str) {
    assert!(problem["message"].as_str().unwrap().contains(words), "{problem:#}");
}

const ROUTE: &str = r#"(path = "/mcp", tools = ["bundle/**"], callers = ["anonymous/loopback"])"#;
const HELLO: &str = r#"(name = "hello", file = "hello.wasm")"#;

#[test]
fn a_right_manifest_passes_and_is_cached() {
    let folder = Folder::new(&bundles(&["hello"], ""));
    let first = folder.run(&["check"]);
    assert_eq!(first.code, 0, "{first:?}");
    assert!(first.stderr.contains("compiling hello"), "{first:?}");
    let second = folder.run(&["check"]);
    assert_eq!((second.code, second.stdout), (0, first.stdout));
    assert_eq!(second.stderr, "", "nothing is compiled twice");

    let kept = |kind: &str| {
        let files = fs::read_dir(folder.path(".certosa/cache")).unwrap();
        files.filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().starts_with(kind)).count()
    };
    assert_eq!((kept("manifest-"), kept("code-"), kept("offer2-")), (1, 1, 1));
    folder.write("manifest.capnp", manifest(&bundles(&["hello"], "cpuMsMax = 7")));
    assert_eq!(folder.run(&["check"]).code, 0);
    assert_eq!((kept("manifest-"), kept("code-")), (2, 1), "another text is another manifest");
}

#[test]
fn a_tampered_cache_is_not_believed() {
    let folder = Folder::new(&bundles(&["hello"], ""));
    assert_eq!(folder.run(&["check"]).code, 0);
    for entry in fs::read_dir(folder.path(".certosa/cache")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    }
    let again = folder.run(&["check"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.stderr.contains("compiling hello"), "made again: {again:?}");
}

#[test]
fn everything_wrong_is_reported_at_once_with_its_place() {
    let folder = Folder::new(
        "  listen = \"0.0.0.0:80\",\n  bundles = [\n    (name = \"Hello\", file = \"../x.wasm\"),\n    \
         (name = \"hello\", file = \"hello.wasm\", limits = (cpuMsMax = 0)),\n  ],\n  \
         routes = [(path = \"/ready\", tools = [\"bundle/helo/**\"], callers = [\"User/ana\"])],",
    );
    let found: Vec<_> = problems(&folder)
        .iter()
        .map(|p| (p["line"].as_u64().unwrap(), p["column"].as_u64().unwrap(), p["found"].as_str().unwrap().to_owned()))
        .collect();
    let expected = [
        (4, 12, "\"0.0.0.0:80\""),
        (6, 13, "\"Hello\""),
        (6, 29, "\"../x.wasm\""),
        (7, 64, "0"),
        (9, 21, "\"/ready\""),
        (9, 40, "\"helo\""),
        (9, 70, "\"User/ana\""),
    ];
    let expected: Vec<_> = expected.iter().map(|(line, column, found)| (*line, *column, (*found).to_owned())).collect();
    assert_eq!(found, expected);

    let shown = folder.run(&["check"]);
    assert_eq!(shown.code, 3);
    assert!(shown.stderr.contains("manifest.capnp:4:12: callers are anonymous"), "{}", shown.stderr);
    assert!(
        shown.stderr.contains("\n 4 |   listen = \"0.0.0.0:80\",\n   |            ^^^^^^^^^^^^\n"),
        "{}",
        shown.stderr
    );
    assert!(shown.stderr.contains("7 problems; nothing was started"), "{}", shown.stderr);
    assert!(!folder.path(".certosa/records.jsonl").exists());
}

#[test]
fn the_compilers_errors_look_like_ours() {
    let folder = Folder::new("  bundels = [],\n  listen = 3,");
    let problems = problems(&folder);
    assert!(problems.iter().any(|p| p["line"] == 4 && p["file"] == "manifest.capnp"), "{problems:#?}");
    let ran = folder.run(&["check"]);
    assert!(ran.stderr.contains("manifest.capnp:4:3:") && ran.stderr.contains("^^^^^^^"), "{ran:?}");
    assert!(!ran.stderr.contains("/tmp"), "paths are those of the operator: {ran:?}");

    let folder = Folder::new("");
    folder.write("manifest.capnp", "@0xa1b2c3d4e5f60718;\nconst x :Text = \"unfinished;\n");
    assert_eq!(only(&folder)["line"], 2);
}

#[test]
fn a_manifest_is_one_constant() {
    for (text, found) in [
        ("@0xa1b2c3d4e5f60718;\nconst x :Text = \"y\";\n", "none"),
        (
            "@0xa1b2c3d4e5f60718;\nusing C = import \"/certosa.capnp\";\nconst a :C.Manifest = ();\nconst b :C.Manifest = ();\n",
            "2: a, b",
        ),
    ] {
        let folder = Folder::new("");
        folder.write("manifest.capnp", text);
        let problem = only(&folder);
        says(&problem, "does not define its manifest");
        assert_eq!(problem["found"], found);
    }
}

#[test]
fn nothing_outside_of_the_folder_can_be_read() {
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret.capnp");
    fs::write(&secret, "@0xa1b2c3d4e5f60719;\nconst secret :Text = \"hush\";\n").unwrap();
    let absolute = secret.display().to_string();
    for name in
        [absolute.as_str(), "/etc/passwd", "../secret.capnp", "a/../../secret.capnp", "link.capnp", "dir/secret.capnp"]
    {
        for word in ["import", "embed"] {
            let folder = Folder::new("");
            symlink(&secret, folder.path("link.capnp")).unwrap();
            symlink(outside.path(), folder.path("dir")).unwrap();
            folder.write("manifest.capnp", format!("@0xa1b2c3d4e5f60718;\nconst x :Data = {word} \"{name}\";\n"));
            let problem = only(&folder);
            assert_eq!(
                (problem["line"].as_u64(), problem["column"].as_u64().is_some()),
                (Some(2), true),
                "{problem:#}"
            );
            assert!(!problem.to_string().contains("hush"), "{problem:#}");
        }
    }
    for name in ["a\\x2fb", "a\u{0}b", ""] {
        let folder = Folder::new("");
        folder.write("manifest.capnp", format!("@0xa1b2c3d4e5f60718;\nconst x :Data = embed \"{name}\";\n"));
        assert!(!problems(&folder).is_empty(), "{name:?}");
    }
    let folder = Folder::new("");
    folder.write("manifest.capnp", "@0xa1b2c3d4e5f60718;\nconst x :Data = embed \"fifo\";\n");
    assert!(std::process::Command::new("mkfifo").arg(folder.path("fifo")).status().unwrap().success());
    says(&only(&folder), "not a regular file");
}

/// Runs the child that compiles manifests on this text, past all the checks of its parent.
fn child(text: &str) -> (bool, Vec<u8>) {
    let stage = tempfile::tempdir().unwrap();
    for folder in ["root", "lib", "tmp"] {
        fs::create_dir(stage.path().join(folder)).unwrap();
    }
    fs::write(stage.path().join("root/manifest.capnp"), text).unwrap();
    fs::write(stage.path().join("root/inside.txt"), "from inside").unwrap();
    let mut child = certosa(&["internal-compile-manifest"]);
    child.arg(stage.path()).arg("manifest.capnp").env("TMPDIR", stage.path().join("tmp"));
    let output = child.output().unwrap();
    (output.status.success(), [output.stdout, output.stderr].concat())
}

#[test]
fn the_compiler_itself_is_confined() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret.txt"), "hush").unwrap();
    let secret = outside.path().join("secret.txt").display().to_string();
    let (done, output) = child("@0xa1b2c3d4e5f60718;\nconst x :Data = embed \"inside.txt\";\n");
    assert!(done && output.windows(11).any(|bytes| bytes == b"from inside"), "{}", String::from_utf8_lossy(&output));
    let up = "../".repeat(12);
    for path in [secret.clone(), format!("{up}{secret}"), format!("/capnp/{up}{secret}")] {
        for word in ["embed", "import"] {
            let (done, output) = child(&format!("@0xa1b2c3d4e5f60718;\nconst x :Data = {word} \"{path}\";\n"));
            assert!(!done, "{word} {path}");
            assert!(!output.windows(4).any(|bytes| bytes == b"hush"), "{word} {path}");
        }
    }
}

#[test]
fn a_thousand_problems_are_told_in_a_hundred() {
    let folder = Folder::new("");
    let many = "(name = \"X\", file = \"/x\"), ".repeat(900);
    folder.write("manifest.capnp", manifest(&format!("bundles = [{many}]")));
    let found = problems(&folder);
    assert!((100..=102).contains(&found.len()), "{}", found.len());
    says(found.last().unwrap(), "more problems");
    let shown = folder.run(&["check"]).stderr;
    assert!(shown.len() < 100_000, "long lines are shown in part: {} bytes", shown.len());

    let embeds: String = (0..2000).map(|index| format!("const c{index} :Data = embed \"/x\"; ")).collect();
    folder.write("manifest.capnp", format!("@0xa1b2c3d4e5f60718;\n{embeds}"));
    assert!(folder.run(&["check"]).stderr.len() < 100_000);
}

#[test]
fn embeds_and_imports_inside_the_folder_work() {
    let folder = Folder::new("");
    folder.write(
        "parts/limits.capnp",
        "@0xa1b2c3d4e5f60719;\nusing C = import \"/certosa.capnp\";\nconst small :C.CellLimits = (cpuMsMax = 50);\n",
    );
    folder.write(
        "manifest.capnp",
        format!(
            "@0xa1b2c3d4e5f60718;\nusing C = import \"/certosa.capnp\";\nusing L = import \"parts/limits.capnp\";\n\
             const house :C.Manifest = (\n bundles = [(name = \"hello\", bytes = embed \"hello.wasm\", limits = L.small)],\n routes = [{ROUTE}],\n);\n"
        ),
    );
    let ran = folder.run(&["call", "hello_greet", r#"{"name":"Ana"}"#]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "Hello, Ana!\n"), "{ran:?}");
}

#[test]
fn imports_may_go_round_but_not_too_deep() {
    let folder = Folder::new("");
    folder.write("a.capnp", "@0xa1b2c3d4e5f60719;\nusing B = import \"b.capnp\";\nconst one :Text = \"1\";\n");
    folder.write("b.capnp", "@0xa1b2c3d4e5f60720;\nusing A = import \"a.capnp\";\n");
    folder.write(
        "manifest.capnp",
        format!(
            "@0xa1b2c3d4e5f60718;\nusing C = import \"/certosa.capnp\";\nusing A = import \"a.capnp\";\nconst house :C.Manifest = (bundles = [{HELLO}], routes = [{ROUTE}]);\n"
        ),
    );
    assert_eq!(folder.run(&["check"]).code, 0);

    for index in 0..10 {
        folder.write(
            &format!("deep{index}.capnp"),
            format!("@0xa1b2c3d4e5f6{:04x};\nusing N = import \"deep{}.capnp\";\n", 0x1000 + index, index + 1),
        );
    }
    folder.write("manifest.capnp", "@0xa1b2c3d4e5f60718;\nusing N = import \"deep0.capnp\";\n");
    let problem = only(&folder);
    says(&problem, "at most 8 deep");
    assert_eq!(problem["file"], "deep7.capnp");
}

#[test]
fn oversized_manifests_are_refused() {
    let folder = Folder::new("");
    folder.write("manifest.capnp", format!("@0xa1b2c3d4e5f60718;\n# {}\n", "x".repeat(1 << 20)));
    says(&only(&folder), "too large");

    folder.write("big.bin", vec![0; 65 << 20]);
    folder.write("manifest.capnp", "@0xa1b2c3d4e5f60718;\nconst x :Data = embed \"big.bin\";\n");
    says(&only(&folder), "too large");

    let many: String = (0..70).map(|index| format!("const c{index} :Data = embed \"f{index}\";\n")).collect();
    (0..70).for_each(|index| folder.write(&format!("f{index}"), "x"));
    folder.write("manifest.capnp", format!("@0xa1b2c3d4e5f60718;\n{many}"));
    assert!(problems(&folder).iter().all(|problem| problem["message"].as_str().unwrap().contains("at most 64 files")));

    folder.write("manifest.capnp", b"@0xa1b2c3d4e5f60718;\n# \xff\n");
    says(&only(&folder), "not UTF-8");
    fs::remove_file(folder.path("manifest.capnp")).unwrap();
    says(&only(&folder), "cannot read the manifest");
}

#[test]
fn pointer_amplification_is_bounded() {
    // Each use of a constant copies it: 1 MiB, times 1,000 bundles, would be a gigabyte.
    let folder = Folder::new("");
    folder.write("mega.bin", vec![7; 1 << 20]);
    // Distinct names: nothing but its size is wrong with this manifest.
    let many: String = (0..999).map(|index| format!("(name = \"x{index}\", bytes = .mega),")).collect();
    folder.write(
        "manifest.capnp",
        format!(
            "@0xa1b2c3d4e5f60718;\nusing C = import \"/certosa.capnp\";\nconst mega :Data = embed \"mega.bin\";\nconst house :C.Manifest = (bundles = [{many}]);\n"
        ),
    );
    let started = std::time::Instant::now();
    let problem = only(&folder);
    says(&problem, "the compiler gave up");
    assert!(problem["found"].as_str().unwrap().contains("Out of memory"), "{problem:#}");
    assert!(started.elapsed().as_secs() < 60);
}

#[test]
fn names_and_grants_that_do_not_fit_are_refused() {
    let check = |body: &str| only(&Folder::new(body));
    says(&check(&format!("bundles = [{HELLO}, {HELLO}], routes = [{ROUTE}]")), "could not be told apart");
    let alike = r#"(name = "a.b", file = "hello.wasm"), (name = "a_b", file = "hello.wasm")"#;
    says(&check(&format!("bundles = [{alike}]")), "could not be told apart");
    says(&check(&format!("bundles = [{HELLO}], routes = [{ROUTE}, {ROUTE}]")), "second route");
    says(&check("bundles = []"), "a house has bundles");
    let route = |tools: &str| format!(r#"bundles = [{HELLO}], routes = [(tools = ["{tools}"])]"#);
    says(&check(&route("bundle/jq/**")), "not declared");
    says(&check(&route("bundle/hello/gret")), "fits no tool");
    says(&check(&route("user/**")), "fits nothing that bundles offer");
    says(&check(&route("bundle/a*b")), "not a pattern");
    for path in ["mcp", "/", "/a//b", "/a/../b", "/a%2fb", "/health", "/metrics", "/a b", ""] {
        says(&check(&format!(r#"bundles = [{HELLO}], routes = [(path = "{path}")]"#)), "not a path");
    }
    let two = r#"(name = "a", file = "hello.wasm"), (name = "b", file = "hello.wasm")"#;
    let bare = r#"(tools = ["bundle/**"], toolNames = bare)"#;
    let folder = Folder::new(&format!("bundles = [{two}], routes = [{bare}]"));
    let found = problems(&folder);
    assert_eq!(found.len(), 3, "echo, greet and introduce: {found:#?}");
    found.iter().for_each(|problem| says(problem, "hides bundle/b/"));
    let prompts = r#"(prompts = ["bundle/hello/nothing"], resources = ["bundle/hello/nothing"])"#;
    let found = problems(&Folder::new(&format!("bundles = [{HELLO}], routes = [{prompts}]")));
    says(&found[0], "a pattern that fits no prompt");
    says(&found[1], "a pattern that fits no resource");
    let long = "a".repeat(40);
    let body = format!(r#"bundles = [(name = "{long}", file = "hello.wasm")], routes = [(tools = ["bundle/**"])]"#);
    assert_eq!(Folder::new(&body).run(&["check"]).code, 0, "50 characters");
    for address in ["0.0.0.0:1", "192.168.1.1:1", "[::]:1", "localhost:1", "127.0.0.1", "127.0.0.1:99999", ""] {
        let problem = check(&format!(r#"listen = "{address}", bundles = [{HELLO}]"#));
        assert_eq!(problem["found"], format!("{address:?}"));
    }
}

#[test]
fn limits_have_ranges() {
    for (limit, found) in [
        ("memoryMibMax = 0", "0"),
        ("memoryMibMax = 4097", "4097"),
        ("cpuMsMax = 0", "0"),
        ("wallMsMax = 3600001", "3600001"),
        ("outputKibMax = 0", "0"),
        ("concurrencyMax = 0", "0"),
        ("queueMax = 0", "0"),
    ] {
        let problem = only(&Folder::new(&bundles(&["hello"], limit)));
        says(&problem, "out of its range");
        assert_eq!((problem["found"].as_str(), problem["line"].as_u64()), (Some(found), Some(4)), "{limit}");
    }
    let problem = only(&Folder::new(&format!("bundles = [{HELLO}], limits = (cellsMax = 0)")));
    assert_eq!(problem["expected"], "1 to 4096");
    let problem = only(&Folder::new(&format!("bundles = [{HELLO}], limits = (answerSMax = 0)")));
    assert_eq!(problem["expected"], "1 to 86400");
}

#[test]
fn an_empty_list_allows_nobody() {
    let folder = Folder::new(&format!(r#"bundles = [{HELLO}], routes = [(tools = ["bundle/**"])]"#));
    let ran = folder.run(&["tools"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
    assert_eq!(folder.run(&["call", "hello_greet", r#"{"name":"Ana"}"#]).code, 4);
}

#[test]
fn a_state_folder_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new(&bundles(&["hello"], ""));
    fs::create_dir(folder.path(".certosa")).unwrap();
    fs::set_permissions(folder.path(".certosa"), fs::Permissions::from_mode(0o755)).unwrap();
    let Ran { code, stderr, .. } = folder.run(&["check"]);
    assert_eq!(code, 6);
    assert!(stderr.contains("0700"), "{stderr}");
}
