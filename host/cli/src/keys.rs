//! The vault of a house: where its key comes from, and opening it.

use std::error::Error;
use std::io;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use certosa_egress::{Client, ClientSettings, GuestBody, Head, Lookups, Policy, Request, Revoked};
use certosa_manifest::{Path, Plan, Problems};
use certosa_model::{AddressRange, BundleName, EgressLimits, HostPattern, Method, PathPattern, Reach, Scheme};
use certosa_store::State;
use certosa_vault::{FETCHED_BYTES_MAX, KekSource, Made, Outside, SealedVault, Secret, Vault};
use http::{HeaderMap, HeaderValue, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};

use crate::opening::Checked;
use crate::output;

/// What to do where a house has no vault yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfAbsent {
    Make,
    Leave,
}

const FETCH_MS_MAX: u32 = 10_000;
/// The token for OpenBao, by the names that its own tools know.
const TOKENS: [&str; 2] = ["BAO_TOKEN", "VAULT_TOKEN"];

/// Opens the vault of a house that has credentials.
pub async fn open(checked: &Checked, if_absent: IfAbsent) -> anyhow::Result<Option<Vault>> {
    if checked.plan.credentials.is_empty() {
        return Ok(None);
    }
    open_always(checked, if_absent).await
}

/// The same, whether or not the manifest declares any.
pub async fn open_always(checked: &Checked, if_absent: IfAbsent) -> anyhow::Result<Option<Vault>> {
    let source = source(checked)?;
    let mut person = Person::new(&checked.plan);
    let state = State::open(&checked.state).await.context("cannot open the state")?;
    let refused = || format!("the vault stays sealed (vault.kek = {source})");
    if let Some(sealed) = SealedVault::find(&state).await.with_context(refused)? {
        let kek = source.load(sealed.derivation(), &mut person).await.with_context(refused)?;
        return Ok(Some(sealed.open(kek).await.with_context(refused)?));
    }
    if if_absent == IfAbsent::Leave {
        return Ok(None);
    }
    let (kek, made) =
        source.load_new(&mut person).await.with_context(|| format!("no vault was made (vault.kek = {source})"))?;
    tell_made(&made);
    Ok(Some(Vault::create(&state, kek).await?))
}

/// Goes on from a database that was restored.
pub async fn accept_restore(checked: &Checked) -> anyhow::Result<Vault> {
    let source = source(checked)?;
    let state = State::open(&checked.state).await.context("cannot open the state")?;
    let sealed = SealedVault::find(&state).await?.context("there is no vault in the state folder")?;
    let kek = source.load(sealed.derivation(), &mut Person::new(&checked.plan)).await?;
    Ok(sealed.accept_restore(kek).await?)
}

/// The source of the KEK that the manifest names, or a file in the state folder.
fn source(checked: &Checked) -> anyhow::Result<KekSource> {
    let Some(text) = &checked.plan.kek else {
        let folder = checked.state.path().canonicalize().context("cannot use the state folder")?;
        return Ok(format!("file://{}", folder.join("kek").display()).parse()?);
    };
    text.parse().map_err(|why: certosa_vault::KekSourceError| {
        let path = Path::default().field("vault").field("kek");
        let problem = checked.manifest.problem(&path, "not a source of a KEK").found(format!("{text:?}"));
        Problems::from(problem.expected(why.to_string())).into()
    })
}

/// Says what a person has to know who would otherwise find out too late.
pub fn tell_made(made: &Made) {
    if let Made::File(path) = made {
        output::complain(&format!(
            "made a new KEK in {} (mode 0600): whoever loses this file has lost the vault, and whoever has it and the \
             state folder has every value; back it up apart from the state",
            path.display()
        ));
    }
}

/// Asks at the terminal, and fetches over the network.
pub struct Person {
    roots: Vec<std::path::PathBuf>,
}

impl Person {
    pub fn new(plan: &Plan) -> Self {
        Self { roots: plan.roots.clone() }
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
        let uri: Uri = url.parse()?;
        let authority = uri.authority().ok_or("no authority")?;
        let token = TOKENS.iter().find_map(std::env::var_os).ok_or("neither BAO_TOKEN nor VAULT_TOKEN is set")?;
        let mut token = HeaderValue::from_str(token.to_str().ok_or("the token is not text")?)?;
        token.set_sensitive(true);
        let headers = HeaderMap::from_iter([(http::HeaderName::from_static("x-vault-token"), token)]);
        let path_and_query = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let head =
            Head { method: "GET", scheme: Some("https"), authority: authority.as_str(), path_and_query, headers };
        let body: GuestBody = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
        let request = Request::parse(head, body)?;
        let (policy, client) = (policy(authority.host(), authority.port_u16())?, self.client()?);
        let response = client.exchange(&Arc::new(policy), request, None, Revoked::never()).await?.into_response();
        if response.status() != http::StatusCode::OK {
            return Err(format!("it answered with {}", response.status()).into());
        }
        Ok(Limited::new(response.into_body(), FETCHED_BYTES_MAX).collect().await?.to_bytes().into())
    }

    fn client(&self) -> Result<Client, Box<dyn Error + Send + Sync>> {
        let mut more_roots = Vec::new();
        for file in &self.roots {
            more_roots.extend(certificates(file)?);
        }
        Ok(Client::new(ClientSettings { more_roots, ..ClientSettings::default() })?)
    }
}

fn certificates(file: &FilePath) -> Result<Vec<rustls::pki_types::CertificateDer<'static>>, String> {
    certosa_house::certificates(file).map_err(|why| format!("{}: {why}", file.display()))
}

/// This one host, wherever it is: the operator named it.
fn policy(host: &str, port: Option<u16>) -> Result<Policy, Box<dyn Error + Send + Sync>> {
    let reach = Reach {
        schemes: vec![Scheme::Https],
        hosts: vec![HostPattern::new(host.trim_matches(['[', ']']))?],
        ports: vec![port.unwrap_or(443)],
        methods: vec![Method::new("GET")?],
        paths: vec![PathPattern::new("/**")?],
    };
    let limits = EgressLimits {
        response_bytes_max: FETCHED_BYTES_MAX as u64,
        connect_ms_max: FETCH_MS_MAX,
        first_byte_ms_max: FETCH_MS_MAX,
        between_bytes_ms_max: FETCH_MS_MAX,
        ..EgressLimits::default()
    };
    let addresses = vec![AddressRange::new("0.0.0.0/0")?, AddressRange::new("::/0")?];
    Ok(Policy { bundle: BundleName::new("certosa")?, reach, addresses, limits, lookups: Lookups::default() })
}

impl Outside for Person {
    fn passphrase(&mut self, is_new: bool) -> io::Result<Secret> {
        let asked = if is_new { "a new passphrase for the vault: " } else { "the passphrase of the vault: " };
        let phrase = secret(asked)?;
        if is_new && secret("the same once more: ")?.expose() != phrase.expose() {
            return Err(io::Error::other("the two are not the same"));
        }
        Ok(phrase)
    }

    async fn fetch(&mut self, url: &str) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
        let time = Duration::from_millis(u64::from(FETCH_MS_MAX) * 3);
        tokio::time::timeout(time, self.get(url)).await?
    }
}

/// A line from the terminal, without echo.
pub fn secret(prompt: &str) -> io::Result<Secret> {
    let line = rpassword::prompt_password(prompt)?;
    Secret::new(line.into_bytes()).map_err(io::Error::other)
}
