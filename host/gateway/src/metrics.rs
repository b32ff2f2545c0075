use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use certosa_house::House;
use certosa_mcp::Face;
use http::StatusCode;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// OpenMetrics 1.0.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const STATUSES_MAX: usize = 600;

/// What a server and its house count, for Prometheus.
pub(crate) struct Metrics {
    registry: Registry,
    responses: Arc<Responses>,
}

/// Responses by their status.
#[derive(Debug)]
struct Responses(Box<[AtomicU64]>);

/// What is open at the moment.
struct Open {
    face: Arc<Face>,
    connections: Arc<()>,
}

impl Metrics {
    pub(crate) fn new(house: &Arc<House>, face: &Arc<Face>, connections: &Arc<()>) -> Self {
        let responses = Arc::new(Responses((0..STATUSES_MAX).map(|_| AtomicU64::new(0)).collect()));
        let open = Open { face: Arc::clone(face), connections: Arc::clone(connections) };
        let mut registry = Registry::default();
        registry.register_collector(Box::new(certosa_house::Metrics::of(Arc::clone(house))));
        registry.register_collector(Box::new(Counted(Arc::clone(&responses))));
        registry.register_collector(Box::new(open));
        Self { registry, responses }
    }

    pub(crate) fn count(&self, status: StatusCode) {
        if let Some(count) = self.responses.0.get(usize::from(status.as_u16())) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn written(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _written = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

#[derive(Debug)]
struct Counted(Arc<Responses>);

impl Collector for Counted {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let help = "HTTP responses by status";
        let mut metric = encoder.encode_descriptor("certosa_http_responses", help, None, MetricType::Counter)?;
        for (status, count) in self.0.0.iter().enumerate() {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                let labels = [("status", u64::try_from(status).unwrap_or_default())];
                metric.encode_family(&labels)?.encode_counter::<[(&str, &str); 0], u64, u64>(&count, None)?;
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").finish_non_exhaustive()
    }
}

impl Collector for Open {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        // One is ours and one the server's; each connection has one more.
        let connections = Arc::strong_count(&self.connections).saturating_sub(2);
        for (name, help, value) in [
            ("certosa_connections", "Connections that are open", connections),
            ("certosa_sessions", "Sessions of MCP 2025-11-25 and older", self.face.sessions()),
        ] {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        Ok(())
    }
}
