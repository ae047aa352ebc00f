//! Traces by OTLP over gRPC: sent in the background, lost when nobody takes them.

use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use crate::config::ConfigError;

/// How long one batch of spans may take on its way.
const EXPORT_TIME: Duration = Duration::from_secs(5);

/// An exporter to `endpoint`. Must be called in a runtime, on which it sends.
pub(super) fn provider(endpoint: &str) -> Result<SdkTracerProvider, ConfigError> {
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(EXPORT_TIME)
        .build()
        .map_err(|e| ConfigError::new("configuration", "telemetry.otlp_endpoint", e.to_string()))?;
    let service = Resource::builder()
        .with_service_name("fjord")
        .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(service).build())
}

pub(super) fn tracer(provider: &SdkTracerProvider) -> SdkTracer {
    provider.tracer("fjord")
}
