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
            Problem::of_statement(&Error::invalid(rejection.body_text()).about(Subject::Parameter))
        })
    }
}
