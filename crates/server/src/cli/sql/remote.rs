//! A client of a server's HTTP door.

mod decode;

use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tidemill_engine::QueryId;
use url::Url;

use super::address::{Login, innermost, is_loopback};
use super::client::{Answer, Client, Listing, Progress};
use super::failure::{Failure, Fault};
use super::unreachable::unreachable;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Bounds requests that only manage: sessions, progress, cancelling. Queries have no bound on this side.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(10);

/// One session of a server.
#[derive(Debug)]
pub(crate) struct Remote {
    http: reqwest::Client,
    base: Url,
    login: Login,
    session: Mutex<Option<String>>,
    running: Mutex<Option<QueryId>>,
}

#[derive(Deserialize)]
struct SessionDocument {
    id: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct QueryDocument {
    progress: Option<Progress>,
    error: Option<Fault>,
}

impl Remote {
    /// Opens a session at this server, which proves that it is there and lets us in.
    pub(crate) async fn connect(base: Url, login: Login) -> Result<Self, Failure> {
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("tidemill-sql/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT);
        if is_loopback(&base) {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|error| Failure::Connection(describe(error)))?;
        let remote = Self { http, base, login, session: Mutex::new(None), running: Mutex::new(None) };
        remote.open_session().await?;
        Ok(remote)
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        let request = self.http.request(method, url);
        match &self.login {
            Login::Anonymous => request,
            Login::Password(user, password) => request.basic_auth(user, Some(password.expose())),
            Login::Token(token) => request.bearer_auth(token.expose()),
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        request.send().await.map_err(|error| unreachable(&self.base, &error.without_url()))
    }

    async fn open_session(&self) -> Result<String, Failure> {
        let request = self.request(Method::POST, &["sessions"]).json(&json!({})).timeout(CONTROL_TIMEOUT);
        let response = self.send(request).await?;
        if !response.status().is_success() {
            let status = response.status();
            let advice = match status {
                StatusCode::UNAUTHORIZED => "; give --user or --token-env",
                _ => "",
            };
            let detail = fault(response).await.detail;
            return Err(Failure::Connection(format!("{} refuses a session: {detail}{advice}", self.base)));
        }
        let document: SessionDocument = response.json().await.map_err(|error| {
            let error = describe(error);
            Failure::Connection(format!("{} does not answer like a Tidemill server: {error}", self.base))
        })?;
        *self.session.lock() = Some(document.id.clone());
        Ok(document.id)
    }

    async fn post_query(&self, session: &str, sql: &str) -> Result<(QueryId, Response), Failure> {
        let id = QueryId::new();
        *self.running.lock() = Some(id);
        let request = self
            .request(Method::POST, &["query"])
            .header("Accept", decode::MEDIA_TYPE)
            .header("X-Query-Id", id.to_string())
            .json(&json!({ "sql": sql, "session_id": session }));
        Ok((id, self.send(request).await?))
    }

    async fn run_statement(&self, sql: &str) -> Result<Answer, Failure> {
        let session = self.session.lock().clone();
        let session = match session {
            Some(session) => session,
            None => self.open_session().await?,
        };
        let (id, response) = self.post_query(&session, sql).await?;
        if response.status().is_success() {
            return decode::answer(response, self.post_mortem(id)).await;
        }
        let mut fault = fault(response).await;
        if fault.code == "SESSION_NOT_FOUND" {
            // Not retried in a new session: the statement may rely on settings and views that are gone.
            *self.session.lock() = None;
            fault.hint =
                Some("the session expired, with its settings and temporary views; a new one begins".to_owned());
        }
        Err(Failure::Statement(fault))
    }

    /// Why a query broke off in the middle of its result, if the server can still say.
    fn post_mortem(&self, id: QueryId) -> BoxFuture<'static, Option<Fault>> {
        let request = self.query_document(id);
        Box::pin(async move { request.await?.error })
    }

    fn query_document(&self, id: QueryId) -> impl Future<Output = Option<QueryDocument>> + Send + use<> {
        self.document(&["queries", &id.to_string()])
    }

    /// What the server says at this path, if it does.
    fn document<T: DeserializeOwned>(&self, path: &[&str]) -> impl Future<Output = Option<T>> + Send + use<T> {
        let request = self.request(Method::GET, path).timeout(CONTROL_TIMEOUT);
        async move { request.send().await.ok()?.error_for_status().ok()?.json().await.ok() }
    }

    async fn list(&self, listing: Listing<'_>) -> Option<Vec<String>> {
        let session = self.session.lock().clone();
        let (path, member): (Vec<&str>, &str) = match listing {
            Listing::Catalogs => (vec!["catalogs"], "catalogs"),
            Listing::Schemas { catalog } => (vec!["catalogs", catalog, "schemas"], "schemas"),
            Listing::Tables { catalog, schema } => (vec!["catalogs", catalog, "schemas", schema, "tables"], "tables"),
            Listing::Columns { catalog, schema, table } => {
                (vec!["catalogs", catalog, "schemas", schema, "tables", table], "columns")
            }
            Listing::TemporaryViews => (vec!["sessions", session.as_deref()?], "temporary_views"),
            Listing::Functions => (vec!["functions"], "functions"),
        };
        let document: serde_json::Value = self.document(&path).await?;
        let name = |item: &serde_json::Value| item.as_str().or_else(|| item.get("name")?.as_str()).map(str::to_owned);
        Some(document.get(member)?.as_array()?.iter().filter_map(name).collect())
    }
}

impl Client for Remote {
    fn run<'a>(&'a self, sql: &'a str) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(self.run_statement(sql))
    }

    fn cancel(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let running = self.running.lock().take();
            if let Some(id) = running {
                let request = self.request(Method::DELETE, &["queries", &id.to_string()]).timeout(CONTROL_TIMEOUT);
                let _ = request.send().await;
            }
        })
    }

    fn progress(&self) -> BoxFuture<'_, Option<Progress>> {
        Box::pin(async {
            let running = *self.running.lock();
            self.query_document(running?).await?.progress
        })
    }

    fn names<'a>(&'a self, listing: Listing<'a>) -> BoxFuture<'a, Option<Vec<String>>> {
        Box::pin(self.list(listing))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let session = self.session.lock().take();
            if let Some(id) = session {
                let request = self.request(Method::DELETE, &["sessions", &id]).timeout(CONTROL_TIMEOUT);
                let _ = request.send().await;
            }
        })
    }
}

fn describe(error: reqwest::Error) -> String {
    innermost(&error.without_url())
}

/// What a response that is no success says.
async fn fault(response: Response) -> Fault {
    let status = response.status();
    let body = response.bytes().await.unwrap_or_default();
    let fault: Fault = serde_json::from_slice(&body).unwrap_or_default();
    if fault.detail.is_empty() { Fault { detail: format!("the server answers {status}"), ..fault } } else { fault }
}

#[cfg(test)]
mod tests;
