//! Results as tables for people: aligned columns, or one column a line.

use std::borrow::Cow;
use std::io::Write;

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use console::measure_text_width;

use super::ResultWriter;
use crate::cli::sql::failure::Failure;

type Out<'w> = &'w mut (dyn Write + Send);

/// Rows that decide the widths of the columns; later rows stream, cut or ragged where they are wider.
const SAMPLE_ROWS: usize = 1_000;

/// No column is cut below this width to make a row fit.
const MIN_WIDTH: usize = 8;

/// Between two columns: ` | `.
const SEPARATOR_WIDTH: usize = 3;

/// One formatter a column, as people read values.
pub(super) fn formatters(batch: &RecordBatch) -> Result<Vec<ArrayFormatter<'_>>, ArrowError> {
    const OPTIONS: FormatOptions<'_> = FormatOptions::new()
        .with_null("NULL")
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
        .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f%:z"))
        .with_datetime_format(Some("%Y-%m-%d %H:%M:%S%.f"));
    batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &OPTIONS)).collect()
}

/// The text with control characters spelled out: they would break the lines, or drive the terminal.
fn printable(text: String) -> String {
    if text.chars().any(char::is_control) {
        text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
    } else {
        text
    }
}

/// Aligned columns.
pub(super) struct Table<'w> {
    out: Out<'w>,
    schema: SchemaRef,
    /// The width of the terminal, if there is one.
    terminal: Option<usize>,
    sample: Vec<Vec<String>>,
    /// Known once the sample is complete.
    widths: Option<Vec<usize>>,
}

impl<'w> Table<'w> {
    pub(super) fn new(out: Out<'w>, schema: &SchemaRef, terminal: Option<usize>) -> Self {
        Self { out, schema: SchemaRef::clone(schema), terminal, sample: Vec::new(), widths: None }
    }

    /// Decides the widths and prints what was held back for that.
    fn settle(&mut self) -> Result<&[usize], Failure> {
        let header: Vec<_> = self.schema.fields().iter().map(|field| printable(field.name().clone())).collect();
        let mut widths: Vec<_> = header.iter().map(|name| measure_text_width(name)).collect();
        for row in &self.sample {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(measure_text_width(cell));
            }
        }
        if let Some(terminal) = self.terminal {
            fit(&mut widths, terminal);
        }
        self.line(&widths, &header, |_| false)?;
        let rule: Vec<_> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
        writeln!(self.out, "{}", rule.join("+"))?;
        for row in std::mem::take(&mut self.sample) {
            self.row(&widths, &row)?;
        }
        Ok(self.widths.insert(widths))
    }

    fn row(&mut self, widths: &[usize], cells: &[String]) -> Result<(), Failure> {
        let schema = SchemaRef::clone(&self.schema);
        self.line(widths, cells, |column| schema.field(column).data_type().is_numeric())
    }

    fn line(&mut self, widths: &[usize], cells: &[String], right: impl Fn(usize) -> bool) -> Result<(), Failure> {
        let mut line = String::new();
        for (column, (cell, &width)) in cells.iter().zip(widths).enumerate() {
            line.push_str(if column == 0 { " " } else { " | " });
            let cell = self.cut(cell, width);
            let padding = " ".repeat(width.saturating_sub(measure_text_width(&cell)));
            let (left, right) = if right(column) { (&*padding, "") } else { ("", &*padding) };
            line.extend([left, &*cell, right]);
        }
        line.truncate(line.trim_end().len());
        Ok(writeln!(self.out, "{line}")?)
    }

    /// Only a terminal has a width to keep: what goes elsewhere stays whole.
    fn cut<'c>(&self, cell: &'c str, width: usize) -> Cow<'c, str> {
        match self.terminal {
            Some(_) => console::truncate_str(cell, width, "…"),
            None => Cow::Borrowed(cell),
        }
    }
}

/// Shrinks the widest columns, evenly, until a row fits into the terminal or no column may shrink further.
fn fit(widths: &mut [usize], terminal: usize) {
    let frame = widths.len() * SEPARATOR_WIDTH;
    let room = terminal.saturating_sub(frame);
    let used = |cap: usize, widths: &[usize]| widths.iter().map(|&width| width.min(cap)).sum::<usize>();
    let widest = widths.iter().copied().max().unwrap_or(0);
    let cap = (MIN_WIDTH..=widest).rev().find(|&cap| used(cap, widths) <= room).unwrap_or(MIN_WIDTH);
    for width in widths {
        *width = (*width).min(cap);
    }
}

impl ResultWriter for Table<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        let columns = formatters(batch)?;
        for row in 0..batch.num_rows() {
            let cells = columns.iter().map(|column| Ok(printable(column.value(row).try_to_string()?)));
            let cells = cells.collect::<Result<Vec<_>, ArrowError>>()?;
            match self.widths.take() {
                Some(widths) => {
                    self.row(&widths, &cells)?;
                    self.widths = Some(widths);
                }
                None => {
                    self.sample.push(cells);
                    if self.sample.len() == SAMPLE_ROWS {
                        self.settle()?;
                    }
                }
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), Failure> {
        if self.widths.is_none() {
            self.settle()?;
        }
        Ok(())
    }
}

/// One column a line.
pub(super) struct Expanded<'w> {
    out: Out<'w>,
    names: Vec<String>,
    rows: u64,
}

impl<'w> Expanded<'w> {
    pub(super) fn new(out: Out<'w>, schema: &SchemaRef) -> Self {
        let names: Vec<_> = schema.fields().iter().map(|field| printable(field.name().clone())).collect();
        let widest = names.iter().map(|name| measure_text_width(name)).max().unwrap_or(0);
        let pad = |name: String| format!("{name}{}", " ".repeat(widest - measure_text_width(&name)));
        Self { out, names: names.into_iter().map(pad).collect(), rows: 0 }
    }
}

impl ResultWriter for Expanded<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        let columns = formatters(batch)?;
        for row in 0..batch.num_rows() {
            self.rows += 1;
            writeln!(self.out, "-[ row {} ]-", self.rows)?;
            for (name, column) in self.names.iter().zip(&columns) {
                writeln!(self.out, "{name} | {}", printable(column.value(row).try_to_string()?))?;
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), Failure> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_columns_shrink_and_narrow_ones_stay() {
        let mut widths = [3, 100, 60];
        fit(&mut widths, 80);
        assert_eq!(widths, [3, 34, 34]);
        let mut narrow = [3, 4];
        fit(&mut narrow, 80);
        assert_eq!(narrow, [3, 4]);
    }

    #[test]
    fn a_terminal_too_small_still_shows_something_of_each_column() {
        let mut widths = [50; 20];
        fit(&mut widths, 40);
        assert_eq!(widths, [MIN_WIDTH; 20]);
    }

    #[test]
    fn data_cannot_drive_the_terminal() {
        assert_eq!(printable("a\n\u{1b}[2Jb".to_owned()), "a\\n\\u{1b}[2Jb");
    }
}
