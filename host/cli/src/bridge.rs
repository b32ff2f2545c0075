//! `certosa stdio --url`: passes messages on to a running house over HTTP, in both eras.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::{Bytes, BytesMut};
use certosa_mcp::{Code, SESSION_HEADER, header_value, param_headers, rpc_error};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

use crate::exit::Exit;
use crate::lines::{self, Line, Peek};
use crate::output;

type Http = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

const MESSAGE_BYTES_MAX: usize = 64 << 20;
const VERSION_HEADER: &str = "mcp-protocol-version";
const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";
/// How long running requests may take after the input has ended.
const DRAIN: Duration = Duration::from_secs(10);
const CANCELS_MAX: usize = 10;
const CANCEL_AGAIN: Duration = Duration::from_millis(100);
/// How long to wait before a stream that broke off is opened again.
const AGAIN: Duration = Duration::from_secs(1);

/// The way to the house, and what is known of it.
struct Bridge {
    http: Http,
    url: Uri,
    output: mpsc::Sender<Bytes>,
    /// Headers of the session of an older client.
    session: Mutex<HeaderMap>,
    cancelled: Mutex<HashSet<String>>,
    /// What opened the session: a house that was started anew is asked for another one with it.
    opening: Mutex<Option<Bytes>>,
    /// Held while a session is opened again.
    reopening: tokio::sync::Mutex<()>,
    /// The input schemas of tools: they say which arguments are repeated in headers.
    schemas: Mutex<Option<HashMap<String, Value>>>,
}

/// The address of a house, from the command line.
pub fn address(text: &str) -> Result<Uri, String> {
    let url: Uri = text.parse().map_err(|why| format!("{why}"))?;
    match matches!(url.scheme_str(), Some("http" | "https")) && url.authority().is_some() {
        true => Ok(url),
        false => Err("an address is like http://127.0.0.1:8787/mcp".to_owned()),
    }
}

pub async fn run(url: Uri, ca: Option<&Path>) -> anyhow::Result<Exit> {
    let (output, writer) = lines::write();
    let bridge = Arc::new(Bridge {
        http: client(ca)?,
        url,
        output,
        session: Mutex::default(),
        cancelled: Mutex::default(),
        opening: Mutex::default(),
        reopening: tokio::sync::Mutex::default(),
        schemas: Mutex::default(),
    });
    let mut input = lines::read(MESSAGE_BYTES_MAX);
    let mut tasks = JoinSet::new();
    let mut running = HashMap::new();
    let mut stream = None;
    while let Some(line) = input.recv().await {
        while tasks.try_join_next().is_some() {}
        let Line::Text(text) = line else {
            let why = format!("a message has at most {} MiB", MESSAGE_BYTES_MAX >> 20);
            let _gone = bridge.output.send(rpc_error(None, Code::InvalidRequest, &why, None)).await;
            continue;
        };
        let peek = Peek::at(&text);
        let is_legacy = bridge.has_session();
        if let (false, Some(id)) = (is_legacy, peek.cancels()) {
            running.remove(id).into_iter().for_each(|task: AbortHandle| task.abort());
            continue;
        }
        let begins = peek.is("initialize");
        let id = peek.id.map(|id| id.get().to_owned());
        let cancelled = peek.cancels().and_then(|id| {
            bridge.taken_back().insert(id.to_owned());
            running.remove(id)
        });
        let sent = Arc::clone(&bridge).send(text.clone());
        if let Some(request) = cancelled {
            tasks.spawn(Arc::clone(&bridge).cancel(text, request));
            continue;
        }
        if begins {
            *bridge.opening.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
            sent.await;
            if bridge.has_session() {
                let listening = tokio::spawn(Arc::clone(&bridge).listen());
                stream.replace(listening).into_iter().for_each(|before: JoinHandle<()>| before.abort());
            }
            continue;
        }
        let task = tasks.spawn(sent);
        running.retain(|_, task: &mut AbortHandle| !task.is_finished());
        running.extend(id.map(|id| (id, task)));
    }
    let _slow = tokio::time::timeout(DRAIN, async { while tasks.join_next().await.is_some() {} }).await;
    tasks.shutdown().await;
    stream.into_iter().for_each(|stream| stream.abort());
    bridge.end().await;
    drop(bridge);
    lines::written(writer).await;
    Ok(Exit::Done)
}

fn client(ca: Option<&Path>) -> anyhow::Result<Http> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = match ca {
        None => HttpsConnectorBuilder::new().with_provider_and_webpki_roots(provider).context("no TLS")?,
        Some(path) => {
            let mut roots = rustls::RootCertStore::empty();
            let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.with_context(|| format!("{} is not PEM", path.display()))?;
                roots.add(certificate).with_context(|| format!("{} is no authority", path.display()))?;
            }
            let config = rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots)
                .with_no_client_auth();
            HttpsConnectorBuilder::new().with_tls_config(config)
        }
    };
    let mut http = HttpConnector::new();
    http.set_nodelay(true);
    http.enforce_http(false);
    let connector = builder.https_or_http().enable_all_versions().wrap_connector(http);
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

impl Bridge {
    /// Sends one message and passes on everything that comes back.
    async fn send(self: Arc<Self>, text: Bytes) {
        let id = Peek::at(&text).id.map(|id| id.get().to_owned());
        let sent = self.try_send(text, id.as_deref(), true).await;
        if let Some(id) = &id {
            self.taken_back().remove(id);
        }
        if let Err(error) = sent {
            let why = format!("the house at {} does not answer: {error:#}", self.url);
            match id {
                Some(id) => self.say(rpc_error(Some(&id), Code::Internal, &why, None)).await,
                None => output::complain(&why),
            }
        }
    }

    async fn try_send(&self, text: Bytes, id: Option<&str>, again: bool) -> anyhow::Result<()> {
        let headers = self.headers(&text).await?;
        let session = headers.get(&SESSION_HEADER).cloned();
        let mut response = self.request(Method::POST, headers, text.clone()).await?;
        if let (StatusCode::NOT_FOUND, Some(ended)) = (response.status(), session)
            && self.reopen(&ended).await?
        {
            response = self.request(Method::POST, self.headers(&text).await?, text.clone()).await?;
        }
        if is_event_stream(&response) {
            return match self.events(response, id).await? || id.is_none() {
                true => Ok(()),
                false if id.is_some_and(|id| self.taken_back().contains(id)) => Ok(()),
                false => bail!("its stream ended without an answer"),
            };
        }
        let (status, begun) = (response.status(), response.headers().get(&SESSION_HEADER).cloned());
        let body = response.into_body().collect().await?.to_bytes();
        if let Some(session) = begun {
            self.begin(session, &body);
        }
        // The schema that the headers were made from may not be the tool's any more.
        if again && status == StatusCode::BAD_REQUEST && is_mismatch(&body) && self.forget_schemas() {
            return Box::pin(self.try_send(text, id, false)).await;
        }
        self.pass_on(status, body, &text, id).await
    }

    /// Passes on an answer that came in one piece.
    async fn pass_on(&self, status: StatusCode, body: Bytes, text: &[u8], id: Option<&str>) -> anyhow::Result<()> {
        let is_notification = id.is_none() && Peek::at(text).method.is_some();
        match serde_json::from_slice::<Value>(&body) {
            _ if is_notification && status.is_success() => {}
            _ if is_notification => output::complain(&format!("the house refused a notification: status {status}")),
            // An error that came before the id was known belongs to this request all the same.
            Ok(Value::Object(mut error)) if !error.contains_key("id") => {
                if let Some(id) = id {
                    error.insert("id".to_owned(), serde_json::from_str(id)?);
                }
                self.say(Value::Object(error).to_string().into()).await;
            }
            Ok(_) => self.say(body).await,
            Err(_) if body.is_empty() && status.is_success() => {}
            Err(_) => bail!("status {status}"),
        }
        Ok(())
    }

    /// Opens the session again that has `ended` without the client: its house was started anew.
    async fn reopen(&self, ended: &HeaderValue) -> anyhow::Result<bool> {
        let _one_at_a_time = self.reopening.lock().await;
        if self.locked().get(&SESSION_HEADER).is_some_and(|session| session != ended) {
            return Ok(true);
        }
        let opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(opening) = opening else { return Ok(false) };
        let response = self.request(Method::POST, media(HeaderMap::new()), opening).await?;
        let Some(session) = response.headers().get(&SESSION_HEADER).cloned() else { return Ok(false) };
        let body = response.into_body().collect().await?.to_bytes();
        self.begin(session, &body);
        let ready = Bytes::from_static(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        let headers = media(self.locked().clone());
        self.request(Method::POST, headers, ready).await?;
        Ok(true)
    }

    /// Takes a request back. It travels on a connection of its own and may come before the request does, so it
    /// is said again for as long as the request is under way.
    async fn cancel(self: Arc<Self>, text: Bytes, request: AbortHandle) {
        for _ in 0..CANCELS_MAX {
            Arc::clone(&self).send(text.clone()).await;
            tokio::time::sleep(CANCEL_AGAIN).await;
            if request.is_finished() {
                return;
            }
        }
    }

    /// What the session is told without having asked, for as long as there is a session.
    async fn listen(self: Arc<Self>) {
        loop {
            let mut headers = self.locked().clone();
            headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
            let session = headers.get(&SESSION_HEADER).cloned();
            match (self.request(Method::GET, headers, Bytes::new()).await, session) {
                (Ok(response), _) if response.status() == StatusCode::OK => drop(self.events(response, None).await),
                (Ok(response), Some(ended)) if response.status() == StatusCode::NOT_FOUND => {
                    let _away_for_longer = self.reopen(&ended).await;
                }
                (Ok(_), _) => return,
                (Err(_), _) => {}
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Ends the session of an older client.
    async fn end(&self) {
        let headers = self.locked().clone();
        if !headers.is_empty() {
            let deleted = self.request(Method::DELETE, headers, Bytes::new());
            let _it_ends_by_itself_too = tokio::time::timeout(AGAIN, deleted).await;
        }
    }

    /// Passes on the messages of a stream of server-sent events. Whether the answer to the request `id` was one.
    async fn events(&self, response: Response<hyper::body::Incoming>, id: Option<&str>) -> anyhow::Result<bool> {
        let mut body = response.into_body();
        let mut buffer = BytesMut::new();
        let mut is_answered = false;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            buffer.extend_from_slice(&data);
            if buffer.len() > MESSAGE_BYTES_MAX {
                bail!("an event of more than {} MiB", MESSAGE_BYTES_MAX >> 20);
            }
            while let Some(end) = buffer.windows(2).position(|pair| pair == b"\n\n") {
                let event = buffer.split_to(end + 2);
                let data =
                    event.as_ref().split(|byte: &u8| *byte == b'\n').filter_map(|line| line.strip_prefix(b"data:"));
                let text = data.map(<[u8]>::trim_ascii).collect::<Vec<_>>().join(&b' ');
                if !text.is_empty() {
                    let peek = Peek::at(&text);
                    is_answered |= peek.method.is_none() && peek.id.map(RawValue::get) == id;
                    self.say(text.into()).await;
                }
            }
        }
        Ok(is_answered)
    }

    async fn request(
        &self,
        method: Method,
        headers: HeaderMap,
        body: Bytes,
    ) -> anyhow::Result<Response<hyper::body::Incoming>> {
        let mut request = Request::new(Full::new(body));
        (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, self.url.clone(), headers);
        Ok(self.http.request(request).await?)
    }

    /// The headers of a message: those of its session, or those that repeat what is in it.
    async fn headers(&self, text: &[u8]) -> anyhow::Result<HeaderMap> {
        let message: Value = serde_json::from_slice(text).unwrap_or_default();
        let params = message.get("params").unwrap_or(&Value::Null);
        let version = params.get("_meta").and_then(|meta| meta.get(VERSION_KEY)).and_then(Value::as_str);
        Ok(media(match version {
            None => self.locked().clone(),
            Some(version) => self.modern_headers(version, &message, params).await?,
        }))
    }

    async fn modern_headers(&self, version: &str, message: &Value, params: &Value) -> anyhow::Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        let method = message.get("method").and_then(Value::as_str).unwrap_or_default();
        headers.insert(VERSION_HEADER, header_value(version));
        headers.insert("mcp-method", header_value(method));
        let name = match method {
            "tools/call" | "prompts/get" => params.get("name"),
            "resources/read" => params.get("uri"),
            _ => None,
        };
        let Some(name) = name.and_then(Value::as_str) else { return Ok(headers) };
        headers.insert("mcp-name", header_value(name));
        if method == "tools/call"
            && let Some(schema) = self.schema(name, params).await?
        {
            let arguments = params.get("arguments").unwrap_or(&Value::Null);
            for (header, value) in param_headers(&schema, arguments) {
                headers.insert(header, value);
            }
        }
        Ok(headers)
    }

    /// Lets the schemas be fetched again. Whether there were any.
    fn forget_schemas(&self) -> bool {
        self.schemas.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }

    /// The input schema of a tool. The list is fetched when it is needed for the first time.
    async fn schema(&self, tool: &str, params: &Value) -> anyhow::Result<Option<Value>> {
        let known = |bridge: &Self| {
            let schemas = bridge.schemas.lock().unwrap_or_else(PoisonError::into_inner);
            schemas.as_ref().map(|schemas| schemas.get(tool).cloned())
        };
        if let Some(schema) = known(self) {
            return Ok(schema);
        }
        let mut schemas = HashMap::new();
        let mut cursor = Value::Null;
        let meta = params.get("_meta").cloned().unwrap_or_default();
        loop {
            let mut asked = json!({ "_meta": { VERSION_KEY: meta.get(VERSION_KEY),
                "io.modelcontextprotocol/clientCapabilities": {} } });
            if let (Value::Object(asked), false) = (&mut asked, cursor.is_null()) {
                asked.insert("cursor".to_owned(), cursor);
            }
            let message = json!({ "jsonrpc": "2.0", "id": "certosa-stdio", "method": "tools/list", "params": asked });
            let mut headers = HeaderMap::new();
            headers.insert(VERSION_HEADER, header_value(meta.get(VERSION_KEY).and_then(Value::as_str).unwrap_or("")));
            headers.insert("mcp-method", HeaderValue::from_static("tools/list"));
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let response = self.request(Method::POST, headers, message.to_string().into()).await?;
            let page: Value = serde_json::from_slice(&response.into_body().collect().await?.to_bytes())?;
            let Some(result) = page.get("result").cloned() else { bail!("the list of tools cannot be had: {page}") };
            for tool in result.get("tools").and_then(Value::as_array).into_iter().flatten() {
                if let (Some(name), Some(schema)) = (tool.get("name").and_then(Value::as_str), tool.get("inputSchema"))
                {
                    schemas.insert(name.to_owned(), schema.clone());
                }
            }
            cursor = result.get("nextCursor").cloned().unwrap_or_default();
            if cursor.is_null() {
                break;
            }
        }
        *self.schemas.lock().unwrap_or_else(PoisonError::into_inner) = Some(schemas);
        Ok(known(self).flatten())
    }

    fn begin(&self, session: HeaderValue, body: &[u8]) {
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let version = answer.get("result").and_then(|result| result.get("protocolVersion")).and_then(Value::as_str);
        let mut headers = self.locked();
        headers.insert(SESSION_HEADER.clone(), session);
        if let Some(version) = version {
            headers.insert(VERSION_HEADER, header_value(version));
        }
    }

    /// Requests of the session that the client took back: these may stay without an answer.
    fn taken_back(&self) -> MutexGuard<'_, HashSet<String>> {
        self.cancelled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_session(&self) -> bool {
        !self.locked().is_empty()
    }

    fn locked(&self) -> MutexGuard<'_, HeaderMap> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn say(&self, text: Bytes) {
        let _gone = self.output.send(text).await;
    }
}

/// What every message that is sent says of itself and of its answer.
fn media(mut headers: HeaderMap) -> HeaderMap {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    headers
}

/// Whether this is the error that headers say something else than the body.
fn is_mismatch(body: &[u8]) -> bool {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    answer.pointer("/error/code").and_then(Value::as_i64) == Some(Code::HeaderMismatch as i64)
}

fn is_event_stream<T>(response: &Response<T>) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("text/event-stream"))
}
