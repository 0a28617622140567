//! Where files are, as users write it: a path, a URL, a folder or a pattern.

use std::fmt;
use std::path::Path;

use datafusion::execution::object_store::ObjectStoreUrl;
use object_store::path::Path as ObjectPath;
use url::{Position, Url};

use super::glob::{self, Glob};
use super::{http, local, registry};
use crate::{Error, Result, Subject};

/// A place in one store: a file, a folder, or the files below a folder that match a pattern.
#[derive(Clone, PartialEq)]
pub(crate) struct Location {
    /// Without the pattern and without a query; folders end with `/`.
    url: Url,
    store: ObjectStoreUrl,
    base: ObjectPath,
    pub(super) shape: Shape,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    /// One file; in an object store it may turn out to be a prefix.
    File,
    /// Everything below.
    Folder,
    /// What matches below, and the pattern's text.
    Glob(Glob, String),
}

impl Location {
    /// Understands `data/a.csv`, `/data/`, `file:///data/*.parquet`, `s3://bucket/a/**/*.parquet`, `https://host/a.csv?x=y`.
    ///
    /// Local paths and S3 keys mean what they say; `file://` and `http(s)://` are percent-decoded as URLs are.
    ///
    /// # Errors
    /// `Invalid` for what is neither a path nor a URL, `Unsupported` for a scheme without a store.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        if text.trim().is_empty() {
            return Err(Error::invalid("the path is empty"));
        }
        let Some((scheme, rest)) = text.split_once("://") else { return Self::local(text) };
        match scheme.to_ascii_lowercase().as_str() {
            "file" => {
                let url = Url::parse(text).map_err(|error| not_a_url(text, &error))?;
                let path = ObjectPath::from_url_path(url.path()).map_err(|error| not_a_url(text, &error))?;
                let slash = if url.path().ends_with('/') && !path.is_root() { "/" } else { "" };
                Self::local(&format!("/{path}{slash}"))
            }
            "s3" | "s3a" => Self::s3(text, rest),
            "http" | "https" => Self::http(text),
            other => Err(registry::unsupported(other)),
        }
    }

    /// Understands where a statement writes to: a file or a folder.
    ///
    /// # Errors
    /// As [`Self::parse`], and for a pattern and for what can only be read.
    pub(crate) fn parse_target(text: &str) -> Result<Self> {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        if let Some(scheme @ ("http" | "https")) = scheme.as_deref() {
            let url = Url::parse(text).map_err(|error| not_a_url(text, &error))?;
            let message = format!("'{}' can not be written: files behind {scheme}:// can only be read", shown(&url));
            return Err(Error::invalid(message)
                .about(Subject::File)
                .hint("write to a local path or to s3://bucket/path"));
        }
        let location = Self::parse(text)?;
        match &location.shape {
            Shape::File | Shape::Folder => Ok(location),
            Shape::Glob(..) => Err(Error::invalid(format!("'{location}' can not be written: it is a pattern"))
                .about(Subject::File)
                .hint("name one file, or a folder with / at the end: the files in it get names of their own")),
        }
    }

    fn local(text: &str) -> Result<Self> {
        let absolute =
            std::path::absolute(text).map_err(|error| Error::invalid(format!("not a path: '{text}': {error}")))?;
        let clean = local::normalize(&absolute);
        let path = clean.to_str().ok_or_else(|| Error::invalid(format!("the path is not UTF-8: '{text}'")))?;
        // A file may be named like a pattern.
        let exists = clean.exists();
        let folder = text.ends_with('/') || clean.is_dir();
        let (base, shape) = split(text, path.trim_start_matches('/'), folder, !exists)?;
        let store = ObjectStoreUrl::local_filesystem();
        let mut url = Url::from_file_path(Path::new("/").join(base.as_ref()))
            .map_err(|()| Error::invalid(format!("not a path: '{text}'")))?;
        end_with_slash(&mut url, &shape);
        Ok(Self { url, store, base, shape })
    }

    fn s3(text: &str, rest: &str) -> Result<Self> {
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() || glob::is_pattern(bucket) {
            return Err(Error::invalid(format!("'{text}' names no bucket"))
                .hint("write s3://bucket/path; patterns are for the path alone"));
        }
        let (base, shape) = split(text, key, key.is_empty() || key.ends_with('/'), true)?;
        let mut url = Url::parse(&format!("s3://{bucket}/")).map_err(|error| not_a_url(text, &error))?;
        url.set_path(base.as_ref());
        end_with_slash(&mut url, &shape);
        let store = ObjectStoreUrl::parse(format!("s3://{bucket}"))?;
        Ok(Self { url, store, base, shape })
    }

    fn http(text: &str) -> Result<Self> {
        let url = Url::parse(text).map_err(|error| not_a_url(text, &error))?;
        if url.path().contains('*') {
            return Err(Error::unsupported(format!("patterns over HTTP are not supported: '{}'", shown(&url)))
                .hint("list the files: read_csv(['https://host/a.csv', 'https://host/b.csv'])"));
        }
        let store = ObjectStoreUrl::parse(http::store_url(&url)?.as_str())?;
        let base = ObjectPath::from_url_path(url.path()).map_err(|error| not_a_url(&shown(&url), &error))?;
        let mut without_query = url;
        without_query.set_query(None);
        without_query.set_fragment(None);
        Ok(Self { url: without_query, store, base, shape: Shape::File })
    }

    /// The URL of the file or of the folder that holds what the pattern matches, for access checks and messages.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// The store that holds it.
    pub(crate) fn store(&self) -> &ObjectStoreUrl {
        &self.store
    }

    /// The path of the file or folder in its store.
    pub(crate) fn base(&self) -> &ObjectPath {
        &self.base
    }

    /// Whether it is on this machine's disks.
    pub(super) fn is_local(&self) -> bool {
        self.url.scheme() == "file"
    }

    /// Whether its store can list what is below a prefix.
    pub(super) fn is_listable(&self) -> bool {
        !matches!(self.url.scheme(), "http" | "https")
    }

    /// The last name: of the file, or of the pattern.
    pub(super) fn last_segment(&self) -> &str {
        match &self.shape {
            Shape::Glob(_, text) => text.rsplit('/').next().unwrap_or_default(),
            Shape::File | Shape::Folder => self.base.filename().unwrap_or_default(),
        }
    }

    /// The path of `file` below the folder, if it is below it.
    pub(super) fn relative<'a>(&self, file: &'a ObjectPath) -> Option<&'a str> {
        let rest = file.as_ref().strip_prefix(self.base.as_ref())?;
        if self.base.is_root() { Some(rest) } else { rest.strip_prefix('/') }
    }
}

/// Splits `a/b*/c` into the folder `a` and the pattern `b*/c`; `text` is what the user wrote.
fn split(text: &str, path: &str, folder: bool, patterns: bool) -> Result<(ObjectPath, Shape)> {
    let path = path.trim_end_matches('/');
    let segments: Vec<&str> = path.split('/').collect();
    let first = segments.iter().position(|segment| glob::is_pattern(segment)).filter(|_| patterns);
    let Some(first) = first.or_else(|| brace_across(path).filter(|_| patterns)) else {
        let shape = if folder { Shape::Folder } else { Shape::File };
        return Ok((parse_path(text, path)?, shape));
    };
    let pattern = segments[first..].join("/");
    // A pattern that ends with a slash means everything in the folders that it matches.
    let pattern = if folder { format!("{pattern}/**") } else { pattern };
    Ok((parse_path(text, &segments[..first].join("/"))?, Shape::Glob(Glob::parse(&pattern)?, pattern)))
}

/// The segment in which a brace opens that closes in a later one: `{a/b,c}`.
fn brace_across(path: &str) -> Option<usize> {
    let open = path.find('{').filter(|_| path.contains('}'))?;
    Some(path[..open].matches('/').count())
}

fn parse_path(text: &str, path: &str) -> Result<ObjectPath> {
    ObjectPath::parse(path).map_err(|error| Error::invalid(format!("not a path: '{text}': {error}")))
}

fn end_with_slash(url: &mut Url, shape: &Shape) {
    if !matches!(shape, Shape::File) && !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
}

fn not_a_url(text: &str, error: &dyn fmt::Display) -> Error {
    Error::invalid(format!("not a URL: '{text}': {error}"))
}

/// Without credentials and query.
fn shown(url: &Url) -> String {
    format!("{}://{}", url.scheme(), &url[Position::BeforeHost..Position::AfterPath])
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_local() {
            write!(f, "/{}", self.base)?;
            if !matches!(self.shape, Shape::File) && !self.base.is_root() {
                f.write_str("/")?;
            }
        } else {
            f.write_str(&shown(&self.url))?;
        }
        match &self.shape {
            Shape::Glob(_, text) => f.write_str(text),
            Shape::File | Shape::Folder => Ok(()),
        }
    }
}

/// The store's URL may hold the query of a signed URL, so it is left out.
impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({self})")
    }
}
