//! `Idempotency-Key`: a request that a client repeats, because it did not hear the answer, runs once.
//!
//! A keyed request runs in the background with its result kept. Whoever repeats the key waits for that query and gets its
//! result or its failure, as long as the result is kept.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::response::Response;
use parking_lot::Mutex;
use tidemill_engine::{Error, QueryId, QueryRequest, Result, Session, Subject};

use super::body::QueryBody;
use super::client::Client;
use super::door::Door;
use super::problem::Problem;
use super::respond::Wanted;
use super::routes::queries::{self, Wait};

/// Keys remembered at once; the oldest gives way to one more.
const MAX_KEYS: usize = 10_000;

/// How long a key is remembered when results are kept for ever.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Which query answered which key.
#[derive(Debug, Default)]
pub(crate) struct Keys(Mutex<HashMap<Key, Answered>>);

/// A key of a principal: those of others are other keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    principal: String,
    name: String,
}

#[derive(Debug)]
struct Answered {
    fingerprint: u64,
    query: QueryId,
    since: Instant,
}

impl Keys {
    /// The query that answers this key: the one that does already, or the one that `submit` starts now. The lock is held over
    /// `submit`, so that two requests at the same moment start one query.
    fn query(
        &self,
        key: Key,
        fingerprint: u64,
        kept_for: Duration,
        submit: impl FnOnce() -> Result<QueryId>,
    ) -> Result<QueryId> {
        let mut keys = self.0.lock();
        keys.retain(|_, answered| answered.since.elapsed() < kept_for);
        if keys.len() >= MAX_KEYS
            && !keys.contains_key(&key)
            && let Some(oldest) = keys.iter().min_by_key(|(_, answered)| answered.since).map(|(key, _)| key.clone())
        {
            keys.remove(&oldest);
        }
        match keys.entry(key) {
            MapEntry::Occupied(entry) if entry.get().fingerprint == fingerprint => Ok(entry.get().query),
            MapEntry::Occupied(entry) => Err(Error::conflict(
                Subject::Key,
                format!("the Idempotency-Key '{}' was used for another request", entry.key().name),
            )
            .hint("use a new key for each new request")),
            MapEntry::Vacant(entry) => {
                let query = submit()?;
                entry.insert(Answered { fingerprint, query, since: Instant::now() });
                Ok(query)
            }
        }
    }
}

/// What makes two requests the same: all but how the answer is wanted.
pub(crate) fn fingerprint(body: &QueryBody) -> u64 {
    let essence = QueryBody { format: None, format_options: None, wait_ms: None, ..body.clone() };
    let mut hasher = DefaultHasher::new();
    // Parameters are JSON values, which do not hash; their debug text tells all that differ apart.
    format!("{essence:?}").hash(&mut hasher);
    hasher.finish()
}

/// A keyed request that is to be answered.
#[derive(Debug)]
pub(crate) struct Keyed<'a> {
    pub(crate) name: &'a str,
    pub(crate) fingerprint: u64,
}

/// Answers a keyed request by the query that runs for it, or that the key started before.
pub(crate) async fn answer(
    door: &Door,
    session: &Arc<Session>,
    request: QueryRequest,
    keyed: Keyed<'_>,
    wanted: &Wanted,
    client: &Client,
    wait: Wait,
) -> Result<Response, Problem> {
    let key = Key { principal: client.principal.name().to_owned(), name: keyed.name.to_owned() };
    let kept_for = door.engine.results().ttl().limit().unwrap_or(LONGEST);
    let id = door
        .keys
        .query(key, keyed.fingerprint, kept_for, || Ok(door.engine.submit(session, request)?.id()))
        .map_err(|error| client.problem(&error))?;
    queries::answer(door, id, wanted, client, wait).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn key(name: &str) -> Key {
        Key { principal: "ann".to_owned(), name: name.to_owned() }
    }

    #[test]
    fn a_repeated_request_runs_once() {
        let keys = Keys::default();
        let first = keys.query(key("a"), 1, HOUR, || Ok(QueryId::new())).unwrap();
        let again = keys.query(key("a"), 1, HOUR, || panic!("runs twice")).unwrap();
        assert_eq!(first, again);
    }

    #[test]
    fn a_key_is_for_one_request() {
        let keys = Keys::default();
        keys.query(key("a"), 1, HOUR, || Ok(QueryId::new())).unwrap();
        let error = keys.query(key("a"), 2, HOUR, || Ok(QueryId::new())).unwrap_err();
        assert_eq!(error.code(), "IDEMPOTENCY_CONFLICT");
    }

    #[test]
    fn a_request_that_was_refused_can_be_tried_again() {
        let keys = Keys::default();
        assert!(keys.query(key("a"), 1, HOUR, || Err(Error::invalid("no"))).is_err());
        assert!(keys.query(key("a"), 1, HOUR, || Ok(QueryId::new())).is_ok());
    }
}
