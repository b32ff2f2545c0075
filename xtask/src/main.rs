//! The chores of this repository: `cargo xtask demo` runs the demo house, `cargo xtask test` runs every test.
//! It has no dependencies, so that it is there in a second.

mod dist;
mod red;

use std::env;
use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

const HELP: &str = "\
cargo xtask COMMAND

  demo     build everything and run the demo house at http://127.0.0.1:8787/mcp
  test     run every test; --strict also checks formatting, lints and the instructions of a call (valgrind)
  build    build the bundles and the host
  dist     build the host as it is installed: target/dist/certosa, optimised by what a house does all day (the first
           time about 45 minutes on 2 cores); --anew also counts anew what that is
  foreign  build the bundles in other languages
  bench    the load bench: how close the house comes to a bare HTTP server, both as `dist` builds them
           bench peers      install what `bench compare` compares with (the first time about 20 minutes)
           bench compare    the same call on the floor, the house and its peers; --draw draws the figure
           bench help       what else there is
  red      take each check of tests/checks.txt out of a copy of the host and see its tests fail (two hours and a half on
           2 cores); --only WORDS (again for more) takes those whose name has them, --table writes all into docs/threats.md
  help     this text

The first build compiles wasmtime and takes about 10 minutes on 2 cores.
";

const CONNECT: &str = r#"
Point an MCP client at it:

  Claude Code   claude mcp add --transport http certosa http://127.0.0.1:8787/mcp
  Codex         ~/.codex/config.toml:  [mcp_servers.certosa]
                                       url = "http://127.0.0.1:8787/mcp"
  Cursor        ~/.cursor/mcp.json:    {"mcpServers": {"certosa": {"url": "http://127.0.0.1:8787/mcp"}}}
  VS Code       .vscode/mcp.json:      {"servers": {"certosa": {"type": "http", "url": "http://127.0.0.1:8787/mcp"}}}
  others        the README lists them, and `certosa stdio` serves those that start processes

or call a tool by hand:

  curl -s http://127.0.0.1:8787/mcp -H 'Content-Type: application/json' \
    -H 'MCP-Protocol-Version: 2026-07-28' -H 'Mcp-Method: tools/call' -H 'Mcp-Name: hello_greet' \
    -d '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"hello_greet","arguments":{"name":"Ana"},
         "_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}'
"#;

// What the house is compared with: a gateway, and the wasmtime that the house has.
const MCP_PROXY: &str = "0.6.0";
const WASMTIME: &str = "48.0.8";

/// The version of `cargo-deny`.
const CARGO_DENY: &str = "0.20.2";

/// The version of `wit-bindgen-cli`, which makes C of WIT.
const WIT_BINDGEN: &str = "0.63.0";

/// More tests than these that fail are no matter of company.
const SECOND_TRIES_MAX: usize = 8;

type Done = Result<(), String>;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let strict = args.iter().any(|arg| arg == "--strict");
    let asks_for_help = args.iter().any(|arg| matches!(arg.as_str(), "--help" | "-h"));
    let done = match args.first().map(String::as_str).filter(|_| !asks_for_help) {
        Some("demo") => demo(),
        Some("test") => test(strict),
        Some("build") => build(),
        Some("dist") => dist::dist(args.iter().any(|arg| arg == "--anew")),
        Some("foreign") => clients().and_then(|()| foreign()),
        Some("bench") => bench(&args),
        Some("red") => red::red(&args),
        Some("help") | None => {
            tell(HELP.trim_end());
            Ok(())
        }
        Some(other) => Err(format!("there is no chore {other:?}\n\n{HELP}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            tell(&format!("xtask: {why}"));
            ExitCode::FAILURE
        }
    }
}

fn demo() -> Done {
    build()?;
    let house = |verb| run(Command::new(target().join("release/certosa")).arg(verb).arg(root().join("manifest.capnp")));
    // This compiles the bundles, which takes seconds the first time: whoever reads how to connect can do it at once.
    house("check")?;
    tell(CONNECT.trim_end());
    tell("");
    house("serve")
}

fn test(strict: bool) -> Done {
    if strict {
        step("formatting");
        run(cargo().args(["fmt", "--all", "--check"]))?;
        run(cargo().args(["fmt", "--all", "--check"]).current_dir(root().join("bundles")))?;
        run(cargo().args(["fmt", "--check"]).current_dir(root().join("fuzz")))?;
        dependencies()?;
    }
    build()?;
    clients()?;
    foreign()?;
    tests()?;
    if strict {
        // In the profile and with the features of the build above, so that nothing is compiled twice.
        step("lints");
        run(cargo().args(["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
        run(guests("clippy").args(["--all-targets", "--", "-D", "warnings"]))?;
        instructions()?;
    }
    Ok(())
}

/// Looks at what is in the trees of dependencies. For known weaknesses `cargo deny check advisories` needs their database,
/// which no registry has.
fn dependencies() -> Done {
    step("dependencies");
    let folder = target().join("tools");
    let deny = folder.join("bin/cargo-deny");
    install_tool("cargo-deny", CARGO_DENY, &deny, &folder, &[])?;
    let about_other_folders =
        ["unused-wrapper", "unmatched-skip", "license-not-encountered", "license-exception-not-encountered"];
    for place in [".", "bundles", "fuzz"] {
        let mut check = Command::new(&deny);
        check.current_dir(root().join(place)).args(["check", "--hide-inclusion-graph"]);
        check.args(about_other_folders.iter().flat_map(|name| ["--allow", name]));
        run(check.args(["bans", "licenses", "sources"]))?;
    }
    Ok(())
}

/// Installs this version of a tool, if another is there or none.
fn install_tool(name: &str, version: &str, program: &Path, folder: &Path, features: &[&str]) -> Done {
    let installed = Command::new(program).arg("--version").output();
    if installed.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(version)) {
        return Ok(());
    }
    step(&format!("installing {name}"));
    let mut cargo = cargo();
    cargo.args(["install", name, "--locked", "--debug", "--quiet", "--version", version, "--root"]).arg(folder);
    run(cargo.args(features).env_remove("CARGO_TARGET_DIR"))
}

/// Runs all tests, more at once than there are cores, because many of them wait for a limit of time. One that does not
/// pass in that company is told by name and has to pass alone.
fn tests() -> Done {
    step("tests");
    let mut all = cargo();
    all.args(["test", "--release", "--workspace", "--no-fail-fast"]).env("RUST_TEST_THREADS", "5");
    let mut child = all.stdout(Stdio::piped()).spawn().map_err(|error| format!("could not run cargo: {error}"))?;
    let mut failed = Vec::new();
    for text in BufReader::new(child.stdout.take().ok_or("cargo has no output")?).lines().map_while(Result::ok) {
        failed.extend(text.strip_prefix("test ").and_then(|text| text.strip_suffix(" ... FAILED")).map(str::to_owned));
        tell(&text);
    }
    let status = child.wait().map_err(|error| format!("lost sight of cargo: {error}"))?;
    if status.success() {
        return Ok(());
    }
    if failed.is_empty() || failed.len() > SECOND_TRIES_MAX {
        return Err(format!("{} failed ({status})", line(&all)));
    }
    step(&format!("once more, one at a time: {}", failed.join(", ")));
    run(cargo().args(["test", "--release", "--workspace", "--", "--exact", "--test-threads", "1"]).args(failed))
}

/// Holds calls to their budget of instructions.
fn instructions() -> Done {
    step("instructions of a call");
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        return Err("valgrind counts instructions and is not installed: it is a package of every distribution".into());
    }
    run(Command::new(target().join("release/certosa-bench")).args(["instructions", "--check"]).current_dir(root()))
}

fn build() -> Done {
    let started = Instant::now();
    bundles()?;
    step("building the host (the first time this compiles wasmtime: about 10 minutes on 2 cores)");
    run(cargo().args(["build", "--release", "--locked", "--workspace"]))?;
    tell(&format!("built in {} s", started.elapsed().as_secs()));
    Ok(())
}

fn bundles() -> Done {
    guest_target()?;
    step("building the bundles");
    run(&mut guests("build"))?;
    let folder = target().join("bundles");
    make_folder(&folder)?;
    collect_into(&folder).map_err(|error| format!("could not collect the bundles: {error}"))
}

/// Something that cargo does with the bundles.
fn guests(what: &str) -> Command {
    let mut guests = cargo();
    guests.args([what, "--release", "--locked", "--target", "wasm32-wasip2", "--manifest-path"]);
    guests.arg(root().join("bundles/Cargo.toml")).arg("--target-dir").arg(target());
    guests
}

fn guest_target() -> Done {
    let installed = Command::new("rustup").args(["target", "list", "--installed"]).output();
    let has_target = installed.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("wasm32-wasip2"));
    if !has_target {
        step("adding the guest target wasm32-wasip2");
        run(Command::new("rustup").args(["target", "add", "wasm32-wasip2"]))?;
    }
    Ok(())
}

/// Puts the built components where manifests look for them.
fn collect_into(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(target().join("wasm32-wasip2/release"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wasm")
            && let Some(name) = path.file_name()
        {
            fs::copy(&path, folder.join(name))?;
        }
    }
    Ok(())
}

/// Installs the MCP clients and suites that the tests use, under `target/clients`.
fn clients() -> Done {
    let (folder, sources) = (target().join("clients"), root().join("tests/clients"));
    make_folder(&folder)?;
    if !is_current(&sources, &folder, "package.json") {
        step("installing the TypeScript clients, the conformance suite, jco and workerd");
        install_npm(&sources, &folder)?;
    }
    if !is_current(&sources, &folder, "requirements.txt") {
        step("installing the Python client");
        install_pip(&sources, &folder)?;
    }
    Ok(())
}

fn install_npm(sources: &Path, folder: &Path) -> Done {
    let copied = fs::copy(sources.join("package.json"), folder.join("package.json"));
    copied.map_err(|error| format!("could not prepare {}: {error}", folder.display()))?;
    let install = ["install", "--no-audit", "--no-fund", "--no-package-lock", "--silent"];
    run(Command::new("npm").args(install).current_dir(folder))?;
    mark(sources, folder, "package.json")
}

fn install_pip(sources: &Path, folder: &Path) -> Done {
    run(Command::new("python3").args(["-m", "venv"]).arg(folder.join("venv")))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
    run(Command::new(folder.join("venv/bin/python")).args(pip).arg(sources.join("requirements.txt")))?;
    mark(sources, folder, "requirements.txt")
}

/// Whether what `file` asks for was installed before.
fn is_current(sources: &Path, folder: &Path, file: &str) -> bool {
    let wanted = fs::read(sources.join(file)).ok();
    wanted.is_some() && wanted == fs::read(folder.join(format!("{file}.installed"))).ok()
}

fn mark(sources: &Path, folder: &Path, file: &str) -> Done {
    let copied = fs::copy(sources.join(file), folder.join(format!("{file}.installed")));
    copied.map(|_| ()).map_err(|error| error.to_string())
}

/// Builds the bundles in other languages, with what authors in those languages use, and unpacks some that others have
/// published; all of it under `target/foreign`.
fn foreign() -> Done {
    let (folder, guests) = (target().join("foreign"), root().join("guests"));
    make_folder(&folder)?;
    javascript(&guests.join("js"), &folder)?;
    if !is_current(&guests, &folder, "requirements.txt") {
        step("installing componentize-py and Zig");
        install_pip(&guests, &folder)?;
    }
    python(&guests.join("python"), &folder)?;
    c(&guests.join("c"), &folder)?;
    published(&guests.join("published"), &folder)
}

fn javascript(source: &Path, folder: &Path) -> Done {
    let packages = target().join("clients");
    let inputs = [source.join("build.mjs"), source.join("scan.js"), source.join("wit/scan.wit")];
    let made = folder.join("scan.wasm");
    if is_newer(&made, &inputs, &packages.join("package.json.installed")) {
        return Ok(());
    }
    step("building the bundle in JavaScript");
    run(Command::new(packages.join("node_modules/.bin/node")).args(inputs).arg(made).arg(packages))
}

fn python(source: &Path, folder: &Path) -> Done {
    let made = folder.join("figures.wasm");
    let inputs = [source.join("figures.py"), source.join("wit/figures.wit")];
    if is_newer(&made, &inputs, &folder.join("requirements.txt.installed")) {
        return Ok(());
    }
    step("building the bundle in Python");
    let build = ["-q", "-d", "wit", "-w", "bundle", "componentize", "figures", "-o"];
    run(Command::new(folder.join("venv/bin/componentize-py")).args(build).arg(made).current_dir(source))
}

fn c(source: &Path, folder: &Path) -> Done {
    let made = folder.join("bits.wasm");
    let inputs = [source.join("bits.c"), source.join("wit/bits.wit")];
    if is_newer(&made, &inputs, &folder.join("requirements.txt.installed")) {
        return Ok(());
    }
    let wit_bindgen = folder.join("bin/wit-bindgen");
    let features = ["--no-default-features", "--features", "c"];
    install_tool("wit-bindgen-cli", WIT_BINDGEN, &wit_bindgen, folder, &features)?;

    step("building the bundle in C");
    let work = folder.join("c");
    make_folder(&work)?;
    run(Command::new(wit_bindgen).args(["c", "--out-dir"]).arg(&work).arg(source.join("wit")))?;
    // Unless told otherwise Zig sets 16 MiB aside for the stack in memory.
    let zig = ["-m", "ziglang", "cc", "--target=wasm32-wasi", "-mexec-model=reactor", "-Wl,-z,stack-size=65536", "-Os"];
    run(Command::new(folder.join("venv/bin/python"))
        .args(zig)
        .args(["-Wall", "-Wextra", "-I.", "-o", "core.wasm", "bundle.c", "bundle_component_type.o"])
        .arg(source.join("bits.c"))
        .current_dir(&work))?;
    let modules = target().join("clients/node_modules");
    run(Command::new(modules.join(".bin/node"))
        .arg(modules.join("@bytecodealliance/jco/dist/jco.js"))
        .args(["new", "core.wasm", "--wasi-reactor", "-o"])
        .arg(made)
        .current_dir(work))
}

fn published(source: &Path, folder: &Path) -> Done {
    let made = folder.join("published");
    if is_newer(&made, &[source.join("Cargo.toml")], &source.join("Cargo.lock")) {
        return Ok(());
    }
    step("unpacking published bundles");
    let _not_there = fs::remove_dir_all(&made);
    run(cargo().args(["vendor", "--quiet", "--locked"]).arg(made).current_dir(source).stdout(Stdio::null()))
}

fn make_folder(folder: &Path) -> Done {
    fs::create_dir_all(folder).map_err(|error| format!("could not make {}: {error}", folder.display()))
}

/// Whether `made` is newer than what it was made of, and what made it.
fn is_newer(made: &Path, of: &[PathBuf], tool: &Path) -> bool {
    let time = |path: &Path| fs::metadata(path).and_then(|about| about.modified()).ok();
    let mut inputs = of.iter().map(PathBuf::as_path).chain([tool]);
    time(made).is_some_and(|made| inputs.all(|input| time(input).is_some_and(|input| input < made)))
}

fn bench(args: &[String]) -> Done {
    if args.get(1).is_some_and(|arg| arg == "peers") {
        return peers();
    }
    // The budget of instructions is that of the build that is tested.
    let built = if args.get(1).is_some_and(|arg| arg == "instructions") {
        build()?;
        "release"
    } else {
        dist::dist(false)?;
        "dist"
    };
    let rest = args.iter().skip(1);
    run(Command::new(target().join(built).join("certosa-bench")).args(rest).current_dir(root()))
}

/// Installs what the house is compared with, under `target/peers`.
fn peers() -> Done {
    let (folder, sources) = (target().join("peers"), root().join("benches/peers"));
    make_folder(&folder)?;
    guest_target()?;
    step("building the component that `wasmtime serve` serves");
    let guest = ["build", "--release", "--locked", "--target", "wasm32-wasip2", "--manifest-path"];
    run(cargo()
        .args(guest)
        .arg(sources.join("wasi-http/Cargo.toml"))
        .arg("--target-dir")
        .arg(folder.join("wasi-http")))?;
    if !is_current(&sources, &folder, "package.json") {
        step("installing workerd, Node.js and the TypeScript SDK");
        install_npm(&sources, &folder)?;
    }
    if !is_current(&sources, &folder, "requirements.txt") {
        step("installing the Python SDK");
        install_pip(&sources, &folder)?;
    }
    for (name, version) in [("mcp-proxy", MCP_PROXY), ("wasmtime-cli", WASMTIME)] {
        step(&format!("installing {name} {version} (the first time this takes about 10 minutes on 2 cores)"));
        let install = ["install", name, "--version", version, "--locked", "--root"];
        run(cargo().args(install).arg(&folder).arg("--target-dir").arg(folder.join("build")))?;
    }
    Ok(())
}

fn run(command: &mut Command) -> Done {
    let status = command.status().map_err(|error| format!("could not run {}: {error}", line(command)))?;
    if status.success() { Ok(()) } else { Err(format!("{} failed ({status})", line(command))) }
}

/// A command as one would type it, without what its environment lacks.
fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    // What cargo told this program about itself would make it compile some crates again.
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_PKG_")) {
        cargo.env_remove(name);
    }
    cargo.env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_MANIFEST_PATH");
    cargo
}

fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(Path::to_owned).unwrap_or(here)
}

fn target() -> PathBuf {
    root().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

fn step(what: &str) {
    tell(&format!("── {what}"));
}

#[expect(clippy::print_stderr, reason = "telling is what this program does")]
fn tell(text: &str) {
    eprintln!("{text}");
}
