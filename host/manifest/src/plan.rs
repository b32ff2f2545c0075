use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Component, Path as FilePath, PathBuf};
use std::sync::Arc;

use capnp::text;
use certosa_model::{
    AddressRange, BundleName, CellLimits, CompileLimits, CredentialName, CredentialRule, Digest, EgressLimits,
    HouseLimits, Pattern, Patterns, Reach, Reuse,
};
use certosa_schema::{bundle, manifest, route, tls};

use crate::manifest::Manifest;
use crate::problem::{Problem, Problems};
use crate::span::Path;

const BUNDLES_MAX: u32 = 10_000;
const ROUTES_MAX: u32 = 100;
const PATH_BYTES_MAX: usize = 255;
/// Of those that a message proposes.
const NAMES_SHOWN_MAX: usize = 10;
const RESERVED_PATHS: [&str; 3] = ["/health", "/ready", "/metrics"];

/// A manifest as it is meant: every name parsed, every default filled in, nothing contradictory.
#[derive(Debug)]
pub struct Plan {
    pub listen: SocketAddr,
    pub bundles: Vec<BundlePlan>,
    pub routes: Vec<RoutePlan>,
    pub limits: HouseLimits,
    pub tls: Option<TlsPlan>,
    /// The URL of a collector of traces.
    pub otlp: Option<String>,
    pub credentials: Vec<CredentialPlan>,
    /// The source of the vault's key, as it was said. `None`: a file in the state folder.
    pub kek: Option<String>,
    /// Absolute paths of PEM files with authorities that upstreams may have beside the public ones.
    pub roots: Vec<PathBuf>,
    /// Identifies what the manifest says; it goes into every record.
    pub digest: Digest,
}

/// Absolute paths of PEM files.
#[derive(Debug, Clone)]
pub struct TlsPlan {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug)]
pub struct BundlePlan {
    pub name: BundleName,
    pub source: ComponentSource,
    pub pinned: Option<Digest>,
    pub limits: CellLimits,
    pub compile: CompileLimits,
    pub reuse: Reuse,
    /// How long a cell that is reused may idle.
    pub reuse_idle_ms_max: u32,
    /// Whether what it offers may change while the house is open.
    pub lists_change: bool,
    /// What it may reach; `None`: nothing.
    pub egress: Option<EgressPlan>,
}

/// What a bundle may reach.
#[derive(Debug, Clone)]
pub struct EgressPlan {
    pub reach: Reach,
    pub addresses: Vec<AddressRange>,
    pub limits: EgressLimits,
    pub exchanges_max: u32,
}

/// A credential as the manifest lets it be used. Its value was sealed with a rule of its own, which is the ceiling.
#[derive(Debug, Clone)]
pub struct CredentialPlan {
    pub name: CredentialName,
    pub rule: CredentialRule,
}

#[derive(Debug, Clone)]
pub enum ComponentSource {
    /// An absolute path.
    File(Arc<FilePath>),
    Bytes(Arc<[u8]>),
}

#[derive(Debug)]
pub struct RoutePlan {
    pub path: String,
    pub tools: Patterns,
    pub prompts: Patterns,
    pub resources: Patterns,
    pub callers: Patterns,
    pub names: ToolNames,
}

/// How tools are called on a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolNames {
    Prefixed,
    Bare,
}

impl Plan {
    /// Checks everything that the text alone can tell, and reports all that is wrong at once.
    pub fn of(manifest: &Manifest) -> Result<Self, Problems> {
        let mut check = Check { manifest, problems: Vec::new() };
        let plan = check.plan();
        match (Problems::new(check.problems), plan) {
            (None, Ok(Some(plan))) => Ok(plan),
            (Some(problems), _) => Err(problems),
            (None, Err(error)) => Err(Problem::new(format!("the manifest cannot be read: {error}")).into()),
            (None, Ok(None)) => Err(Problem::new("the manifest was refused without a reason").into()),
        }
    }
}

/// The checks. Each returns `None` after it has noted a problem.
pub(crate) struct Check<'a> {
    manifest: &'a Manifest,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn plan(&mut self) -> capnp::Result<Option<Plan>> {
        let message = self.manifest.read()?;
        let said = message.get_root::<manifest::Reader<'_>>()?;
        let root = Path::default();
        let listen = self.listen(&root.field("listen"), said.get_listen()?);
        let limits = self.house_limits(&root.field("limits"), said.get_limits()?);
        let bundles = self.bundles(&root.field("bundles"), said, limits.as_ref())?;
        let routes = self.routes(&root.field("routes"), said, &bundles)?;
        let tls = match said.has_tls() {
            true => self.tls(&root.field("tls"), said.get_tls()?)?,
            false => None,
        };
        let otlp = self.otlp(&root.field("telemetry").field("otlp"), said.get_telemetry()?.get_otlp()?);
        let credentials = self.credentials(&root.field("credentials"), said.get_credentials()?, &bundles)?;
        let kek = self.text(&root.field("vault").field("kek"), said.get_vault()?.get_kek()?);
        let kek = kek.filter(|kek| !kek.is_empty()).map(str::to_owned);
        let roots = self.roots(&root.field("roots"), said.get_roots()?)?;
        let (Some(listen), Some(limits)) = (listen, limits) else { return Ok(None) };
        let digest = self.manifest.digest();
        Ok(Some(Plan { listen, bundles, routes, limits, tls, otlp, credentials, kek, roots, digest }))
    }

    pub(crate) fn refuse(&mut self, path: &Path, message: &str, found: impl Into<String>, expected: impl Into<String>) {
        if self.problems.len() <= Problems::MAX {
            self.problems.push(self.manifest.problem(path, message).found(found).expected(expected));
        }
    }

    /// The text at `path`, if it is UTF-8.
    pub(crate) fn text<'t>(&mut self, path: &Path, text: text::Reader<'t>) -> Option<&'t str> {
        let good = text.to_str().ok();
        if good.is_none() {
            self.refuse(path, "text that is not UTF-8", format!("{:?}", text.as_bytes()), "UTF-8");
        }
        good
    }

    fn listen(&mut self, path: &Path, text: text::Reader<'_>) -> Option<SocketAddr> {
        let text = self.text(path, text)?;
        let expected = "a loopback address and a port, such as 127.0.0.1:8787 or [::1]:8787";
        let Ok(address) = text.parse::<SocketAddr>() else {
            self.refuse(path, "not an address to listen on", quote(text), expected);
            return None;
        };
        if !address.ip().is_loopback() {
            let message = "callers are anonymous, so the house only answers on this machine";
            self.refuse(path, message, quote(text), expected);
            return None;
        }
        Some(address)
    }

    fn tls(&mut self, path: &Path, said: tls::Reader<'_>) -> capnp::Result<Option<TlsPlan>> {
        let certificate = self.pem(&path.field("certificate"), said.get_certificate()?);
        let key = self.pem(&path.field("key"), said.get_key()?);
        Ok(certificate.zip(key).map(|(certificate, key)| TlsPlan { certificate, key }))
    }

    pub(crate) fn pem(&mut self, path: &Path, text: text::Reader<'_>) -> Option<PathBuf> {
        let text = self.text(path, text)?;
        let file = self.manifest.folder().join(text);
        if text.is_empty() || !file.is_file() {
            self.refuse(path, "no such file", quote(text), "a file in PEM, such as \"tls/fullchain.pem\"");
            return None;
        }
        Some(file)
    }

    fn otlp(&mut self, path: &Path, text: text::Reader<'_>) -> Option<String> {
        let text = self.text(path, text).filter(|text| !text.is_empty())?;
        let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        if !rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic())) {
            let expected = "a URL such as \"http://127.0.0.1:4318/v1/traces\"";
            self.refuse(path, "not the address of a collector", quote(text), expected);
            return None;
        }
        Some(text.to_owned())
    }

    fn bundles(
        &mut self,
        path: &Path,
        said: manifest::Reader<'_>,
        limits: Option<&HouseLimits>,
    ) -> capnp::Result<Vec<BundlePlan>> {
        let list = said.get_bundles()?;
        if !(1..=BUNDLES_MAX).contains(&list.len()) {
            self.refuse(path, "a house has bundles", list.len().to_string(), format!("1 to {BUNDLES_MAX}"));
            return Ok(Vec::new());
        }
        let mut bundles = Vec::new();
        let mut taken = HashMap::new();
        for (index, said) in list.iter().enumerate() {
            let path = path.index(index);
            let Some(bundle) = self.bundle(&path, said, limits)? else { continue };
            let prefix = bundle.name.as_str().replace('.', "_");
            if let Some(other) = taken.insert(prefix, bundle.name.clone()) {
                let message = "two bundles whose tools could not be told apart";
                let found = format!("{} and {}", quote(other.as_str()), quote(bundle.name.as_str()));
                self.refuse(&path.field("name"), message, found, "names that differ in more than '.' and '_'");
            }
            bundles.push(bundle);
        }
        Ok(bundles)
    }

    fn bundle(
        &mut self,
        path: &Path,
        said: bundle::Reader<'_>,
        house: Option<&HouseLimits>,
    ) -> capnp::Result<Option<BundlePlan>> {
        let name = self.text(&path.field("name"), said.get_name()?).and_then(|text| {
            let name = BundleName::new(text);
            name.map_err(|why| self.refuse(&path.field("name"), "not a bundle name", quote(text), why.to_string())).ok()
        });
        let source = match said.which()? {
            bundle::File(file) => self.file(&path.field("file"), file?),
            bundle::Bytes(bytes) => Some(ComponentSource::Bytes(bytes?.into())),
        };
        let pinned = match self.text(&path.field("digest"), said.get_digest()?) {
            None | Some("") => None,
            Some(text) => {
                let digest = text.parse::<Digest>();
                digest
                    .map_err(|why| self.refuse(&path.field("digest"), "not a digest", quote(text), why.to_string()))
                    .ok()
            }
        };
        let limits = self.cell_limits(&path.field("limits"), said.get_limits()?, house);
        let compile = self.compile_limits(&path.field("limits"), said.get_limits()?);
        let idle = self.bound(&path.field("reuseIdleMsMax"), said.get_reuse_idle_ms_max(), 1, 86_400_000);
        let reuse = match said.get_reuse() {
            Ok(bundle::Reuse::Once) => Reuse::Once,
            Ok(bundle::Reuse::Serial) => Reuse::Serial,
            Ok(bundle::Reuse::Caller) => Reuse::Caller,
            Err(unknown) => {
                let expected = "once, serial or caller";
                self.refuse(&path.field("reuse"), "unknown choice", unknown.0.to_string(), expected);
                return Ok(None);
            }
        };
        let (Some(name), Some(source), Some(mut limits), Some(compile), Some(reuse_idle_ms_max)) =
            (name, source, limits, compile, idle)
        else {
            return Ok(None);
        };
        // One cell does one thing at a time; the lines see to it that calls come one by one.
        match reuse {
            Reuse::Once => {}
            Reuse::Serial => limits.concurrency_max = 1,
            Reuse::Caller => limits.caller_concurrency_max = 1,
        }
        let lists_change = said.get_lists_change();
        let egress = match said.has_egress() {
            true => self.egress(&path.field("egress"), said.get_egress()?)?,
            false => None,
        };
        Ok(Some(BundlePlan { name, source, pinned, limits, compile, reuse, reuse_idle_ms_max, lists_change, egress }))
    }

    fn file(&mut self, path: &Path, text: text::Reader<'_>) -> Option<ComponentSource> {
        let text = self.text(path, text)?;
        let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        if text.is_empty() || text.contains('\0') || !FilePath::new(text).components().all(inside) {
            let expected = "a file in the manifest's folder or below, such as \"bundles/hello.wasm\"";
            self.refuse(path, "not a component file", quote(text), expected);
            return None;
        }
        let file = self.manifest.folder().join(text);
        // A file that is missing is reported when it is read; a link that leads out is refused here.
        if file.canonicalize().is_ok_and(|real| !real.starts_with(self.manifest.folder())) {
            let expected = "a file that lies in the manifest's folder after links are followed";
            self.refuse(path, "a link that leads out of the manifest's folder", quote(text), expected);
            return None;
        }
        Some(ComponentSource::File(file.into()))
    }

    fn routes(
        &mut self,
        path: &Path,
        said: manifest::Reader<'_>,
        bundles: &[BundlePlan],
    ) -> capnp::Result<Vec<RoutePlan>> {
        let list = said.get_routes()?;
        if list.len() > ROUTES_MAX {
            self.refuse(path, "too many routes", list.len().to_string(), format!("at most {ROUTES_MAX}"));
            return Ok(Vec::new());
        }
        let mut routes = Vec::<RoutePlan>::new();
        for (index, said) in list.iter().enumerate() {
            let path = path.index(index);
            let Some(route) = self.route(&path, said, bundles)? else { continue };
            if routes.iter().any(|other| other.path == route.path) {
                self.refuse(&path.field("path"), "a second route with this path", quote(&route.path), "distinct paths");
            }
            routes.push(route);
        }
        Ok(routes)
    }

    fn route(
        &mut self,
        path: &Path,
        said: route::Reader<'_>,
        bundles: &[BundlePlan],
    ) -> capnp::Result<Option<RoutePlan>> {
        let at = self.text(&path.field("path"), said.get_path()?).filter(|text| {
            let good = is_route(text);
            if !good {
                let expected =
                    "'/' and segments out of A-Z a-z 0-9 . _ ~ -, such as /mcp; not /health, /ready or /metrics";
                self.refuse(&path.field("path"), "not a path for a route", quote(text), expected);
            }
            good
        });
        let tools = self.offered(&path.field("tools"), said.get_tools()?.iter(), bundles)?;
        let prompts = self.offered(&path.field("prompts"), said.get_prompts()?.iter(), bundles)?;
        let resources = self.offered(&path.field("resources"), said.get_resources()?.iter(), bundles)?;
        let callers = self.patterns(&path.field("callers"), said.get_callers()?.iter(), "anonymous/loopback")?;
        let names = match said.get_tool_names() {
            Ok(route::ToolNames::Prefixed) => ToolNames::Prefixed,
            Ok(route::ToolNames::Bare) => ToolNames::Bare,
            Err(unknown) => {
                self.refuse(&path.field("toolNames"), "unknown choice", unknown.0.to_string(), "prefixed or bare");
                return Ok(None);
            }
        };
        let (Some(at), Some(tools), Some(prompts), Some(resources), Some(callers)) =
            (at, tools, prompts, resources, callers)
        else {
            return Ok(None);
        };
        Ok(Some(RoutePlan { path: at.to_owned(), tools, prompts, resources, callers, names }))
    }

    /// Patterns of what bundles offer: tools, prompts or resources.
    pub(crate) fn offered<'t>(
        &mut self,
        path: &Path,
        texts: impl Iterator<Item = capnp::Result<text::Reader<'t>>>,
        bundles: &[BundlePlan],
    ) -> capnp::Result<Option<Patterns>> {
        let patterns = self.patterns(path, texts, "bundle/hello/**")?;
        for (index, pattern) in patterns.iter().flat_map(Patterns::iter).enumerate() {
            self.names_something(&path.index(index), pattern, bundles);
        }
        Ok(patterns)
    }

    pub(crate) fn patterns<'t>(
        &mut self,
        path: &Path,
        texts: impl Iterator<Item = capnp::Result<text::Reader<'t>>>,
        example: &str,
    ) -> capnp::Result<Option<Patterns>> {
        let mut patterns = Some(Vec::new());
        for (index, text) in texts.enumerate() {
            let path = path.index(index);
            let pattern = self.text(&path, text?).and_then(|text| {
                let pattern = Pattern::new(text);
                let expected = |why: &dyn std::fmt::Display| format!("{why}; for example {}", quote(example));
                pattern.map_err(|why| self.refuse(&path, "not a pattern", quote(text), expected(&why))).ok()
            });
            match (pattern, &mut patterns) {
                (Some(pattern), Some(patterns)) => patterns.push(pattern),
                _ => patterns = None,
            }
        }
        Ok(patterns.map(Patterns::new))
    }

    /// A pattern that no bundle can ever fit is a slip of the pen, not a rule.
    fn names_something(&mut self, path: &Path, pattern: &Pattern, bundles: &[BundlePlan]) {
        let mut segments = pattern.as_str().split('/');
        let known = || bundles.iter().map(|bundle| bundle.name.as_str());
        match (segments.next(), segments.next()) {
            (Some("bundle"), Some("*" | "**")) => {}
            (Some("bundle"), Some(name)) if known().any(|known| known == name) => {}
            (Some("bundle"), Some(name)) => {
                let mut some: Vec<_> = known().take(NAMES_SHOWN_MAX).map(quote).collect();
                let more = bundles.len() - some.len();
                some.extend((more > 0).then(|| format!("{more} others")));
                let expected = if some.is_empty() { "a bundle, and none is declared" } else { &some.join(", ") };
                self.refuse(path, "a pattern for a bundle that is not declared", quote(name), expected);
            }
            _ => self.refuse(
                path,
                "a pattern that fits nothing that bundles offer",
                quote(pattern.as_str()),
                "bundle/NAME/TOOL",
            ),
        }
    }
}

fn is_route(path: &str) -> bool {
    let segment = |segment: &str| {
        let plain = segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"._~-".contains(&b));
        plain && !matches!(segment, "" | "." | "..")
    };
    let rest = path.strip_prefix('/').filter(|_| path.len() <= PATH_BYTES_MAX);
    rest.is_some_and(|rest| rest.split('/').all(segment)) && !RESERVED_PATHS.contains(&path)
}

/// Text from the manifest, in quotes and without control characters.
pub(crate) fn quote(text: &str) -> String {
    format!("{text:?}")
}
