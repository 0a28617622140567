//! The query string of a URL, with errors like every other: `?wait=soon` is told by name.

use axum::extract::FromRequestParts;
use axum::extract::rejection::QueryRejection;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use tidemill_engine::{Error, Subject};

use super::problem::Problem;

/// The query string, decoded.
#[derive(Debug)]
pub(crate) struct QueryString<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for QueryString<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let decoded = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        decoded.map(|query| Self(query.0)).map_err(|rejection: QueryRejection| {
            // The reason itself, without axum's words before it.
            let text = rejection.body_text();
            let reason = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
            let error = Error::invalid(format!("the query string can not be used: {reason}"));
            Problem::of_statement(&error.about(Subject::Parameter))
        })
    }
}
