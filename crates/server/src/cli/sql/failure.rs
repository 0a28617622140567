//! How a run of `tidemill sql` ends when it does not end well, and the exit code that says so.

use std::fmt;
use std::io;
use std::process::ExitCode;

use arrow::error::ArrowError;
use serde::Deserialize;

/// The table that `--help` prints.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0    every statement succeeded
  1    a statement failed, or its result could not be written
  2    the command line or the configuration is wrong
  3    the server cannot be reached, or does not let us in
  129  ended by SIGHUP
  130  interrupted by Ctrl-C
  143  ended by SIGTERM";

/// Why no more statements run.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The engine refused or failed the statement.
    Statement(Fault),
    /// The result could not be written.
    Output(String),
    /// The command line or the configuration is wrong.
    Usage(String),
    /// The server cannot be reached, or does not let us in.
    Connection(String),
    /// The user pressed Ctrl-C.
    Interrupted,
    /// A signal of this number asks the process to end.
    Ended(u8),
    /// The reader of our output has seen enough, as `head` does.
    ReaderGone,
}

/// What the engine says about a statement that failed: an error of the engine, or the problem document of a server.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Fault {
    /// Stable name, such as `TABLE_NOT_FOUND`.
    pub(crate) code: String,
    /// What went wrong.
    #[serde(alias = "message")]
    pub(crate) detail: String,
    /// What to do next.
    pub(crate) hint: Option<String>,
    /// Where in the statement.
    pub(crate) position: Option<Place>,
}

/// A place in a statement; line and column count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Place {
    /// Line.
    pub(crate) line: u64,
    /// Column, in characters.
    pub(crate) column: u64,
}

impl Failure {
    /// What the process says to its parent.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::ReaderGone => 0,
            Self::Statement(_) | Self::Output(_) => 1,
            Self::Usage(_) => 2,
            Self::Connection(_) => 3,
            Self::Interrupted => 130,
            Self::Ended(signal) => 128 + signal,
        })
    }

    /// The message for the user, with the place in `sql` marked where it is known.
    pub(crate) fn explain(&self, sql: &str) -> String {
        if matches!(self, Self::Interrupted | Self::Ended(_)) {
            return self.to_string();
        }
        let mut text = format!("error: {self}");
        if let Self::Statement(fault) = self {
            if let Some(excerpt) = fault.position.and_then(|place| excerpt(sql, place)) {
                text.push_str(&excerpt);
            }
            if let Some(hint) = &fault.hint {
                text.push_str("\nhint: ");
                text.push_str(hint);
            }
        }
        text
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Statement(fault) => f.write_str(&fault.detail),
            Self::Output(message) | Self::Usage(message) | Self::Connection(message) => f.write_str(message),
            Self::Interrupted => f.write_str("cancelled"),
            Self::Ended(_) => f.write_str("ended by a signal"),
            Self::ReaderGone => f.write_str("the reader of the output has gone"),
        }
    }
}

/// The line of the statement with a mark below the column.
fn excerpt(sql: &str, place: Place) -> Option<String> {
    let line = sql.lines().nth(usize::try_from(place.line).ok()?.checked_sub(1)?)?;
    let column = usize::try_from(place.column).ok()?.checked_sub(1)?;
    // Long generated lines would fill the screen without showing anything.
    if line.chars().count() > 200 {
        return None;
    }
    let indent: String = line.chars().take(column).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    Some(format!("\n  {line}\n  {indent}^"))
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::Output(format!("cannot write the result: {error}")),
        }
    }
}

impl From<ArrowError> for Failure {
    fn from(error: ArrowError) -> Self {
        match error {
            ArrowError::IoError(_, error) => error.into(),
            // The CSV writer wraps its IO errors into text; the text is all there is to tell them by.
            ArrowError::CsvError(message) if message.contains("Broken pipe") => Self::ReaderGone,
            error => Self::Output(format!("cannot write the result: {error}")),
        }
    }
}

impl From<parquet::errors::ParquetError> for Failure {
    fn from(error: parquet::errors::ParquetError) -> Self {
        match error {
            parquet::errors::ParquetError::External(source) => match source.downcast::<io::Error>() {
                Ok(error) => (*error).into(),
                Err(source) => Self::Output(format!("cannot write the result: {source}")),
            },
            error => Self::Output(format!("cannot write the result: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_marks_its_place_and_says_what_to_do() {
        let failure = Failure::Statement(Fault {
            code: "COLUMN_NOT_FOUND".to_owned(),
            detail: "column 'amout' not found".to_owned(),
            hint: Some("did you mean 'amount'?".to_owned()),
            position: Some(Place { line: 2, column: 3 }),
        });
        let expected = "error: column 'amout' not found\n    amout\n    ^\nhint: did you mean 'amount'?";
        assert_eq!(failure.explain("select\n  amout"), expected);
    }

    #[test]
    fn a_place_outside_of_the_statement_is_not_marked() {
        for place in [Place { line: 0, column: 1 }, Place { line: 9, column: 1 }, Place { line: 1, column: 0 }] {
            assert_eq!(excerpt("select 1", place), None);
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_no_failure() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(matches!(failure, Failure::ReaderGone));
    }
}
