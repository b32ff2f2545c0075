//! What a house counts, for Prometheus. Labels are bounded: they name what is declared and listed, never what
//! a caller sent.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::histogram::exponential_buckets;
use prometheus_client::registry::Unit;

use crate::entry::Outcome;
use crate::house::House;
use crate::record::Seconds;

/// The metrics of a house, for a registry.
pub struct Metrics(Arc<House>);

/// The calls of one item, by how they ended.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    calls: [AtomicU64; Outcome::ALL.len()],
}

/// From 100 µs to 26 s.
pub(crate) fn seconds() -> Seconds {
    Seconds::new(exponential_buckets(0.0001, 4.0, 10))
}

impl Counts {
    pub(crate) fn add(&self, outcome: Outcome) {
        if let Some(count) = self.calls.get(outcome as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many calls ended in which way; only those that did.
    fn calls(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.calls.iter().map(|count| count.load(Ordering::Relaxed));
        Outcome::ALL.iter().map(|outcome| outcome.as_str()).zip(counts).filter(|(_, count)| *count > 0)
    }
}

impl Metrics {
    pub fn of(house: Arc<House>) -> Self {
        Self(house)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Calls that were answered, by how they ended";
        let mut calls = encoder.encode_descriptor("certosa_calls", help, None, MetricType::Counter)?;
        let listings = self.0.listings();
        for (bundle, items) in self.0.bundles.iter().zip(&listings.bundles) {
            for item in items.iter() {
                let (kind, name) = (item.item.kind().as_str(), item.name());
                for (outcome, count) in item.counts.calls() {
                    let labels =
                        [("bundle", bundle.name.as_str()), ("kind", kind), ("name", name), ("outcome", outcome)];
                    calls.encode_family(&labels)?.encode_counter::<[(&str, &str); 0], u64, u64>(&count, None)?;
                }
            }
        }
        for (outcome, count) in self.0.unknown.calls() {
            let labels = [("bundle", ""), ("kind", ""), ("name", ""), ("outcome", outcome)];
            calls.encode_family(&labels)?.encode_counter::<[(&str, &str); 0], u64, u64>(&count, None)?;
        }
        let help = "Time on the processor";
        let mut cpu = encoder.encode_descriptor("certosa_cpu", help, Some(&Unit::Seconds), MetricType::Counter)?;
        for bundle in &self.0.bundles {
            let spent = Duration::from_micros(bundle.cpu_us.load(Ordering::Relaxed)).as_secs_f64();
            let labels = [("bundle", bundle.name.as_str())];
            cpu.encode_family(&labels)?.encode_counter::<[(&str, &str); 0], f64, u64>(&spent, None)?;
        }
        let help = "Calls from their arrival to their record, waiting in line included";
        let mut durations = encoder.encode_descriptor("certosa_call_seconds", help, None, MetricType::Histogram)?;
        for bundle in &self.0.bundles {
            bundle.seconds.encode(durations.encode_family(&[("bundle", bundle.name.as_str())])?)?;
        }
        let help = "Calls of a bundle that are running";
        let mut running = encoder.encode_descriptor("certosa_calls_running", help, None, MetricType::Gauge)?;
        for bundle in &self.0.bundles {
            let labels = [("bundle", bundle.name.as_str())];
            running.encode_family(&labels)?.encode_gauge(&i64::try_from(bundle.line.running()).unwrap_or(i64::MAX))?;
        }
        let help = "Calls of a bundle that wait in line";
        let mut waiting = encoder.encode_descriptor("certosa_calls_waiting", help, None, MetricType::Gauge)?;
        for bundle in &self.0.bundles {
            let labels = [("bundle", bundle.name.as_str())];
            waiting.encode_family(&labels)?.encode_gauge(&i64::try_from(bundle.line.waiting()).unwrap_or(i64::MAX))?;
        }
        Ok(())
    }
}
