//! Why a file could not be written, and what to do about it.

use std::io;

use super::Uploads;
use super::local::LocalTarget;
use super::upload::Staged;
use crate::{Error, ErrorKind, Subject};

impl Uploads {
    /// Remembers why the statement fails; what the writer is told.
    pub(super) fn fail(&self, error: Error) -> object_store::Error {
        self.failure.lock().get_or_insert_with(|| error.copied());
        object_store::Error::Generic { store: "deferred", source: Box::new(error) }
    }

    /// Remembers why a part of the file could not be written.
    pub(super) fn part_failed(&self, staged: &Staged, error: object_store::Error) -> object_store::Error {
        // What comes after the end of the statement is not why it ended.
        if staged.is_over() {
            return error;
        }
        self.fail(not_written(staged.place(), staged.local(), error))
    }
}

/// A failure to write, in terms of the place that the statement names.
pub(super) fn not_written(place: &str, local: Option<&LocalTarget>, error: object_store::Error) -> Error {
    let Some(local) = local else { return Error::from(error).while_doing(&format!("writing {place}")) };
    let Some(kind) = io_kind(&error) else { return Error::from(error).while_doing(&format!("writing {place}")) };
    if let Some(file) = local.blocked_by() {
        let message = format!("'{place}' can not be written: '{}' is a file, not a folder", file.display());
        return Error::invalid(message).about(Subject::File).hint("name a place in a folder");
    }
    let message = format!("'{place}' can not be written: {kind}");
    let error = match kind {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Error::new(ErrorKind::Forbidden, message)
                .hint("name a folder that the server's user may write to, or give that user the right")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            return Error::new(ErrorKind::Resources, message).about(Subject::Disk).caused_by(error);
        }
        io::ErrorKind::NotFound
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::AlreadyExists
        | io::ErrorKind::InvalidFilename
        | io::ErrorKind::InvalidInput => {
            Error::invalid(message).hint("name a file in a folder that exists, or that can be made")
        }
        _ => Error::new(ErrorKind::Storage, message),
    };
    error.about(Subject::File)
}

/// What the operating system said.
fn io_kind(error: &object_store::Error) -> Option<io::ErrorKind> {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        cause = inner.source();
    }
    None
}
