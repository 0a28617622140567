//! Intervals as PostgreSQL, DuckDB and the standard write them: `INTERVAL '1 day 02:03:04'`, `INTERVAL '1-2' YEAR TO MONTH`,
//! `INTERVAL 1 DAY` in a window frame, `INTERVAL (n) DAY`. DataFusion reads numbers with units only.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{BinaryOperator, DataType, DateTimeField, Expr, Interval, Value, VisitorMut};

use crate::plan::parameters::visit_inner;

/// Writes the intervals of a statement as numbers with units.
pub(in crate::plan) fn write_intervals(statement: &mut Statement) {
    // The visitor never breaks off.
    let _ = visit_inner(statement, &mut Intervals);
}

struct Intervals;

impl VisitorMut for Intervals {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Interval(interval) => {
                if let Some(product) = written(interval) {
                    *expr = product;
                }
            }
            Expr::Cast { expr, data_type: DataType::Interval { fields: None, .. }, .. } => {
                if let Some(text) = text_of(expr).and_then(|text| with_units(text, Fields::default())) {
                    **expr = Expr::value(Value::SingleQuotedString(text));
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Rewrites the interval; if its number is computed, gives the product that it is.
fn written(interval: &mut Interval) -> Option<Expr> {
    if let Some(text) = text_of(&interval.value) {
        let fields = Fields { first: interval.leading_field.as_ref(), last: interval.last_field.as_ref() };
        if let Some(text) = with_units(text, fields) {
            let value = Box::new(Expr::value(Value::SingleQuotedString(text)));
            *interval = Interval { value, ..empty() };
        }
        return None;
    }
    if let Expr::Value(value) = interval.value.as_mut()
        && let Value::Number(number, _) = &mut value.value
    {
        value.value = Value::SingleQuotedString(std::mem::take(number));
        return None;
    }
    let is_computed = match interval.value.as_ref() {
        Expr::Value(value) => matches!(value.value, Value::Placeholder(_)),
        // DataFusion reads signs and sums.
        Expr::UnaryOp { .. } | Expr::BinaryOp { .. } => false,
        _ => true,
    };
    if !is_computed || interval.leading_field.is_none() {
        return None;
    }
    let Interval { value: number, leading_field, .. } = std::mem::replace(interval, empty());
    let one = Box::new(Expr::value(Value::SingleQuotedString("1".to_owned())));
    let unit = Box::new(Expr::Interval(Interval { value: one, leading_field, ..empty() }));
    let product = Expr::BinaryOp { left: number, op: BinaryOperator::Multiply, right: unit };
    Some(Expr::Nested(Box::new(product)))
}

fn empty() -> Interval {
    Interval {
        value: Box::new(Expr::value(Value::Null)),
        leading_field: None,
        leading_precision: None,
        last_field: None,
        fractional_seconds_precision: None,
    }
}

fn text_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// What is written behind the text: `HOUR TO MINUTE`.
#[derive(Debug, Clone, Copy, Default)]
struct Fields<'a> {
    first: Option<&'a DateTimeField>,
    last: Option<&'a DateTimeField>,
}

impl Fields<'_> {
    /// The units of so many numbers with colons between them. What is finer than the last field would be lost.
    fn of_time(self, numbers: usize) -> Option<&'static [&'static str]> {
        use DateTimeField::{Day, Hour, Minute, Second};
        match (self.first, self.last, numbers) {
            (None, None, 2) | (Some(Day | Hour), Some(Minute | Second), 2) => Some(&["hours", "minutes"]),
            (Some(Minute), Some(Second), 2) => Some(&["minutes", "seconds"]),
            (None, None, 3) | (Some(Day | Hour | Minute), Some(Second), 3) => Some(&["hours", "minutes", "seconds"]),
            _ => None,
        }
    }
}

/// The interval with a unit behind each number, if there is a time `h:m[:s]` in it, or if it is a `y-m`.
fn with_units(text: &str, fields: Fields<'_>) -> Option<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (time, before) = words.split_last()?;
    if let Fields { first: Some(DateTimeField::Year), last: Some(DateTimeField::Month) } = fields {
        return before.is_empty().then(|| year_to_month(time))?;
    }
    let time = time_with_units(time, fields)?;
    let days = match before {
        // `INTERVAL '1 02:03:04'`.
        [.., number] if is_number(number) => " days",
        _ => "",
    };
    let before = before.join(" ");
    Some(if before.is_empty() { time } else { format!("{before}{days} {time}") })
}

fn year_to_month(word: &str) -> Option<String> {
    let (sign, word) = signed(word);
    let (years, months) = word.split_once('-')?;
    (is_number(years) && is_number(months)).then(|| format!("{sign}{years} years {sign}{months} months"))
}

fn time_with_units(word: &str, fields: Fields<'_>) -> Option<String> {
    let (sign, word) = signed(word);
    let numbers: Vec<&str> = word.split(':').collect();
    let units = fields.of_time(numbers.len())?;
    let with_unit = |(number, unit): (&&str, &&str)| {
        let whole =
            if *unit == "seconds" { number.split_once('.').map_or(*number, |(whole, _)| whole) } else { number };
        let fraction = number.get(whole.len() + 1..).unwrap_or("0");
        let is_unsigned = [whole, fraction].iter().all(|part| signed(part).1 == *part && is_number(part));
        is_unsigned.then(|| format!("{sign}{number} {unit}"))
    };
    let numbers: Option<Vec<String>> = numbers.iter().zip(units).map(with_unit).collect();
    Some(numbers?.join(" "))
}

fn signed(word: &str) -> (&str, &str) {
    match word.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", word.strip_prefix('+').unwrap_or(word)),
    }
}

fn is_number(word: &str) -> bool {
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_months_get_units() {
        for (text, same) in [
            ("1 day 02:03:04.5", Some("1 day 02 hours 03 minutes 04.5 seconds")),
            ("-01:30", Some("-01 hours -30 minutes")),
            ("2 10:00:00", Some("2 days 10 hours 00 minutes 00 seconds")),
            ("1 day", None),
            ("1 day a:b", None),
            ("1:-2", None),
            ("1:2.5", None),
            ("1:2:3.", None),
            ("1:2:3:4", None),
            ("", None),
        ] {
            assert_eq!(with_units(text, Fields::default()).as_deref(), same, "{text}");
        }
    }

    #[test]
    fn fields_say_which_numbers_are_written() {
        use DateTimeField::{Day, Hour, Minute, Month, Second, Year};
        for (text, first, last, same) in [
            ("10:20", Minute, Second, Some("10 minutes 20 seconds")),
            ("1 10:20", Day, Minute, Some("1 days 10 hours 20 minutes")),
            ("10:20:30", Hour, Minute, None),
            ("-1-2", Year, Month, Some("-1 years -2 months")),
            ("14", Year, Month, None),
        ] {
            let fields = Fields { first: Some(&first), last: Some(&last) };
            assert_eq!(with_units(text, fields).as_deref(), same, "{text}");
        }
    }
}
