//! What a house counts, for Prometheus. Labels are bounded: they name what is declared and listed, never what
//! a caller sent.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use certosa_model::Usage;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::histogram::exponential_buckets;
use prometheus_client::registry::Unit;

use crate::house::{House, LoadedItem};
use crate::record::{Outcome, Seconds};

/// The metrics of a house, for a registry.
pub struct Metrics(Arc<House>);

/// The calls of one item, by how they ended.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    calls: [AtomicU64; Outcome::ALL.len()],
    cpu_us: AtomicU64,
}

/// From 100 µs to 26 s.
pub(crate) fn seconds() -> Seconds {
    Seconds::new(exponential_buckets(0.0001, 4.0, 10))
}

impl Counts {
    pub(crate) fn add(&self, outcome: Outcome, usage: &Usage) {
        if let Some(count) = self.calls.get(outcome as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.cpu_us.fetch_add(usage.cpu_us, Ordering::Relaxed);
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

    fn items(&self) -> impl Iterator<Item = (&str, &LoadedItem)> {
        let bundles = self.0.bundles.iter();
        bundles.flat_map(|bundle| bundle.items.iter().map(|item| (bundle.name.as_str(), item)))
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
        for (bundle, item) in self.items() {
            for (outcome, count) in item.counts.calls() {
                let labels = [
                    ("bundle", bundle),
                    ("kind", item.item.kind().as_str()),
                    ("name", item.name()),
                    ("outcome", outcome),
                ];
                calls.encode_family(&labels)?.encode_counter::<[(&str, &str); 0], u64, u64>(&count, None)?;
            }
        }
        for (outcome, count) in self.0.unknown.calls() {
            let labels = [("bundle", ""), ("kind", ""), ("name", ""), ("outcome", outcome)];
            calls.encode_family(&labels)?.encode_counter::<[(&str, &str); 0], u64, u64>(&count, None)?;
        }
        let help = "Time on the processor";
        let mut cpu = encoder.encode_descriptor("certosa_cpu", help, Some(&Unit::Seconds), MetricType::Counter)?;
        for bundle in &self.0.bundles {
            let spent = bundle.items.iter().map(|item| item.counts.cpu_us.load(Ordering::Relaxed)).sum::<u64>();
            let spent = Duration::from_micros(spent).as_secs_f64();
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
