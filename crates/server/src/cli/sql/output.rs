//! Where results go, and in what form.

mod binary;
mod table;
mod text;

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use clap::ValueEnum;

use super::failure::Failure;

/// The form of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns, for people.
    Table,
    /// Comma-separated values with a header line.
    Csv,
    /// One array of objects.
    Json,
    /// One object a line.
    Ndjson,
    /// A Parquet file.
    Parquet,
    /// Arrow IPC: the stream format to a pipe, the file format with `-o`.
    Arrow,
    /// A Markdown table.
    Markdown,
}

impl Format {
    /// Whether a terminal can show it.
    pub(crate) fn is_text(self) -> bool {
        match self {
            Self::Table | Self::Csv | Self::Json | Self::Ndjson | Self::Markdown => true,
            Self::Parquet | Self::Arrow => false,
        }
    }

    /// What stands between two results, unless a person looks at them and sees the footers.
    fn between(self) -> &'static str {
        match self {
            Self::Table | Self::Csv | Self::Ndjson | Self::Markdown => "\n",
            // Each is a line.
            Self::Json => "",
            Self::Parquet | Self::Arrow => "",
        }
    }
}

/// How results are to look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    /// The form.
    pub(crate) format: Format,
    /// Tables show one column a line.
    pub(crate) expanded: bool,
}

/// Turns the batches of one result into bytes.
pub(crate) trait ResultWriter {
    /// Writes these rows.
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure>;

    /// Writes whatever ends the result.
    fn finish(self: Box<Self>) -> Result<(), Failure>;
}

/// Where results go.
#[derive(Debug)]
pub(crate) struct Output {
    sink: Sink,
    /// Results begun; a binary file holds one.
    results: usize,
}

#[derive(Debug)]
enum Sink {
    Stdout(BufWriter<io::Stdout>),
    File(PendingFile),
}

/// A file that takes its name only when it is whole.
#[derive(Debug)]
struct PendingFile {
    writer: BufWriter<File>,
    path: PathBuf,
    /// Absent for pipes and devices, which are written in place.
    staging: Option<PathBuf>,
}

impl Output {
    /// Standard output.
    pub(crate) fn stdout() -> Self {
        Self { sink: Sink::Stdout(BufWriter::new(io::stdout())), results: 0 }
    }

    /// A file, which appears under its name at [`Output::close`].
    pub(crate) fn file(path: &Path) -> Result<Self, Failure> {
        let in_place = path.exists() && !path.is_file();
        let staging = (!in_place).then(|| {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".part-{}", std::process::id()));
            PathBuf::from(name)
        });
        let file = match &staging {
            Some(staging) => File::create(staging),
            None => File::options().write(true).open(path),
        };
        let file = file.map_err(|error| Failure::Usage(format!("cannot write to '{}': {error}", path.display())))?;
        let pending = PendingFile { writer: BufWriter::new(file), path: path.to_owned(), staging };
        Ok(Self { sink: Sink::File(pending), results: 0 })
    }

    /// Whether a person looks at it.
    pub(crate) fn is_terminal(&self) -> bool {
        matches!(self.sink, Sink::Stdout(_)) && io::stdout().is_terminal()
    }

    /// Begins a result.
    pub(crate) fn begin(&mut self, schema: &SchemaRef, style: Style) -> Result<Box<dyn ResultWriter + '_>, Failure> {
        self.results += 1;
        if !style.format.is_text() && self.results > 1 {
            let message = "a Parquet or Arrow file holds one result; run one query, or choose a text format";
            return Err(Failure::Usage(message.to_owned()));
        }
        let width = self.is_terminal().then(terminal_width).flatten();
        let between = if self.results > 1 && !self.is_terminal() { style.format.between() } else { "" };
        let seekable = matches!(&self.sink, Sink::File(file) if file.staging.is_some());
        let out: &mut (dyn Write + Send) = match &mut self.sink {
            Sink::Stdout(writer) => writer,
            Sink::File(file) => &mut file.writer,
        };
        out.write_all(between.as_bytes())?;
        Ok(match style.format {
            Format::Table if style.expanded => Box::new(table::Table::expanded(out, schema)),
            Format::Table => Box::new(table::Table::new(out, schema, width)),
            Format::Markdown => Box::new(text::Markdown::new(out, schema)?),
            Format::Csv => Box::new(text::Csv::new(out, schema)?),
            Format::Json => Box::new(text::Json::new(out)),
            Format::Ndjson => Box::new(text::Ndjson::new(out)),
            Format::Parquet => Box::new(binary::Parquet::new(out, schema)?),
            Format::Arrow if seekable => Box::new(binary::ArrowFile::new(out, schema)?),
            Format::Arrow => Box::new(binary::ArrowStream::new(out, schema)?),
        })
    }

    /// Hands everything written so far to the system.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        match &mut self.sink {
            Sink::Stdout(writer) => writer.flush()?,
            Sink::File(file) => file.writer.flush()?,
        }
        Ok(())
    }

    /// Writes a line of text between results.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        match &mut self.sink {
            Sink::Stdout(writer) => writeln!(writer, "{text}")?,
            Sink::File(file) => writeln!(file.writer, "{text}")?,
        }
        self.flush()
    }

    /// Ends the output; a file takes its name. Without this, a file is removed.
    pub(crate) fn close(mut self) -> Result<(), Failure> {
        self.flush()?;
        if let Sink::File(file) = &mut self.sink
            && let Some(staging) = file.staging.take()
        {
            std::fs::rename(&staging, &file.path)?;
        }
        Ok(())
    }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        if let Some(staging) = &self.staging {
            let _ = std::fs::remove_file(staging);
        }
    }
}

/// Columns of the terminal behind standard output.
fn terminal_width() -> Option<usize> {
    console::Term::stdout().size_checked().map(|(_, columns)| usize::from(columns))
}

#[cfg(test)]
mod tests;
