//! Messages larger than the limit, in words that say which limit: tonic refuses them before any RPC sees them, as out of
//! range.

use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use hyper::{Request, Response};
use tidemill_engine::{Error, ErrorKind};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tower::Service;

use super::failure::Failure;

/// How tonic begins to say it.
const PREFIX: &str = "Error, decoded message length too large: ";

/// The failure, if the status is that of a message that is too large.
pub(super) fn told(status: &Status) -> Option<Failure> {
    let sizes = status.message().strip_prefix(PREFIX).filter(|_| status.code() == Code::OutOfRange)?;
    let mut numbers = sizes.split(|other: char| !other.is_ascii_digit()).filter(|number| !number.is_empty());
    let (size, limit) = (numbers.next()?, numbers.next()?);
    let message = format!(
        "a message of {size} bytes is larger than flight_sql.max_received_message_bytes allows, which is {limit} bytes"
    );
    Some(Failure::from(
        Error::new(ErrorKind::Resources, message).hint("send the rows in smaller batches, or raise the limit"),
    ))
}

/// A gRPC service whose refusals of messages that are too large are told so.
#[derive(Debug, Clone)]
pub struct Told<S>(pub(super) S);

impl<S: NamedService> NamedService for Told<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, B> Service<Request<B>> for Told<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let answer = self.0.call(request);
        async move {
            let answer = answer.await?;
            let refused = Status::from_header_map(answer.headers()).as_ref().and_then(told);
            Ok(refused.map_or(answer, |refused| refused.into_status().into_http()))
        }
        .boxed()
    }
}
