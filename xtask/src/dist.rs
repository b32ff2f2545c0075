//! The host as it is installed: optimised across all crates, and by what a house does all day. So a house that counts
//! is built first and put to work by `certosa-bench train`. docs/decisions/0017 has the reasons.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Done, bundles, cargo, collect_into, make_folder, run, step, target};

const PROGRAMS: [&str; 2] = ["certosa", "certosa-bench"];

/// The toolchain that builds it.
struct Toolchain {
    /// What it builds for, which is this machine.
    host: String,
    profdata: PathBuf,
}

/// Leaves `target/dist/certosa`, and the bench with its floor beside it. What was counted before is used again, which fits a
/// little less after each change; `anew` counts again.
pub fn dist(anew: bool) -> Done {
    bundles()?;
    let toolchain = Toolchain::find()?;
    let counted = target().join("profile/house.profdata");
    if anew || !counted.exists() {
        toolchain.count(&counted)?;
    }
    step("building the host as it is installed (the first time about 20 minutes on 2 cores)");
    toolchain.build(&format!("-Cprofile-use={}", counted.display()), &target())?;
    toolchain.hand_over(&target(), &target().join("dist"))
}

impl Toolchain {
    fn find() -> Result<Self, String> {
        let version = said_by_rustc("-vV")?;
        let host = version.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("rustc does not say its host")?;
        let tools = PathBuf::from(said_by_rustc("--print=sysroot")?.trim()).join("lib/rustlib").join(host).join("bin");
        let toolchain = Self { host: host.to_owned(), profdata: tools.join("llvm-profdata") };
        if !toolchain.profdata.exists() {
            step("adding llvm-tools, which sum up what a program counted");
            run(Command::new("rustup").args(["component", "add", "llvm-tools"]))?;
        }
        Ok(toolchain)
    }

    /// Builds a house that counts, puts it to work, and sums up.
    fn count(&self, counted: &Path) -> Done {
        let folder = target().join("profile");
        let (raw, build) = (folder.join("raw"), folder.join("build"));
        step("building a house that counts what it does (the first time about 25 minutes on 2 cores)");
        self.build(&format!("-Cprofile-generate={}", raw.display()), &build)?;
        self.hand_over(&build, &folder.join("bin"))?;
        make_folder(&folder.join("bundles"))?;
        collect_into(&folder.join("bundles")).map_err(|error| format!("could not copy the bundles: {error}"))?;
        // What building it counted is none of its work.
        remove(&raw)?;
        step("putting it to work");
        run(Command::new(folder.join("bin/certosa-bench")).arg("train"))?;
        step("summing up");
        run(Command::new(&self.profdata).args(["merge", "-o"]).arg(counted).arg(&raw))?;
        remove(&raw)?;
        // Cargo does not see that the profile is another one.
        remove(&target().join(&self.host).join("dist"))
    }

    fn build(&self, flag: &str, into: &Path) -> Done {
        let mut build = cargo();
        build.args(["build", "--profile", "dist", "--locked", "--workspace"]);
        build.args(PROGRAMS.iter().flat_map(|program| ["--bin", program]));
        // With a target that is named, the flag is for what runs in the end and not for what runs while building.
        build.args(["--target", &self.host, "--target-dir"]).arg(into).env("CARGO_ENCODED_RUSTFLAGS", flag);
        run(&mut build)
    }

    fn hand_over(&self, built: &Path, folder: &Path) -> Done {
        make_folder(folder)?;
        for program in PROGRAMS {
            // A program that runs is not written over, but replaced.
            let (made, new) =
                (built.join(&self.host).join("dist").join(program), folder.join(format!("{program}.new")));
            let copied = fs::copy(&made, &new).and_then(|_| fs::rename(&new, folder.join(program)));
            copied.map_err(|error| format!("could not copy {}: {error}", made.display()))?;
        }
        Ok(())
    }
}

fn said_by_rustc(question: &str) -> Result<String, String> {
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let output = rustc.arg(question).output().map_err(|error| format!("could not run rustc: {error}"))?;
    String::from_utf8(output.stdout).map_err(|_| "rustc does not answer in UTF-8".to_owned())
}

fn remove(folder: &Path) -> Done {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("could not remove {}: {error}", folder.display()))
        }
        _ => Ok(()),
    }
}
