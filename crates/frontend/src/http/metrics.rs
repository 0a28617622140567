//! What the server counts, for Prometheus: the engine's numbers, and the requests of this door.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use parking_lot::Mutex;
use tidemill_engine::{Engine, EngineStatus};

use super::door::Door;

mod cache;
mod cluster;

/// The media type of the text exposition.
pub(crate) const TEXT_EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of the histogram's buckets, in seconds.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0];

/// The route of a request that no route took.
const UNMATCHED: &str = "unmatched";

/// Requests, counted. Labels are bounded: known methods, templates of routes, statuses.
#[derive(Debug, Default)]
pub(crate) struct Metrics(Mutex<Requests>);

#[derive(Debug, Default)]
struct Requests {
    totals: BTreeMap<(&'static str, String, u16), u64>,
    seconds: BTreeMap<(&'static str, String), Histogram>,
}

#[derive(Debug, Clone, Default)]
struct Histogram {
    buckets: [u64; BUCKETS.len()],
    count: u64,
    sum: f64,
}

impl Histogram {
    fn record(&mut self, seconds: f64) {
        for (count, bound) in self.buckets.iter_mut().zip(BUCKETS) {
            *count += u64::from(seconds <= bound);
        }
        self.count += 1;
        self.sum += seconds;
    }
}

impl Metrics {
    fn record(&self, method: &'static str, route: String, status: u16, elapsed: Duration) {
        let mut requests = self.0.lock();
        *requests.totals.entry((method, route.clone(), status)).or_default() += 1;
        requests.seconds.entry((method, route)).or_default().record(elapsed.as_secs_f64());
    }

    /// Everything in Prometheus' text format.
    pub(crate) fn render(&self, engine: &Engine) -> String {
        let status = engine.status();
        let mut page = Page(String::with_capacity(8192));
        page.engine(&status);
        page.cache(&status.cache);
        page.cluster(&engine.workers(), &engine.autoscale());
        page.tasks(&status);
        let requests = self.0.lock();
        page.head("tidemill_http_requests_total", "counter", "HTTP requests answered, by method, route and status.");
        for ((method, route, status), count) in &requests.totals {
            let labels = format!("method=\"{method}\",route=\"{route}\",status=\"{status}\"");
            page.sample("tidemill_http_requests_total", &labels, count);
        }
        let name = "tidemill_http_request_seconds";
        page.head(name, "histogram", "Time from the head of a request to the head of its response.");
        for ((method, route), histogram) in &requests.seconds {
            let labels = format!("method=\"{method}\",route=\"{route}\"");
            for (bound, count) in BUCKETS.iter().zip(histogram.buckets) {
                page.sample(&format!("{name}_bucket"), &format!("{labels},le=\"{bound}\""), count);
            }
            page.sample(&format!("{name}_bucket"), &format!("{labels},le=\"+Inf\""), histogram.count);
            page.sample(&format!("{name}_sum"), &labels, histogram.sum);
            page.sample(&format!("{name}_count"), &labels, histogram.count);
        }
        page.0
    }
}

/// A page of samples.
struct Page(String);

impl Page {
    fn engine(&mut self, status: &EngineStatus) {
        let gauges: [(&str, &str, u64); 14] = [
            ("tidemill_queries_running", "Queries that hold a permit.", status.queries_running),
            ("tidemill_queries_queued", "Queries that wait for a permit.", status.queries_queued),
            ("tidemill_queries_living", "Queries that have not ended.", status.queries_living),
            (
                "tidemill_statements_planning",
                "Statements that are planned, those that nobody waits for any more among them.",
                status.statements_planning,
            ),
            ("tidemill_sessions", "Open named sessions.", status.sessions),
            ("tidemill_memory_used_bytes", "Memory reserved by queries and tables.", status.memory_used_bytes),
            ("tidemill_memory_peak_bytes", "The most memory reserved at once.", status.memory_peak_bytes),
            ("tidemill_memory_limit_bytes", "Memory that may be reserved.", status.memory_limit_bytes),
            ("tidemill_memory_tables_bytes", "Memory held by in-memory tables.", status.memory_tables_bytes),
            ("tidemill_spill_bytes", "Bytes of spill files.", status.spill_bytes),
            ("tidemill_results_bytes", "Bytes of kept results.", status.results_bytes),
            ("tidemill_cpu_threads", "Threads that run queries.", status.cpu_threads),
            ("tidemill_uptime_seconds", "Seconds since the start.", status.uptime_seconds),
            ("tidemill_draining", "1 while the server stops, else 0.", u64::from(status.draining)),
        ];
        for (name, help, value) in gauges {
            self.head(name, "gauge", help);
            self.sample(name, "", value);
        }
        self.head("tidemill_queries_total", "counter", "Queries that ended, by how.");
        for (state, count) in ["finished", "failed", "cancelled"].into_iter().zip(status.queries_ended) {
            self.sample("tidemill_queries_total", &format!("state=\"{state}\""), count);
        }
        self.head("tidemill_history_dropped_total", "counter", "Rows of history that were not stored.");
        self.sample("tidemill_history_dropped_total", "", status.history_dropped);
        self.head("tidemill_build_info", "gauge", "The version, as a label.");
        self.sample("tidemill_build_info", &format!("version=\"{}\"", env!("CARGO_PKG_VERSION")), 1);
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a `String` can not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = if labels.is_empty() {
            writeln!(self.0, "{name} {value}")
        } else {
            writeln!(self.0, "{name}{{{labels}}} {value}")
        };
    }
}

/// Middleware: counts every request that is answered.
pub(crate) async fn measure(State(door): State<Door>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = method_label(request.method());
    let route = request.extensions().get::<MatchedPath>().map_or(UNMATCHED, MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    door.metrics.record(method, route, response.status().as_u16(), started.elapsed());
    response
}

/// Clients can make up methods without end.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PATCH" => "PATCH",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "OTHER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative() {
        let mut histogram = Histogram::default();
        histogram.record(0.002);
        histogram.record(2.0);
        assert_eq!(histogram.buckets, [0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2]);
        assert_eq!(histogram.count, 2);
    }
}
