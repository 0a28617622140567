//! `Handshake`: credentials in, a bearer token of a new session out.
//!
//! Drivers show credentials in the header `authorization` (Basic or Bearer), and find the token in the header of the answer;
//! old ones send a `BasicAuth` message in the payload, find the token in the answer's, and show it as `auth-token-bin`. Where
//! no credentials are asked for, none are needed here either.

use arrow_flight::{BasicAuth, HandshakeRequest, HandshakeResponse};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use prost::Message;
use tidemill_engine::auth::Secret;
use tonic::{Request, Response, Status, Streaming};

use super::caller::{self, Caller};
use super::door::Door;
use super::failure::Result;
use crate::gate::Credentials;
use crate::listen::Connection;

pub(crate) type Answers = BoxStream<'static, std::result::Result<HandshakeResponse, Status>>;

pub(crate) async fn answer(
    door: &Door,
    mut request: Request<Streaming<HandshakeRequest>>,
) -> Result<Response<Answers>> {
    let in_header = request.metadata().contains_key("authorization");
    let principal = if in_header {
        caller::principal(&door.gate, &request).await?
    } else {
        let first = request.get_mut().next().await.transpose()?;
        let peer = request.extensions().get::<Connection>().map(|connection| connection.peer.ip());
        door.gate.check(in_payload(first), peer).await?
    };
    let mut caller = Caller::new(door, principal, &request);
    caller.keep_session(door)?;
    let payload = if in_header { Bytes::new() } else { Bytes::from(caller.token().unwrap_or_default().to_owned()) };
    let response = HandshakeResponse { protocol_version: 0, payload };
    Ok(caller.respond(stream::iter([Ok(response)]).boxed()))
}

fn in_payload(first: Option<HandshakeRequest>) -> Credentials {
    let payload = first.map(|first| first.payload).unwrap_or_default();
    match BasicAuth::decode(payload) {
        Ok(basic) if !basic.username.is_empty() => {
            Credentials::Basic { user: basic.username, password: Secret::new(basic.password) }
        }
        _ => Credentials::Absent,
    }
}
