//! Files that web servers send only whole, kept on disk to be read in pieces: bounded, and without names, so that nothing is
//! left of them however the process ends.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures::{Stream, TryStreamExt, stream};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, ETAG, LAST_MODIFIED};
use object_store::client::{HttpError, HttpErrorKind, HttpResponse};
use parking_lot::Mutex;

use crate::data_dir::create_dir_all;
use crate::units::ByteSize;
use crate::{Error, ErrorKind, Subject};

/// Bytes that are read from disk at once.
const CHUNK_BYTES: u64 = 1 << 20;

/// What changed less than this long before it was told of may change again without another time.
const SETTLED: TimeDelta = TimeDelta::seconds(2);

/// The files of the server that were sent whole.
#[derive(Debug)]
pub(in crate::storage) struct Spool {
    folder: PathBuf,
    max_bytes: u64,
    /// Bytes of all files, those that only a reader still holds included.
    used: Arc<AtomicU64>,
    /// By URL, the one that was fetched first in front.
    files: Mutex<VecDeque<(String, Arc<Whole>)>>,
}

/// A file that was sent whole.
#[derive(Debug)]
pub(super) struct Whole {
    file: File,
    pub(super) length: u64,
    pub(super) headers: HeaderMap,
    version: Option<Version>,
    _room: Room,
}

/// What tells a file from another of its URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    tag: Option<String>,
    modified: Option<String>,
    length: Option<String>,
}

/// The disk that a file takes.
#[derive(Debug)]
struct Room {
    used: Arc<AtomicU64>,
    bytes: u64,
}

impl Version {
    /// What the headers tell; `None` if they leave open whether the file is another by now.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let version = Self { tag: text(ETAG), modified: text(LAST_MODIFIED), length: text(CONTENT_LENGTH) };
        let is_settled = |modified: &String| {
            DateTime::parse_from_rfc2822(modified).is_ok_and(|time| Utc::now().signed_duration_since(time) > SETTLED)
        };
        (version.tag.is_some() || version.modified.as_ref().is_some_and(is_settled)).then_some(version)
    }
}

impl Spool {
    /// Room for this many bytes in this folder, which is made when it is needed.
    pub(in crate::storage) fn new(folder: PathBuf, max_bytes: u64) -> Arc<Self> {
        Arc::new(Self { folder, max_bytes, used: Arc::default(), files: Mutex::default() })
    }

    /// The file of this URL.
    pub(super) fn find(&self, url: &str) -> Option<Arc<Whole>> {
        self.files.lock().iter().find(|(known, _)| known == url).map(|(_, whole)| Arc::clone(whole))
    }

    /// The file of this URL, if it is still of this version; else it is forgotten.
    pub(super) fn current(&self, url: &str, version: Option<&Version>) -> Option<Arc<Whole>> {
        let found = self.find(url)?;
        if version.is_some() && found.version.as_ref() == version {
            return Some(found);
        }
        self.forget(url);
        None
    }

    fn forget(&self, url: &str) {
        self.files.lock().retain(|(known, _)| known != url);
    }

    /// Keeps the body of a response.
    pub(super) async fn keep(&self, url: &str, response: HttpResponse) -> Result<Arc<Whole>, HttpError> {
        let (parts, body) = response.into_parts();
        let mut room = Room { used: Arc::clone(&self.used), bytes: 0 };
        let folder = self.folder.clone();
        let file = blocking(move || {
            create_dir_all(&folder)?;
            tempfile::tempfile_in(&folder)
        });
        let mut file = file.await?;
        let mut chunks = body.bytes_stream();
        while let Some(chunk) = chunks.try_next().await? {
            let offset = room.bytes;
            self.grow(&mut room, chunk.len() as u64, url)?;
            file = blocking(move || file.write_all_at(&chunk, offset).map(|()| file)).await?;
        }
        let (length, version) = (room.bytes, Version::of(&parts.headers));
        let whole = Arc::new(Whole { file, length, headers: parts.headers, version, _room: room });
        self.forget(url);
        self.files.lock().push_back((url.to_owned(), Arc::clone(&whole)));
        Ok(whole)
    }

    /// Takes room for more, at the expense of the files that were fetched first.
    fn grow(&self, room: &mut Room, more: u64, url: &str) -> Result<(), HttpError> {
        let fitting = |used: u64| used.checked_add(more).filter(|used| *used <= self.max_bytes);
        while self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fitting).is_err() {
            if self.files.lock().pop_front().is_none() {
                return Err(failed(full(url, self.max_bytes)));
            }
        }
        room.bytes += more;
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Whole {
    /// The bytes of a range that lies within the file.
    pub(super) fn bytes(
        self: &Arc<Self>,
        range: Range<u64>,
    ) -> impl Stream<Item = Result<Bytes, HttpError>> + Send + Sync + use<> {
        stream::try_unfold((Arc::clone(self), range), |(whole, rest)| async move {
            if rest.is_empty() {
                return Ok(None);
            }
            let end = rest.end.min(rest.start + CHUNK_BYTES);
            let (reader, start) = (Arc::clone(&whole), rest.start);
            let read = blocking(move || {
                // At most a chunk.
                let mut piece = vec![0; (end - start) as usize];
                reader.file.read_exact_at(&mut piece, start).map(|()| Bytes::from(piece))
            });
            Ok(Some((read.await?, (whole, end..rest.end))))
        })
    }
}

/// What can not be read: it is larger than the limit, or others that are being read leave too little of it.
fn full(url: &str, limit: u64) -> Error {
    let shown = url.split(['?', '#']).next().unwrap_or(url);
    Error::new(
        ErrorKind::Resources,
        format!(
            "the server of '{shown}' sends the file only whole, and the files that are read so take more than {}",
            ByteSize(limit)
        ),
    )
    .about(Subject::Disk)
    .hint("raise storage.max_whole_file_bytes, or read the file from a server that answers range requests")
}

/// An error that another attempt would meet again.
fn failed(error: Error) -> HttpError {
    HttpError::new(HttpErrorKind::Decode, error)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, HttpError> {
    let done = tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    done.map_err(|error| failed(crate::data_dir::failure("cannot keep a file of a web server on disk", error)))
}
