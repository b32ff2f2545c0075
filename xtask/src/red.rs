//! `cargo xtask red`: takes the checks of tests/checks.txt out of a copy of the host, one after the other, and sees
//! the tests fail that are named for them. A test that passes without its check says nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::{Done, cargo, line, make_folder, root, run, step, target, tell};

const LIST: &str = "tests/checks.txt";
const TABLE: &str = "docs/threats.md";
const TABLE_BEGINS: &str = "<!-- Made from tests/checks.txt by `cargo xtask red --table`. -->\n";
const TABLE_ENDS: &str = "<!-- The end of what is made. -->\n";

/// The tests of one check may take so long. Without its check one may never end, which is no way to pass either.
const TESTS_WALL: Duration = Duration::from_secs(180);

/// Quick to build, and the dependencies are as fast as ever.
const PROFILE: [&str; 10] = [
    "--config",
    "profile.release.opt-level=1",
    "--config",
    "profile.release.debug=false",
    "--config",
    "profile.release.incremental=true",
    "--config",
    "profile.release.package.\"*\".opt-level=3",
    "--config",
    "profile.release.package.certosa-tests.opt-level=0",
];

/// Something that is checked, how it is taken out, and who notices.
#[derive(Default)]
struct Check {
    group: String,
    name: String,
    places: Vec<Place>,
    tests: Vec<Test>,
}

#[derive(Default)]
struct Place {
    file: String,
    from: String,
    to: String,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Test {
    /// `None`: it is one of the integration tests.
    package: Option<String>,
    name: String,
}

pub(crate) fn red(args: &[String]) -> Done {
    let checks = read(&fs::read_to_string(root().join(LIST)).map_err(|error| format!("{LIST}: {error}"))?)?;
    if args.iter().any(|arg| arg == "--table") {
        return write_table(&checks);
    }
    let only: Vec<_> = args.iter().zip(args.iter().skip(1)).filter(|(arg, _)| *arg == "--only").collect();
    let is_chosen = |check: &&Check| only.is_empty() || only.iter().any(|(_, words)| check.name.contains(*words));
    let chosen: Vec<_> = checks.iter().filter(is_chosen).collect();
    if chosen.is_empty() {
        return Err(format!("no check of {LIST} is called like that"));
    }
    let copy = target().join("red/source");
    copy_to(&copy)?;
    step(&format!("the tests of {} checks, with all of them (the first time this compiles wasmtime)", chosen.len()));
    let all: Vec<_> = chosen.iter().flat_map(|check| check.tests.clone()).collect();
    let green = passing(&copy, &all, TESTS_WALL * 4)?;
    if let Some(test) = all.iter().find(|test| !green.contains(test)) {
        return Err(format!("{} fails with its check, too", test.name));
    }
    let mut wrong = 0;
    for (number, check) in chosen.iter().enumerate() {
        let started = Instant::now();
        let seen = without(check, &copy);
        let (is_red, what) = match seen {
            Ok(passed) if passed.is_empty() => (true, "red".to_owned()),
            Ok(passed) => (false, format!("NOT RED: {}", passed.join(", "))),
            Err(why) => (false, format!("NOT TRIED: {why}")),
        };
        wrong += usize::from(!is_red);
        let seconds = started.elapsed().as_secs();
        tell(&format!("{:>3}/{} {}: {what} ({seconds} s)", number + 1, chosen.len(), check.name));
    }
    if wrong == 0 { Ok(()) } else { Err(format!("{wrong} checks can be taken out without a test that fails")) }
}

/// The tests of a check that pass without it.
fn without(check: &Check, copy: &Path) -> Result<Vec<String>, String> {
    let mut before = BTreeMap::new();
    for place in &check.places {
        let path = copy.join(&place.file);
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", place.file))?;
        place.find(&text)?;
        write(&path, &text.replacen(&place.from, &place.to, 1))?;
        before.entry(path).or_insert(text);
    }
    let passed = passing(copy, &check.tests, TESTS_WALL);
    for (path, text) in before {
        write(&path, &text)?;
    }
    Ok(passed?.into_iter().map(|test| test.name.clone()).collect())
}

/// Those of the tests that pass.
fn passing<'t>(copy: &Path, tests: &'t [Test], wall: Duration) -> Result<Vec<&'t Test>, String> {
    let mut packages: BTreeMap<Option<&str>, Vec<&Test>> = BTreeMap::new();
    for test in tests {
        packages.entry(test.package.as_deref()).or_default().push(test);
    }
    let mut passed = Vec::new();
    for (package, tests) in packages {
        let of = match package {
            Some(package) => vec!["--package", package, "--lib", "--tests"],
            None => {
                let mut build =
                    of_copy(copy, &["build", "--quiet", "--workspace", "--bin", "certosa", "--test", "integration"]);
                run(&mut build).map_err(|_| "it does not build")?;
                vec!["--workspace", "--test", "integration"]
            }
        };
        let mut command = of_copy(copy, &["test", "--quiet", "--no-run"]);
        run(command.args(&of)).map_err(|_| "its tests do not build")?;
        let mut command = of_copy(copy, &["test", "--no-fail-fast"]);
        command.args(of).args(["--", "--exact"]).args(tests.iter().map(|test| &test.name));
        let said = lines(&mut command, wall)?;
        let is_good = |test: &&&Test| said.iter().any(|line| *line == format!("test {} ... ok", test.name));
        passed.extend(tests.iter().filter(is_good).copied());
    }
    Ok(passed)
}

/// What cargo does with the copy.
fn of_copy(copy: &Path, what: &[&str]) -> Command {
    let mut cargo = cargo();
    cargo.current_dir(copy).env("CARGO_TARGET_DIR", target().join("red/build"));
    cargo.args(what).args(["--release", "--locked"]).args(PROFILE).env("RUSTFLAGS", "-Awarnings");
    cargo
}

/// What a command says until it ends, or is ended with all that it has started.
fn lines(command: &mut Command, wall: Duration) -> Result<Vec<String>, String> {
    let end = Instant::now() + wall;
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0).spawn().map_err(failed)?;
    let output = BufReader::new(child.stdout.take().ok_or("there is no output")?);
    let (sender, said) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        output.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)));
    });
    let mut all = Vec::new();
    let is_over = loop {
        match said.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => all.push(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => break false,
            Err(mpsc::RecvTimeoutError::Timeout) => break true,
        }
    };
    if is_over {
        // The tests' own children are of its group.
        run(Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]))?;
    }
    child.wait().map_err(failed)?;
    reader.join().map_err(|_| "its output was lost")?;
    if all.iter().any(|line| line.starts_with("running ")) {
        Ok(all)
    } else {
        Err(format!("{} ran no test", line(command)))
    }
}

fn failed(error: std::io::Error) -> String {
    error.to_string()
}

/// Copies what is in the repository, as it is now. What is there already keeps its time, so it is not compiled again.
fn copy_to(copy: &Path) -> Done {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .map_err(|error| format!("could not run git: {error}"))?;
    for file in String::from_utf8_lossy(&listed.stdout).split_terminator('\0') {
        let (from, to) = (root().join(file), copy.join(file));
        // One that is removed and not committed is listed, too.
        let Ok(bytes) = fs::read(&from) else { continue };
        if fs::read(&to).ok().as_ref() != Some(&bytes) {
            make_folder(to.parent().unwrap_or(copy))?;
            fs::copy(&from, &to).map_err(failed)?;
        }
    }
    // The guests are not changed, so they are those that are there.
    make_folder(&target().join("red/build"))?;
    for made in ["bundles", "foreign", "clients"] {
        let (from, to) = (target().join(made), target().join("red/build").join(made));
        if !to.exists() {
            std::os::unix::fs::symlink(from, to).map_err(failed)?;
        }
    }
    Ok(())
}

fn write(path: &PathBuf, text: &str) -> Done {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

impl Place {
    fn find(&self, text: &str) -> Done {
        match text.matches(&self.from).count() {
            1 => Ok(()),
            count => Err(format!("{} has {count} times what is to be taken out: {}", self.file, self.from)),
        }
    }
}

/// Reads the list.
fn read(text: &str) -> Result<Vec<Check>, String> {
    let (mut checks, mut group, mut file) = (Vec::<Check>::new(), None, String::new());
    for text in text.lines() {
        if let Some(name) = text.strip_prefix("# ") {
            group = Some(name.to_owned());
        }
        // What stands above the first group is for people.
        let Some(group) = &group else { continue };
        let wrong = || format!("{LIST}: {text:?} is not what can stand there");
        let Some(part) = text.strip_prefix("  ") else {
            if !text.is_empty() && !text.starts_with('#') {
                checks.push(Check { group: group.clone(), name: text.to_owned(), ..Check::default() });
            }
            continue;
        };
        let check = checks.last_mut().ok_or_else(wrong)?;
        match part.split_once(' ') {
            None => part.clone_into(&mut file),
            Some(("-", from)) => {
                check.places.push(Place { file: file.clone(), from: from.to_owned(), to: String::new() })
            }
            Some(("+", to)) => {
                let place = check.places.last_mut().ok_or_else(wrong)?;
                let gap = if place.to.is_empty() { "" } else { "\n" };
                place.to = format!("{}{gap}{to}", place.to);
            }
            Some(("=", test)) => check.tests.push(match test.split_once(' ') {
                Some((package, name)) => Test { package: Some(package.to_owned()), name: name.to_owned() },
                None => Test { package: None, name: test.to_owned() },
            }),
            Some(_) => return Err(wrong()),
        }
    }
    Ok(checks)
}

fn table(checks: &[Check]) -> String {
    let (mut table, mut group) = (String::new(), "");
    for check in checks {
        if group != check.group {
            group = &check.group;
            // Writing to a string does not fail.
            _ = write!(table, "\n**{group}**\n\n| Check | Where | Tests that fail without it |\n|---|---|---|\n");
        }
        let mut files: Vec<_> = check.places.iter().map(|place| place.file.trim_start_matches("host/")).collect();
        files.dedup();
        let files: Vec<_> = files.iter().map(|file| format!("`{file}`")).collect();
        let tests: Vec<_> = check.tests.iter().map(|test| format!("`{}`", test.name)).collect();
        _ = writeln!(table, "| {} | {} | {} |", check.name, files.join(", "), tests.join(", "));
    }
    table + "\n"
}

/// The document in three parts, of which the second is the table.
fn parts(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once(TABLE_BEGINS)?;
    let (table, after) = rest.split_once(TABLE_ENDS)?;
    Some((before, table, after))
}

fn write_table(checks: &[Check]) -> Done {
    let path = root().join(TABLE);
    let text = fs::read_to_string(&path).map_err(failed)?;
    let (before, _, after) = parts(&text).ok_or_else(|| format!("{TABLE} has no place for the table"))?;
    write(&path, &[before, TABLE_BEGINS, &table(checks), TABLE_ENDS, after].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks() -> Vec<Check> {
        read(&fs::read_to_string(root().join(LIST)).unwrap()).unwrap()
    }

    #[test]
    fn every_check_is_there_to_be_taken_out() {
        for check in checks() {
            assert!(!check.places.is_empty() && !check.tests.is_empty(), "{}", check.name);
            for place in &check.places {
                let text = fs::read_to_string(root().join(&place.file)).unwrap();
                place.find(&text).unwrap_or_else(|why| panic!("{}: {why}", check.name));
            }
        }
    }

    /// All Rust below a folder.
    fn rust_in(folder: &Path) -> String {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let texts = entries.map(|path| match path.extension() {
            _ if path.is_dir() => rust_in(&path),
            Some(extension) if extension == "rs" => fs::read_to_string(path).unwrap(),
            _ => String::new(),
        });
        texts.collect()
    }

    #[test]
    fn every_test_is_there() {
        let all = ["host", "tests"].map(|folder| rust_in(&root().join(folder))).concat();
        for Test { name, .. } in checks().into_iter().flat_map(|check| check.tests) {
            let function = name.rsplit("::").next().unwrap();
            assert!(all.contains(&format!("fn {function}(")), "{name}");
        }
    }

    #[test]
    fn the_table_is_that_of_the_list() {
        let text = fs::read_to_string(root().join(TABLE)).unwrap();
        assert_eq!(parts(&text).unwrap().1, table(&checks()), "cargo xtask red --table");
    }
}
