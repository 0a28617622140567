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

/// The text with control characters spelled out, which would drive the terminal. Only lines stay lines.
fn printable(text: String) -> String {
    let spelled = |c: char| c.is_control() && c != '\n';
    if text.chars().any(spelled) {
        text.chars().map(|c| if spelled(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
    } else {
        text
    }
}

/// The name of a column, on one line.
fn title(name: &str) -> String {
    printable(name.replace('\n', "\\n"))
}

/// The width of the widest line.
fn width_of(cell: &str) -> usize {
    cell.split('\n').map(measure_text_width).max().unwrap_or(0)
}

/// How rows are laid out.
enum Layout {
    /// Columns of these widths.
    Aligned(Vec<usize>),
    /// One column a line, after its name, which is padded.
    Expanded(Vec<String>),
}

/// A table: aligned columns, or one column a line where that is asked for or nothing else fits into the terminal.
pub(super) struct Table<'w> {
    out: Out<'w>,
    schema: SchemaRef,
    /// The width of the terminal, if there is one.
    terminal: Option<usize>,
    /// Rows held back until the layout is known.
    sample: Vec<Vec<String>>,
    layout: Option<Layout>,
    /// Rows written.
    rows: u64,
}

impl<'w> Table<'w> {
    pub(super) fn new(out: Out<'w>, schema: &SchemaRef, terminal: Option<usize>) -> Self {
        Self { out, schema: SchemaRef::clone(schema), terminal, sample: Vec::new(), layout: None, rows: 0 }
    }

    /// One column a line.
    pub(super) fn expanded(out: Out<'w>, schema: &SchemaRef) -> Self {
        Self { layout: Some(expanded(schema)), ..Self::new(out, schema, None) }
    }

    /// Decides the layout and prints what was held back for that.
    fn settle(&mut self) -> Result<(), Failure> {
        let header: Vec<_> = self.schema.fields().iter().map(|field| title(field.name())).collect();
        let mut widths: Vec<_> = header.iter().map(|name| measure_text_width(name)).collect();
        for row in &self.sample {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(width_of(cell));
            }
        }
        let fits = self.terminal.is_none_or(|terminal| fit(&mut widths, terminal));
        let layout = if fits || self.sample.is_empty() {
            self.lines(&widths, &header, |_| false)?;
            let rule: Vec<_> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
            writeln!(self.out, "{}", rule.join("+"))?;
            Layout::Aligned(widths)
        } else {
            expanded(&self.schema)
        };
        for row in std::mem::take(&mut self.sample) {
            self.row(&layout, &row)?;
        }
        self.layout = Some(layout);
        Ok(())
    }

    fn row(&mut self, layout: &Layout, cells: &[String]) -> Result<(), Failure> {
        self.rows += 1;
        match layout {
            Layout::Aligned(widths) => {
                let schema = SchemaRef::clone(&self.schema);
                self.lines(widths, cells, |column| schema.field(column).data_type().is_numeric())
            }
            Layout::Expanded(names) => {
                writeln!(self.out, "-[ row {} ]-", self.rows)?;
                names.iter().zip(cells).try_for_each(|(name, cell)| {
                    let below = format!("\n{} | ", " ".repeat(measure_text_width(name)));
                    Ok(writeln!(self.out, "{name} | {}", cell.replace('\n', &below))?)
                })
            }
        }
    }

    /// A row, on as many lines as its highest cell has; a `+` says that the cell goes on in the next one.
    fn lines(&mut self, widths: &[usize], cells: &[String], right: impl Fn(usize) -> bool) -> Result<(), Failure> {
        let mut columns: Vec<_> = cells.iter().map(|cell| cell.split('\n').peekable()).collect();
        while columns.iter_mut().any(|lines| lines.peek().is_some()) {
            let line = columns.iter_mut().map(|lines| (lines.next().unwrap_or_default(), lines.peek().is_some()));
            let line: Vec<_> = line.collect();
            self.line(widths, &line, &right)?;
        }
        Ok(())
    }

    fn line(&mut self, widths: &[usize], cells: &[(&str, bool)], right: impl Fn(usize) -> bool) -> Result<(), Failure> {
        let mut line = String::new();
        for (column, ((cell, goes_on), &width)) in cells.iter().zip(widths).enumerate() {
            line.push_str(if column == 0 { " " } else { "| " });
            let cell = self.cut(cell, width);
            let padding = " ".repeat(width.saturating_sub(measure_text_width(&cell)));
            let (left, right) = if right(column) { (&*padding, "") } else { ("", &*padding) };
            line.extend([left, &*cell, right, if *goes_on { "+" } else { " " }]);
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

/// The layout of one column a line.
fn expanded(schema: &SchemaRef) -> Layout {
    let names: Vec<_> = schema.fields().iter().map(|field| title(field.name())).collect();
    let widest = names.iter().map(|name| measure_text_width(name)).max().unwrap_or(0);
    let pad = |name: String| format!("{name}{}", " ".repeat(widest - measure_text_width(&name)));
    Layout::Expanded(names.into_iter().map(pad).collect())
}

/// Shrinks the widest columns, evenly, until a row fits into the terminal, and tells whether it does: no column shrinks
/// below a width at which it still says something.
fn fit(widths: &mut [usize], terminal: usize) -> bool {
    let frame = widths.len() * SEPARATOR_WIDTH;
    let room = terminal.saturating_sub(frame);
    let used = |cap: usize, widths: &[usize]| widths.iter().map(|&width| width.min(cap)).sum::<usize>();
    let widest = widths.iter().copied().max().unwrap_or(0);
    let cap = (MIN_WIDTH..=widest).rev().find(|&cap| used(cap, widths) <= room).unwrap_or(MIN_WIDTH);
    for width in &mut *widths {
        *width = (*width).min(cap);
    }
    used(cap, widths) <= room
}

impl ResultWriter for Table<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        let columns = formatters(batch)?;
        for row in 0..batch.num_rows() {
            let cells = columns.iter().map(|column| Ok(printable(column.value(row).try_to_string()?)));
            let cells = cells.collect::<Result<Vec<_>, ArrowError>>()?;
            if let Some(layout) = self.layout.take() {
                self.row(&layout, &cells)?;
                self.layout = Some(layout);
                continue;
            }
            self.sample.push(cells);
            if self.sample.len() == SAMPLE_ROWS {
                self.settle()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), Failure> {
        if self.layout.is_none() {
            self.settle()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array, StringArray};

    use super::*;

    #[test]
    fn wide_columns_shrink_and_narrow_ones_stay() {
        let mut widths = [3, 100, 60];
        assert!(fit(&mut widths, 80));
        assert_eq!(widths, [3, 34, 34]);
        let mut narrow = [3, 4];
        assert!(fit(&mut narrow, 80));
        assert_eq!(narrow, [3, 4]);
    }

    #[test]
    fn rows_too_wide_for_the_terminal_get_one_line_a_column() {
        let columns =
            (0..20).map(|column| (format!("column_{column}"), Arc::new(Int32Array::from(vec![7])) as ArrayRef));
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut out = Vec::new();
        let mut table = Box::new(Table::new(&mut out, &batch.schema(), Some(40)));
        table.write(&batch).unwrap();
        table.finish().unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("-[ row 1 ]-\ncolumn_0  | 7\n"), "{text}");
        assert_eq!(text.lines().count(), 21);
    }

    #[test]
    fn data_cannot_drive_the_terminal() {
        assert_eq!(printable("a\r\u{1b}[2Jb".to_owned()), "a\\r\\u{1b}[2Jb");
        assert_eq!(title("a\nb"), "a\\nb");
    }

    #[test]
    fn a_text_of_several_lines_stays_in_its_column() {
        let kinds: ArrayRef = Arc::new(StringArray::from(vec!["logical", "physical"]));
        let plans: ArrayRef = Arc::new(StringArray::from(vec!["Sort\n  Scan", "SortExec"]));
        let batch = RecordBatch::try_from_iter([("kind", kinds), ("plan", plans)]).unwrap();
        let printed = |expanded: bool| {
            let (mut out, schema) = (Vec::new(), batch.schema());
            let table = if expanded { Table::expanded(&mut out, &schema) } else { Table::new(&mut out, &schema, None) };
            let mut table = Box::new(table);
            table.write(&batch).unwrap();
            table.finish().unwrap();
            String::from_utf8(out).unwrap()
        };
        let aligned = " kind     | plan\n----------+----------\n logical  | Sort    +\n          |   Scan\n physical | SortExec\n";
        assert_eq!(printed(false), aligned);
        assert!(printed(true).starts_with("-[ row 1 ]-\nkind | logical\nplan | Sort\n     |   Scan\n"));
    }
}
