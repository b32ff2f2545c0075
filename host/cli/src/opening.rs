//! From a manifest file to an open house; and the children that compile on the way.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use certosa_house::{Compilers, House, Progress};
use certosa_isolate::CodeError;
use certosa_manifest::{Manifest, Plan, Sources, compile_in_child};
use certosa_store::StateFolder;
use certosa_vault::Vault;
use tokio::runtime::{Builder, Runtime};

use crate::args::HouseArgs;
use crate::keys::{self, IfAbsent};
use crate::output;

const MANIFEST_TASK: &str = "internal-compile-manifest";
const COMPONENT_TASK: &str = "internal-compile-component";
const DESCRIBE_TASK: &str = "internal-describe-component";
const WIT_TASK: &str = "internal-print-wit";
const MANIFEST_KIND: &str = "manifest";

/// Does the work of a child, if this process is one.
pub fn child_task() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    let task = args.next()?;
    let done = if task == MANIFEST_TASK {
        let (stage, main) = (args.next()?, args.next()?);
        compile_in_child(Path::new(&stage), Path::new(&main))
    } else if task == COMPONENT_TASK {
        certosa_isolate::compile_in_child(args)
    } else if task == DESCRIBE_TASK {
        certosa_isolate::describe_in_child(args)
    } else if task == WIT_TASK {
        certosa_isolate::wit_in_child(args)
    } else {
        return None;
    };
    Some(match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error.to_string());
            ExitCode::FAILURE
        }
    })
}

/// A manifest that was read and checked as far as its text goes.
pub struct Checked {
    pub manifest: Manifest,
    pub plan: Plan,
    pub state: StateFolder,
}

/// Reads and checks the manifest. What was compiled before is taken from the cache.
pub fn check(house: &HouseArgs) -> anyhow::Result<Checked> {
    let sources = Sources::read(&house.manifest)?;
    let folder = house.state.clone().unwrap_or_else(|| sources.folder().join(".certosa"));
    let state = StateFolder::open(&folder)?;
    let cache = state.cache()?;
    let digest = sources.digest();
    let kept = match cache.load(MANIFEST_KIND, digest) {
        Some(cached) => Manifest::of_cache(sources, &cached),
        None => Err(sources),
    };
    let manifest = match kept {
        Ok(manifest) => manifest,
        Err(sources) => {
            let manifest = sources.compile(&program()?, MANIFEST_TASK)?;
            if let Err(error) = cache.save(MANIFEST_KIND, digest, &manifest.to_cache()) {
                tracing::warn!("the cache cannot be written: {error}");
            }
            manifest
        }
    };
    let plan = Plan::of(&manifest)?;
    Ok(Checked { manifest, plan, state })
}

/// Opens the house that was checked, and its vault.
pub async fn open(checked: Checked) -> anyhow::Result<House> {
    let vault = keys::open(&checked, IfAbsent::Make).await?;
    open_with(checked, vault).await
}

/// The same without the vault, for those who only look.
pub async fn look(checked: Checked) -> anyhow::Result<House> {
    open_with(checked, None).await
}

async fn open_with(checked: Checked, vault: Option<Vault>) -> anyhow::Result<House> {
    let Checked { manifest, plan, state } = checked;
    let mut progress = |step: Progress<'_>| match step {
        Progress::Compile { bundle, bytes } => {
            output::complain(&format!("compiling {bundle} ({} KiB), once for this machine …", bytes.div_ceil(1024)));
        }
    };
    Ok(House::open(&manifest, plan, &state, &compilers()?, vault, &mut progress).await?)
}

/// How to compile components: with this binary.
pub fn compilers() -> anyhow::Result<Compilers> {
    Ok(Compilers { program: program()?, task: COMPONENT_TASK, describe_task: DESCRIBE_TASK })
}

/// The world of a component as WIT text.
pub fn wit(component: &[u8]) -> anyhow::Result<Result<String, CodeError>> {
    Ok(certosa_isolate::wit(component, &program()?, WIT_TASK))
}

fn program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("this program cannot find its own file")
}

/// The runtime of the house: a worker for each processor that this process may use.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().thread_name("certosa").build()
}
