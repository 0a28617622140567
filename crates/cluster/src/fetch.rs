//! The rows of a job that has ended, from the workers that hold them.
//!
//! Each part of the result is a file on a worker, read over the worker's Flight service. HTTP/2 holds a worker back when the
//! client is slow: nothing is buffered here but what is under way.

use std::error::Error as _;
use std::fmt;

use arrow::array::RecordBatch;
use arrow_flight::Ticket;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use ballista_core::serde::protobuf::{self, PartitionLocation};
use ballista_core::serde::scheduler::{Action, ShuffleFileKind};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use prost::Message;
use tonic::{Code, Status};

use crate::transport::{MAX_MESSAGE, Transport};

/// A part of the result can not be had.
#[derive(Debug)]
pub(crate) struct Missing {
    /// The id of the worker that should have it.
    pub(crate) worker: String,
    /// Why.
    pub(crate) reason: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {} does not hand out its part of the result: {}", self.worker, self.reason)
    }
}

/// All rows, several parts at a time; in the order of the parts if that is their order.
pub(crate) fn fetch(
    transport: &Transport,
    mut locations: Vec<PartitionLocation>,
    ordered: bool,
    at_once: usize,
) -> BoxStream<'static, Result<RecordBatch, Missing>> {
    // A part without rows may have no file.
    locations.retain(|location| location.partition_stats.as_ref().is_none_or(|stats| stats.num_rows != 0));
    locations.sort_by_key(|location| {
        let partition = location.partition_id.as_ref().map_or(0, |id| id.partition_id);
        (partition, location.map_partition_id, location.file_id)
    });
    let transport = transport.clone();
    let parts = futures::stream::iter(locations).map(move |location| open(transport.clone(), location));
    let at_once = at_once.max(1);
    if ordered {
        // The next parts are asked for while one is read, and wait on their workers.
        parts.buffered(at_once).try_flatten().boxed()
    } else {
        parts.buffer_unordered(at_once).try_flatten_unordered(at_once).boxed()
    }
}

async fn open(
    transport: Transport,
    location: PartitionLocation,
) -> Result<BoxStream<'static, Result<RecordBatch, Missing>>, Missing> {
    let layout = location.layout();
    let holder = location.executor_meta.unwrap_or_default();
    let part = location.partition_id.unwrap_or_default();
    let worker = holder.id;
    let missing = |reason: String| Missing { worker: worker.clone(), reason };
    let port = u16::try_from(holder.port).map_err(|_| missing("it has no port".into()))?;
    let action = Action::FetchPartition {
        job_id: part.job_id.into(),
        stage_id: part.stage_id as usize,
        partition_id: part.partition_id as usize,
        host: holder.host.clone(),
        port,
        file_id: location.file_id,
        layout,
        file_kind: ShuffleFileKind::Data,
        byte_ranges: Vec::new(),
    };
    let action = TryInto::<protobuf::Action>::try_into(action).map_err(|error| missing(error.to_string()))?;
    let wire = transport.channel(&holder.host, port).map_err(|error| missing(error.message().to_owned()))?;
    let mut client = FlightServiceClient::new(wire).max_decoding_message_size(MAX_MESSAGE);
    let ticket = Ticket::new(action.encode_to_vec());
    let data = client.do_get(ticket).await.map_err(|status| missing(told(&status)))?.into_inner();
    let data = data.map_err(|status| FlightError::Tonic(Box::new(status)));
    let rows = FlightRecordBatchStream::new_from_flight_data(data);
    let rows = rows.map_err(move |error| Missing { worker: worker.clone(), reason: why(&error) });
    Ok(rows.boxed())
}

fn why(error: &FlightError) -> String {
    match error {
        FlightError::Tonic(status) => told(status),
        error => error.to_string(),
    }
}

/// What a worker says; of a connection that broke, only that.
fn told(status: &Status) -> String {
    let by_transport = status.source().is_some() || matches!(status.code(), Code::Unavailable | Code::Unknown);
    if !by_transport {
        return status.message().to_owned();
    }
    tracing::debug!(%status, "the connection to a worker broke");
    "the connection to it broke".to_owned()
}
