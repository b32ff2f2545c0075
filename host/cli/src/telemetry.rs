//! One span for each call, sent to a collector of OpenTelemetry (OTLP over HTTP, protobuf). Spans say what
//! records say: who asked for what and how it ended, never what was in it.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use bytes::Bytes;
use certosa_house::{Entry, House, Observer, RecordOutcome};
use certosa_model::Kind;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId,
    TraceState, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use tokio::runtime::Handle;

/// The traces of a house; nothing where the manifest names no collector.
pub struct Traces(Option<SdkTracerProvider>);

const SEND_MAX: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Begins to send what the house records.
pub fn start(house: &House) -> anyhow::Result<Traces> {
    let Some(url) = &house.plan().otlp else { return Ok(Traces(None)) };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Sender::new()?)
        .with_endpoint(url)
        .with_timeout(SEND_MAX)
        .build()
        .context("cannot send traces")?;
    let resource = Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", "certosa"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        ])
        .build();
    // Every call has a span, whatever the caller's flags say: it is the operator who wants to see it.
    let builder = SdkTracerProvider::builder().with_batch_exporter(exporter).with_sampler(Sampler::AlwaysOn);
    let provider = builder.with_resource(resource).build();
    house.observe(Box::new(Spans(provider.tracer("certosa"))));
    Ok(Traces(Some(provider)))
}

impl Traces {
    /// Sends what is left.
    pub async fn close(self) {
        let Some(provider) = self.0 else { return };
        let closed = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(SEND_MAX)).await;
        if let Ok(Err(error)) = closed {
            tracing::warn!("the last traces were not sent: {error}");
        }
    }
}

struct Spans(SdkTracer);

impl Observer for Spans {
    fn recorded(&self, entry: &Entry<'_>) {
        let parent = entry.parent.map_or_else(Context::new, |parent| {
            let flags = if parent.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
            let (trace, span) = (TraceId::from_bytes(parent.trace), SpanId::from_bytes(parent.span));
            Context::new().with_remote_span_context(SpanContext::new(trace, span, flags, true, TraceState::default()))
        });
        let mut attributes = vec![
            KeyValue::new("mcp.kind", entry.kind.as_str()),
            KeyValue::new("certosa.outcome", entry.outcome.as_str()),
            KeyValue::new("certosa.caller", entry.caller.as_str().to_owned()),
            KeyValue::new("certosa.route", entry.route.to_owned()),
            KeyValue::new("certosa.cpu_us", i64::try_from(entry.usage.cpu_us).unwrap_or(i64::MAX)),
            KeyValue::new("certosa.memory_bytes", i64::try_from(entry.usage.memory_bytes).unwrap_or(i64::MAX)),
        ];
        attributes.extend(entry.bundle.map(|bundle| KeyValue::new("certosa.bundle", bundle.to_owned())));
        // Addresses, and names that nothing here has, are what callers make of them: there is no end to those.
        let name = match (entry.kind, entry.bundle) {
            (Kind::Resource, Some(bundle)) => bundle,
            (_, Some(_)) => entry.name,
            (_, None) => "unknown",
        };
        let went_wrong = !matches!(entry.outcome, RecordOutcome::Done | RecordOutcome::InputRequired);
        let status = if went_wrong { Status::error(entry.outcome.as_str()) } else { Status::Unset };
        let span = SpanBuilder::from_name(format!("{} {name}", entry.kind.as_str()))
            .with_kind(SpanKind::Server)
            .with_start_time(entry.started)
            .with_attributes(attributes);
        let mut span = self.0.build_with_context(span, &parent);
        span.set_status(status);
        span.end_with_timestamp(SystemTime::now());
    }
}

/// Sends from the threads of our runtime: the exporter has one of its own, without any.
#[derive(Debug)]
struct Sender {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: Handle,
}

impl Sender {
    fn new() -> anyhow::Result<Self> {
        let provider = rustls::crypto::ring::default_provider();
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(provider)
            .context("no TLS")?
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(connector), runtime: Handle::current() })
    }
}

#[async_trait::async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sent = async move {
            let response = client.request(request.map(Full::new)).await?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?.to_bytes();
            Ok::<_, HttpError>(http::Response::from_parts(head, body))
        };
        // The clock, too, is the one of our runtime.
        self.runtime.spawn(async move { tokio::time::timeout(SEND_MAX, sent).await? }).await?
    }
}
