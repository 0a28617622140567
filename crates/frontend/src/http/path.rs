//! The parameters in a URL's path, with errors like every other.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// The parameters in the path, decoded.
#[derive(Debug)]
pub(crate) struct PathParams<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for PathParams<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let decoded = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        decoded
            .map(|path| Self(path.0))
            .map_err(|rejection| Problem::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", rejection.body_text()))
    }
}
