//! Where things are.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::chart::Chart;
use crate::{Done, tell};

/// The state folders of houses whose state is not beside their manifest.
pub(crate) const CELL_STATE: &str = "bench-state";
pub(crate) const OUTBOUND_STATE: &str = "outbound-state";

pub(crate) struct Place {
    /// What was built for this machine, this program among it.
    binaries: PathBuf,
    pub target: PathBuf,
    pub root: PathBuf,
}

impl Place {
    pub(crate) fn of_this_program() -> Done<Self> {
        let here = std::env::current_exe()?;
        let binaries = here.parent().ok_or("no folder")?.to_owned();
        let target = binaries.parent().ok_or("no folder")?.to_owned();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no folder")?.to_owned();
        Ok(Self { binaries, target, root })
    }

    pub(crate) fn certosa(&self) -> PathBuf {
        self.binaries.join("certosa")
    }

    pub(crate) fn bench(&self) -> PathBuf {
        self.binaries.join("certosa-bench")
    }

    /// What `cargo xtask bench peers` installed.
    pub(crate) fn peers(&self) -> PathBuf {
        self.target.join("peers")
    }

    /// Our parts of the peers.
    pub(crate) fn sources(&self) -> PathBuf {
        self.root.join("benches/peers")
    }

    /// Keeps what came out as target/NAME.json, and draws docs/figures/NAME.svg if there is a chart.
    pub(crate) fn keep(&self, name: &str, results: &impl Serialize, chart: Option<Chart>) -> Done<()> {
        let path = self.target.join(name).with_extension("json");
        std::fs::write(&path, serde_json::to_string_pretty(results)? + "\n")?;
        tell(&format!("written to {}", path.display()));
        if let Some(chart) = chart {
            let path = self.root.join("docs/figures").join(name).with_extension("svg");
            chart.draw(&path)?;
            tell(&format!("drawn to {}", path.display()));
        }
        Ok(())
    }

    pub(crate) fn remove_records(&self) -> Done<()> {
        for state in [".certosa", CELL_STATE, OUTBOUND_STATE] {
            match std::fs::remove_file(self.target.join(state).join("records.jsonl")) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes a manifest with these fields, on a port of its own, and returns its path.
    pub(crate) fn manifest(&self, name: &str, fields: &str) -> Done<PathBuf> {
        let path = self.target.join(name);
        let text = format!(
            "@0xd0b1c2d3e4f50617;\nusing Certosa = import \"/certosa.capnp\";\n\
             const house :Certosa.Manifest = (\n  listen = \"127.0.0.1:0\",\n  {fields},\n\
             \x20 routes = [(tools = [\"bundle/**\"], callers = [\"anonymous/loopback\"])],\n);\n"
        );
        std::fs::write(&path, text)?;
        Ok(path)
    }
}
