//! Files behind HTTP(S) URLs, query strings included.
//!
//! An object store knows hosts and paths but no query strings, which signed URLs live on. So the query travels as the user
//! name of the store's URL, where [`connect`] finds it again, on this server or on another.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use object_store::http::HttpBuilder;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use url::{Position, Url};

use crate::{Error, Result};

mod spool;
mod whole;

pub(super) use spool::Spool;
pub(super) use whole::Connector;

const QUERY_PREFIX: &str = "query-";

/// The URL of the store of `url`: scheme and authority, with the query kept as user name.
///
/// # Errors
/// `Invalid` for credentials in the URL: it would show them in plans and logs.
pub(super) fn store_url(url: &Url) -> Result<Url> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::invalid(format!(
            "credentials in a URL are not supported: {}",
            &url[Position::BeforeHost..]
        )));
    }
    let mut store = url.clone();
    store.set_path("/");
    store.set_query(None);
    store.set_fragment(None);
    if let Some(query) = url.query() {
        let name = format!("{QUERY_PREFIX}{}", URL_SAFE_NO_PAD.encode(query));
        store.set_username(&name).map_err(|()| Error::invalid(format!("the URL has no host: {url}")))?;
    }
    Ok(store)
}

/// A client for one host (and one query string).
pub(super) fn connect(
    store: &Url,
    options: ClientOptions,
    retries: RetryConfig,
    connector: Connector,
) -> Result<Arc<dyn ObjectStore>> {
    let base = base_url(store)?;
    let client = HttpBuilder::new()
        .with_url(base.as_str())
        .with_client_options(options.with_allow_http(store.scheme() == "http"))
        .with_retry(retries)
        .with_http_connector(connector)
        .build()?;
    Ok(Arc::new(client))
}

/// The inverse of [`store_url`]; the client appends paths in front of the query.
fn base_url(store: &Url) -> Result<Url> {
    let mut base = store.clone();
    base.set_path("/");
    let query = match store.username() {
        "" => None,
        name => Some(decode_query(name).ok_or_else(|| Error::invalid("credentials in a URL are not supported"))?),
    };
    base.set_username("").map_err(|()| Error::invalid("the URL has no host"))?;
    base.set_query(query.as_deref());
    Ok(base)
}

fn decode_query(name: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(name.strip_prefix(QUERY_PREFIX)?).ok()?;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_survives_the_way_through_a_store_url() {
        let url = Url::parse("https://example.org:8443/a/b.csv?sig=a%2Fb&x=1").unwrap();
        let store = store_url(&url).unwrap();
        assert_eq!(store.path(), "/");
        assert!(!store.as_str().contains("sig"));
        assert_eq!(base_url(&store).unwrap().as_str(), "https://example.org:8443/?sig=a%2Fb&x=1");
    }

    #[test]
    fn credentials_are_refused() {
        assert!(store_url(&Url::parse("https://user:pass@example.org/a").unwrap()).is_err());
    }
}
