//! What statements may name: the configured URL prefixes, and never the server's own data.

use std::path::{Path, PathBuf};

use object_store::path::Path as ObjectPath;
use url::{Position, Url};

use super::local;
use crate::config::StorageConfig;
use crate::{Error, ErrorKind, Result, Subject};

/// What statements may name, and how much one scan may list.
#[derive(Debug)]
pub(crate) struct StoragePolicy {
    allowed: Vec<Prefix>,
    data_dir: PathBuf,
    shown: Vec<PathBuf>,
    /// Files one scan may list.
    pub(super) max_files_per_scan: usize,
    /// Whether listings may come from the cache, which lets them expire.
    pub(super) cached_listings: bool,
}

#[derive(Debug)]
enum Prefix {
    Local(PathBuf),
    Remote(Url),
}

impl StoragePolicy {
    /// The policy that the configuration describes; `shown` are the folders of `data_dir` that statements may read.
    ///
    /// # Errors
    /// `Invalid` for an entry of `storage.allowed` that is neither a URL prefix nor a path.
    pub(crate) fn new(config: &StorageConfig, data_dir: &Path, shown: &[PathBuf]) -> Result<Self> {
        Ok(Self {
            allowed: config.allowed.iter().map(|text| Prefix::parse(text)).collect::<Result<_>>()?,
            data_dir: local::resolve(data_dir),
            shown: shown.iter().map(|folder| local::resolve(folder)).collect(),
            max_files_per_scan: config.max_files_per_scan,
            cached_listings: !config.listing_ttl.0.is_zero(),
        })
    }

    /// Refuses a URL that statements may not name. Local paths are compared after `..` and symbolic links are resolved.
    ///
    /// # Errors
    /// `Forbidden`, naming the URL and the configuration key.
    pub(crate) fn check_allowed(&self, url: &Url) -> Result<()> {
        if url.scheme() == "file" {
            let path = url.to_file_path().map_err(|()| Error::invalid(format!("not a local path: {url}")))?;
            let path = local::resolve(&path);
            if self.is_private(&path) {
                return Err(forbidden(url, "is in the server's own data directory"));
            }
            let allowed = self.allowed.iter().any(|prefix| match prefix {
                Prefix::Local(folder) => path.starts_with(folder),
                Prefix::Remote(_) => false,
            });
            return if allowed { Ok(()) } else { Err(outside(url)) };
        }
        let allowed = self.allowed.iter().any(|prefix| match prefix {
            Prefix::Local(_) => false,
            Prefix::Remote(prefix) => covers(prefix, url),
        });
        if allowed { Ok(()) } else { Err(outside(url)) }
    }

    /// Whether a listing leaves this local file out: a scan of a parent folder does not reveal the server's own data.
    pub(super) fn hides(&self, location: &ObjectPath) -> bool {
        self.is_private(&Path::new("/").join(location.as_ref()))
    }

    fn is_private(&self, path: &Path) -> bool {
        path.starts_with(&self.data_dir) && !self.shown.iter().any(|folder| path.starts_with(folder))
    }
}

impl Prefix {
    fn parse(text: &str) -> Result<Self> {
        let Some((scheme, rest)) = text.split_once("://") else { return Self::local(Path::new(text)) };
        if scheme.eq_ignore_ascii_case("file") {
            return Self::local(Path::new(if rest.is_empty() { "/" } else { rest }));
        }
        // `s3://` and `https://` alone allow every bucket and host; a URL needs a host to parse.
        let text = if rest.is_empty() { format!("{scheme}://*") } else { text.to_owned() };
        match Url::parse(&text) {
            Ok(url) => Ok(Self::Remote(url)),
            Err(error) => Err(Error::invalid(format!("storage.allowed: '{text}' is not a URL prefix: {error}"))
                .hint("write entries such as file:///data/, s3://bucket/prefix/ or https://")),
        }
    }

    fn local(path: &Path) -> Result<Self> {
        let absolute = std::path::absolute(path)
            .map_err(|error| Error::invalid(format!("storage.allowed: '{}': {error}", path.display())))?;
        Ok(Self::Local(local::resolve(&absolute)))
    }
}

/// Whether `url` is `prefix` or below it; `s3://bucket/a` covers `s3://bucket/a/b` and not `s3://bucket/ab`.
fn covers(prefix: &Url, url: &Url) -> bool {
    let same_scheme = scheme_of(prefix) == scheme_of(url);
    let any_host = matches!(prefix.host_str(), None | Some("*"));
    if !same_scheme || any_host {
        return same_scheme;
    }
    if prefix.host_str() != url.host_str() || prefix.port_or_known_default() != url.port_or_known_default() {
        return false;
    }
    match url.path().strip_prefix(prefix.path().trim_end_matches('/')) {
        Some(rest) => rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

fn scheme_of(url: &Url) -> &str {
    match url.scheme() {
        "s3a" => "s3",
        scheme => scheme,
    }
}

fn outside(url: &Url) -> Error {
    forbidden(url, "is not below any prefix of storage.allowed")
        .hint("ask the server's operator to add its prefix to storage.allowed")
}

fn forbidden(url: &Url, why: &str) -> Error {
    // The query of a signed URL is a credential.
    Error::new(ErrorKind::Forbidden, format!("'{}' {why}", &url[..Position::AfterPath])).about(Subject::File)
}
