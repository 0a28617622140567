//! A template of PostgreSQL, read, and what it writes of a moment.

use std::fmt::{self, Write};

use chrono::{Datelike, NaiveDateTime, Timelike, Weekday};
use datafusion::common::plan_err;
use datafusion::error::Result;

/// A moment where it is told.
pub(super) struct Moment<'a> {
    local: NaiveDateTime,
    /// The offset as `+02:00`, and the name of the zone.
    zone: Option<(String, &'a str)>,
}

impl<'a> Moment<'a> {
    pub(super) fn at(local: NaiveDateTime, zone: Option<(String, &'a str)>) -> Self {
        Self { local, zone }
    }
}

/// The parts of a template in their order.
#[derive(Debug)]
pub(super) struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field {
        field: Field,
        letters: Letters,
        /// `FM`: without blanks and zeros that fill up.
        is_bare: bool,
    },
}

/// How names are written, as the field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Letters {
    Upper,
    Lower,
    Capital,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Year,
    YearOfCentury,
    IsoYear,
    Quarter,
    Month,
    MonthName,
    MonthShort,
    WeekOfYear,
    IsoWeek,
    DayOfYear,
    Day,
    DayName,
    DayShort,
    DayOfWeek,
    IsoDayOfWeek,
    Hour24,
    Hour12,
    Minute,
    Second,
    Milliseconds,
    Microseconds,
    HalfOfDay,
    Zone,
    Offset,
}

/// The words of templates; of two that fit, the longer one comes first.
const WORDS: &[(&str, Field)] = &[
    ("MONTH", Field::MonthName),
    ("YYYY", Field::Year),
    ("IYYY", Field::IsoYear),
    ("HH24", Field::Hour24),
    ("HH12", Field::Hour12),
    ("DDD", Field::DayOfYear),
    ("DAY", Field::DayName),
    ("MON", Field::MonthShort),
    ("YY", Field::YearOfCentury),
    ("MM", Field::Month),
    ("MI", Field::Minute),
    ("MS", Field::Milliseconds),
    ("US", Field::Microseconds),
    ("DD", Field::Day),
    ("DY", Field::DayShort),
    ("HH", Field::Hour12),
    ("SS", Field::Second),
    ("AM", Field::HalfOfDay),
    ("PM", Field::HalfOfDay),
    ("TZ", Field::Zone),
    ("OF", Field::Offset),
    ("WW", Field::WeekOfYear),
    ("IW", Field::IsoWeek),
    ("ID", Field::IsoDayOfWeek),
    ("Q", Field::Quarter),
    ("D", Field::DayOfWeek),
];

impl Template {
    /// # Errors
    /// For a letter that is part of no field and stands in no quotes.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        let mut is_bare = false;
        while let Some(next) = rest.chars().next() {
            if let Some(behind) = strip_word(rest, "FM") {
                is_bare = true;
                rest = behind;
                continue;
            }
            let field = WORDS.iter().find_map(|(word, field)| Some((*field, strip_word(rest, word)?)));
            if let Some((field, behind)) = field {
                let letters = letters(rest.get(..rest.len() - behind.len()).unwrap_or_default());
                parts.push(Part::Field { field, letters, is_bare: std::mem::take(&mut is_bare) });
                rest = behind;
                continue;
            }
            let behind = rest.get(next.len_utf8()..).unwrap_or_default();
            rest = match next {
                '"' => {
                    let (quoted, behind) = behind.split_once('"').unwrap_or((behind, ""));
                    parts.push(Part::Text(quoted.to_owned()));
                    behind
                }
                next if next.is_ascii_alphabetic() => {
                    return plan_err!(
                        "the template '{text}' has no field at '{rest}': fields are YYYY, YY, IYYY, Q, MM, Month, Mon, WW, IW, \
                         DDD, DD, Day, Dy, D, ID, HH24, HH12, MI, SS, MS, US, AM, TZ, OF; other letters stand in double quotes, \
                         and a pattern such as '%Y-%m-%d' is one of strftime"
                    );
                }
                next => {
                    parts.push(Part::Text(next.to_string()));
                    behind
                }
            };
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// What it would write.
    pub(super) fn write(&self, moment: &Moment<'_>, out: &mut String) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Field { field, letters, is_bare } => field.write(moment, *letters, *is_bare, out),
            }
        }
    }

    /// The same for the functions that read, which know the patterns of `strftime`.
    pub(super) fn for_reading(&self, text: &str) -> Result<String> {
        let mut pattern = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => pattern.push_str(&text.replace('%', "%%")),
                Part::Field { field, .. } => match field.specifier() {
                    Some(specifier) => pattern.push_str(specifier),
                    None => return plan_err!("the template '{text}' has a field that can only be written"),
                },
            }
        }
        Ok(pattern)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.text)
    }
}

fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (start, behind) = text.split_at_checked(word.len())?;
    start.eq_ignore_ascii_case(word).then_some(behind)
}

fn letters(word: &str) -> Letters {
    let mut lower = word.chars().map(|letter| letter.is_ascii_lowercase());
    match (lower.next(), lower.next()) {
        (Some(true), _) => Letters::Lower,
        (_, Some(true)) => Letters::Capital,
        _ => Letters::Upper,
    }
}

impl Field {
    fn write(self, moment: &Moment<'_>, letters: Letters, is_bare: bool, out: &mut String) {
        let local = &moment.local;
        let mut number = |value: i64, width: usize| {
            let width = if is_bare { 0 } else { width };
            // Writing to a text does not fail.
            let _ = write!(out, "{value:0width$}");
        };
        match self {
            Self::Year => number(local.year().into(), 4),
            Self::YearOfCentury => number(local.year().rem_euclid(100).into(), 2),
            Self::IsoYear => number(local.iso_week().year().into(), 4),
            Self::Quarter => number(local.quarter().into(), 1),
            Self::Month => number(local.month().into(), 2),
            Self::WeekOfYear => number((local.ordinal0() / 7 + 1).into(), 2),
            Self::IsoWeek => number(local.iso_week().week().into(), 2),
            Self::DayOfYear => number(local.ordinal().into(), 3),
            Self::Day => number(local.day().into(), 2),
            Self::DayOfWeek => number(local.weekday().number_from_sunday().into(), 1),
            Self::IsoDayOfWeek => number(local.weekday().number_from_monday().into(), 1),
            Self::Hour24 => number(local.hour().into(), 2),
            Self::Hour12 => number(local.hour12().1.into(), 2),
            Self::Minute => number(local.minute().into(), 2),
            Self::Second => number(local.second().into(), 2),
            Self::Milliseconds => number((local.nanosecond() / 1_000_000).into(), 3),
            Self::Microseconds => number((local.nanosecond() / 1_000).into(), 6),
            Self::MonthName => name(month(local.month()), letters, is_bare, out),
            Self::MonthShort => name(month(local.month()).get(..3).unwrap_or_default(), letters, true, out),
            Self::DayName => name(day(local.weekday()), letters, is_bare, out),
            Self::DayShort => name(day(local.weekday()).get(..3).unwrap_or_default(), letters, true, out),
            Self::HalfOfDay => out.push_str(match (local.hour12().0, letters) {
                (false, Letters::Upper) => "AM",
                (true, Letters::Upper) => "PM",
                (false, _) => "am",
                (true, _) => "pm",
            }),
            Self::Zone => match &moment.zone {
                Some((_, name)) if name.eq_ignore_ascii_case("UTC") => out.push_str("UTC"),
                Some((offset, _)) => out.push_str(offset),
                None => {}
            },
            Self::Offset => {
                let offset = moment.zone.as_ref().map_or("+00", |(offset, _)| offset.as_str());
                out.push_str(offset.strip_suffix(":00").unwrap_or(offset));
            }
        }
    }

    /// What reads it in a pattern of `strftime`.
    fn specifier(self) -> Option<&'static str> {
        Some(match self {
            Self::Year => "%Y",
            Self::YearOfCentury => "%y",
            Self::IsoYear => "%G",
            Self::Month => "%m",
            Self::MonthName | Self::MonthShort => "%b",
            Self::IsoWeek => "%V",
            Self::DayOfYear => "%j",
            Self::Day => "%d",
            Self::DayName | Self::DayShort => "%a",
            Self::IsoDayOfWeek => "%u",
            Self::Hour24 => "%H",
            Self::Hour12 => "%I",
            Self::Minute => "%M",
            Self::Second => "%S",
            Self::Milliseconds => "%3f",
            Self::Microseconds => "%6f",
            Self::HalfOfDay => "%p",
            Self::Offset => "%z",
            Self::Quarter | Self::WeekOfYear | Self::DayOfWeek | Self::Zone => return None,
        })
    }
}

/// Names are filled up to the longest one.
fn name(name: &str, letters: Letters, is_bare: bool, out: &mut String) {
    let width = if is_bare { 0 } else { 9 };
    let _ = match letters {
        Letters::Upper => write!(out, "{:width$}", name.to_uppercase()),
        Letters::Lower => write!(out, "{:width$}", name.to_lowercase()),
        Letters::Capital => write!(out, "{name:width$}"),
    };
}

fn month(number: u32) -> &'static str {
    const NAMES: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    usize::try_from(number).ok().and_then(|number| NAMES.get(number.checked_sub(1)?)).copied().unwrap_or_default()
}

fn day(weekday: Weekday) -> &'static str {
    match weekday {
        Weekday::Mon => "Monday",
        Weekday::Tue => "Tuesday",
        Weekday::Wed => "Wednesday",
        Weekday::Thu => "Thursday",
        Weekday::Fri => "Friday",
        Weekday::Sat => "Saturday",
        Weekday::Sun => "Sunday",
    }
}
