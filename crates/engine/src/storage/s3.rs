//! S3 and what speaks like it.

use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use object_store::client::SpawnedReqwestConnector;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use url::{Host, Url};

use crate::config::S3Config;
use crate::{Error, Result};

/// A client for one bucket.
///
/// # Errors
/// `Invalid` when the configuration contradicts itself.
pub(super) fn connect(
    bucket: &str,
    config: &S3Config,
    options: ClientOptions,
    retries: RetryConfig,
    connector: SpawnedReqwestConnector,
) -> Result<Arc<dyn ObjectStore>> {
    if bucket.is_empty() {
        return Err(Error::invalid("the S3 URL names no bucket: write s3://bucket/path"));
    }
    let path_style = config.path_style.unwrap_or(config.endpoint.is_some());
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_client_options(options.with_allow_http(plain_http_allowed(bucket, config)?))
        .with_retry(retries)
        .with_virtual_hosted_style_request(!path_style)
        .with_skip_signature(anonymous(config))
        .with_http_connector(connector);
    if let Some(endpoint) = &config.endpoint {
        builder = builder.with_endpoint(endpoint_of(bucket, endpoint, path_style)?);
    }
    if let Some(region) = &config.region {
        builder = builder.with_region(region);
    }
    builder = match (&config.access_key_id, &config.secret_access_key) {
        (Some(id), Some(secret)) => builder.with_access_key_id(id).with_secret_access_key(secret.expose()),
        (None, None) => builder,
        (Some(_), None) => return Err(incomplete(bucket, "access_key_id", "secret_access_key")),
        (None, Some(_)) => return Err(incomplete(bucket, "secret_access_key", "access_key_id")),
    };
    if let Some(token) = &config.session_token {
        builder = builder.with_token(token.expose());
    }
    Ok(Arc::new(builder.build()?))
}

/// Without keys, requests to Amazon are signed with the machine's own role; other endpoints have no such thing.
fn anonymous(config: &S3Config) -> bool {
    config.anonymous.unwrap_or(config.endpoint.is_some() && config.access_key_id.is_none())
}

fn incomplete(bucket: &str, present: &str, absent: &str) -> Error {
    Error::invalid(format!("the storage configuration of bucket '{bucket}' has {present} but no {absent}"))
        .hint("set both in storage.s3 or in the bucket's entry of storage.buckets")
}

fn plain_http_allowed(bucket: &str, config: &S3Config) -> Result<bool> {
    let Some(endpoint) = &config.endpoint else { return Ok(false) };
    let url = parse_endpoint(bucket, endpoint)?;
    if url.scheme() != "http" {
        return Ok(false);
    }
    let allowed = config.allow_http.unwrap_or_else(|| is_loopback(&url));
    if !allowed {
        return Err(Error::invalid(format!("the endpoint of bucket '{bucket}' is plain HTTP: {endpoint}"))
            .hint("use https, or set allow_http = true beside the endpoint"));
    }
    Ok(true)
}

fn parse_endpoint(bucket: &str, endpoint: &str) -> Result<Url> {
    Url::parse(endpoint).map_err(|error| {
        Error::invalid(format!("the endpoint of bucket '{bucket}' is not a URL: '{endpoint}': {error}"))
            .hint("write it as https://host:port")
    })
}

/// With a custom endpoint, the client expects the bucket to be part of the host already.
fn endpoint_of(bucket: &str, endpoint: &str, path_style: bool) -> Result<String> {
    let mut url = parse_endpoint(bucket, endpoint)?;
    if !path_style && let Some(Host::Domain(domain)) = url.host() {
        let host = format!("{bucket}.{domain}");
        url.set_host(Some(&host)).map_err(|error| {
            Error::invalid(format!("bucket '{bucket}' can not be part of a host name: {error}"))
                .hint("set path_style = true")
        })?;
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(domain)) => domain == "localhost" || domain.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_endpoint(endpoint: &str) -> S3Config {
        S3Config { endpoint: Some(endpoint.to_owned()), ..S3Config::default() }
    }

    #[test]
    fn plain_http_is_for_loopback_or_on_request() {
        assert!(plain_http_allowed("b", &with_endpoint("http://127.0.0.1:9000")).unwrap());
        assert!(plain_http_allowed("b", &with_endpoint("http://minio.example:9000")).is_err());
        let asked = S3Config { allow_http: Some(true), ..with_endpoint("http://minio.example:9000") };
        assert!(plain_http_allowed("b", &asked).unwrap());
    }

    #[test]
    fn the_bucket_moves_into_the_host_without_path_style() {
        assert_eq!(endpoint_of("b", "https://s3.example", false).unwrap(), "https://b.s3.example");
        assert_eq!(endpoint_of("b", "https://s3.example/", true).unwrap(), "https://s3.example");
    }
}
