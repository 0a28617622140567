//! Who a worker is and how it is: sent with its registration and each heartbeat.

use ballista_core::{BALLISTA_PROTOCOL_VERSION, BALLISTA_VERSION};
use serde::{Deserialize, Serialize};
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::{Request, Status};

/// The name of the metadata.
pub const REPORT: &str = "tidemill-worker";

/// Counts up when what coordinator and worker say to each other changes its meaning.
const PROTOCOL: u32 = 1;

/// A worker at one moment; sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The version of the product.
    pub version: String,
    /// The versions of everything that gives a plan its meaning; plans do not describe themselves.
    pub build: String,
    /// Tasks that it computes at once.
    pub slots: u32,
    /// Memory that its tasks may use.
    pub memory_bytes: u64,
    /// Memory that its tasks use.
    pub memory_used: u64,
    /// Disk that its tasks may use.
    pub disk_bytes: u64,
    /// Disk that its tasks use.
    pub disk_used: u64,
    /// Tasks that it has and did not finish.
    pub tasks_running: u64,
    /// Whether it takes no more tasks.
    pub draining: bool,
    /// Jobs that it holds files of, or some of them if there are very many.
    pub jobs: Vec<String>,
}

impl Report {
    /// One of this build.
    pub fn of_this_build() -> Self {
        Self { version: env!("CARGO_PKG_VERSION").to_owned(), build: fingerprint(), ..Self::default() }
    }

    /// Refuses a worker that would read plans otherwise than this process writes them.
    ///
    /// # Errors
    /// With both sides' versions, to be shown to whoever started the worker.
    pub fn check_build(&self) -> Result<(), Status> {
        let own = Self::of_this_build();
        if (&self.version, &self.build) == (&own.version, &own.build) {
            return Ok(());
        }
        Err(Status::failed_precondition(format!(
            "the worker is tidemill {} ({}), but the coordinator is tidemill {} ({}): run the same version on every node",
            self.version, self.build, own.version, own.build
        )))
    }

    /// Adds it to a request.
    pub fn add_to<T>(&self, request: &mut Request<T>) {
        if let Some(value) = self.header() {
            request.metadata_mut().insert(REPORT, value);
        }
    }

    /// Its form as metadata; absent only if a part is not ASCII.
    pub fn header(&self) -> Option<MetadataValue<Ascii>> {
        serde_json::to_string(self).ok()?.parse().ok()
    }

    /// Reads it from a request.
    ///
    /// # Errors
    /// When it is not there: whoever asks is not a worker of ours.
    pub fn from_metadata(metadata: &MetadataMap) -> Result<Self, Status> {
        let text = metadata.get(REPORT).and_then(|value| value.to_str().ok());
        let report = text.and_then(|text| serde_json::from_str(text).ok());
        report.ok_or_else(|| {
            Status::failed_precondition("this is no worker of this version: run the same version on every node")
        })
    }
}

fn fingerprint() -> String {
    format!(
        "protocol {PROTOCOL}, datafusion {}, arrow {}, ballista {BALLISTA_VERSION}/{BALLISTA_PROTOCOL_VERSION}",
        datafusion::DATAFUSION_VERSION,
        arrow::ARROW_VERSION,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_arrives_as_it_was_sent() {
        let sent = Report { slots: 4, jobs: vec!["a".to_owned()], draining: true, ..Report::of_this_build() };
        let mut request = Request::new(());
        sent.add_to(&mut request);
        let received = Report::from_metadata(request.metadata()).unwrap();
        assert_eq!(received, sent);
        received.check_build().unwrap();
    }

    #[test]
    fn another_build_is_refused_with_both_names() {
        let other = Report { version: "0.0.9".to_owned(), ..Report::of_this_build() };
        let refusal = other.check_build().unwrap_err();
        assert_eq!(refusal.code(), tonic::Code::FailedPrecondition);
        assert!(refusal.message().contains("0.0.9") && refusal.message().contains(env!("CARGO_PKG_VERSION")));
        let other = Report { build: "datafusion 54".to_owned(), ..Report::of_this_build() };
        assert!(other.check_build().unwrap_err().message().contains("datafusion 54"));
    }

    #[test]
    fn a_stranger_is_refused() {
        let refusal = Report::from_metadata(&MetadataMap::new()).unwrap_err();
        assert_eq!(refusal.code(), tonic::Code::FailedPrecondition);
    }
}
