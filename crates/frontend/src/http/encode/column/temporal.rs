//! Dates, times and spans in ISO 8601; timestamps in RFC 3339.
//!
//! Calendar arithmetic is on integers, so that every value of every unit has a text: years outside 0000..9999 are written
//! with a sign and all their digits, as ISO 8601 has it.

use std::io::{self, Write};

use arrow::array::timezone::Tz;
use arrow::datatypes::TimeUnit;
use chrono::{DateTime, Offset, TimeZone};
use tidemill_engine::{Error, ErrorKind, Result};

const SECONDS_A_DAY: i64 = 86_400;

/// How a second is divided.
#[derive(Debug, Clone, Copy)]
pub(super) struct Second {
    parts: i64,
    digits: usize,
}

impl Second {
    pub(super) const WHOLE: Self = Self { parts: 1, digits: 0 };
    pub(super) const MILLI: Self = Self { parts: 1_000, digits: 3 };
    pub(super) const MICRO: Self = Self { parts: 1_000_000, digits: 6 };
    pub(super) const NANO: Self = Self { parts: 1_000_000_000, digits: 9 };

    pub(super) fn of(unit: &TimeUnit) -> Self {
        match unit {
            TimeUnit::Second => Self::WHOLE,
            TimeUnit::Millisecond => Self::MILLI,
            TimeUnit::Microsecond => Self::MICRO,
            TimeUnit::Nanosecond => Self::NANO,
        }
    }
}

/// The zone of a column of timestamps.
#[derive(Debug, Clone, Copy)]
pub(super) enum Zone {
    Utc,
    Other(Tz),
}

impl Zone {
    pub(super) fn parse(name: &str) -> Result<Self> {
        if matches!(name, "UTC" | "Z" | "+00:00" | "Etc/UTC" | "GMT") {
            return Ok(Self::Utc);
        }
        name.parse().map(Self::Other).map_err(|cause| {
            Error::new(ErrorKind::Data, format!("'{name}' is not a time zone"))
                .hint("use an offset such as +02:00 or a name such as Europe/Berlin")
                .caused_by(cause)
        })
    }

    /// Seconds east of UTC at this instant; zero where RFC 3339 cannot say the offset (before standard time, zones differed
    /// from UTC by odd seconds) or the calendar of zones ends.
    fn offset(self, seconds: i64) -> i64 {
        let Self::Other(zone) = self else { return 0 };
        let Some(instant) = DateTime::from_timestamp(seconds, 0) else { return 0 };
        let offset = zone.offset_from_utc_datetime(&instant.naive_utc()).fix().local_minus_utc();
        if offset % 60 == 0 { offset.into() } else { 0 }
    }
}

/// Writes `YYYY-MM-DD` for days since 1970-01-01.
pub(super) fn date(days: i64, out: &mut Vec<u8>) -> io::Result<()> {
    // Days to civil date by eras of 400 years, each of which has 146,097 days and begins on a March 1.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    if (0..=9_999).contains(&year) {
        digits(year, 4, out);
    } else {
        write!(out, "{year:+05}")?;
    }
    out.push(b'-');
    digits(month, 2, out);
    out.push(b'-');
    digits(day, 2, out);
    Ok(())
}

/// Writes a date, and its time if there is one: `Date64` should hold whole days but need not.
pub(super) fn date_of_milliseconds(milliseconds: i64, out: &mut Vec<u8>) -> io::Result<()> {
    if milliseconds % (SECONDS_A_DAY * 1_000) == 0 {
        return date(milliseconds / (SECONDS_A_DAY * 1_000), out);
    }
    timestamp(milliseconds, Second::MILLI, None, out)
}

/// Writes `HH:MM:SS[.fraction]`.
pub(super) fn time(time: i64, second: Second, out: &mut Vec<u8>) -> io::Result<()> {
    if time < 0 {
        out.push(b'-');
    }
    let seconds = (time / second.parts).abs();
    clock(seconds, out);
    fraction((time % second.parts).abs(), second, out);
    Ok(())
}

/// Writes `YYYY-MM-DDTHH:MM:SS[.fraction]`, and the offset from UTC if the type has a zone.
pub(super) fn timestamp(time: i64, second: Second, zone: Option<Zone>, out: &mut Vec<u8>) -> io::Result<()> {
    let instant = time.div_euclid(second.parts);
    let offset = zone.map_or(0, |zone| zone.offset(instant));
    let local = instant + offset;
    date(local.div_euclid(SECONDS_A_DAY), out)?;
    out.push(b'T');
    clock(local.rem_euclid(SECONDS_A_DAY), out);
    fraction(time.rem_euclid(second.parts), second, out);
    if zone.is_none() {
        return Ok(());
    }
    if offset == 0 {
        out.push(b'Z');
        return Ok(());
    }
    out.push(if offset < 0 { b'-' } else { b'+' });
    let minutes = offset.abs() / 60;
    digits(minutes / 60, 2, out);
    out.push(b':');
    digits(minutes % 60, 2, out);
    Ok(())
}

/// Writes `P[n]Y[n]M[n]DT[n]H[n]M[n]S`, each part with its own sign, as PostgreSQL's `iso_8601` style does.
pub(super) fn interval(months: i32, days: i32, time: i64, second: Second, out: &mut Vec<u8>) -> io::Result<()> {
    if months == 0 && days == 0 && time == 0 {
        return out.write_all(b"PT0S");
    }
    out.push(b'P');
    part((months / 12).into(), b'Y', out)?;
    part((months % 12).into(), b'M', out)?;
    part(days.into(), b'D', out)?;
    if time == 0 {
        return Ok(());
    }
    out.push(b'T');
    let seconds = time / second.parts;
    part(seconds / 3_600, b'H', out)?;
    part(seconds % 3_600 / 60, b'M', out)?;
    let below_minute = time % (60 * second.parts);
    if below_minute == 0 {
        return Ok(());
    }
    if below_minute < 0 {
        out.push(b'-');
    }
    write!(out, "{}", (below_minute / second.parts).abs())?;
    trimmed_fraction((below_minute % second.parts).abs(), second, out);
    out.push(b'S');
    Ok(())
}

fn part(value: i64, letter: u8, out: &mut Vec<u8>) -> io::Result<()> {
    if value == 0 {
        return Ok(());
    }
    write!(out, "{value}")?;
    out.push(letter);
    Ok(())
}

fn clock(seconds: i64, out: &mut Vec<u8>) {
    digits(seconds / 3_600, 2, out);
    out.push(b':');
    digits(seconds / 60 % 60, 2, out);
    out.push(b':');
    digits(seconds % 60, 2, out);
}

/// Writes a fraction of a second in 3, 6 or 9 digits, the fewest that are exact; nothing for a whole second.
fn fraction(parts: i64, second: Second, out: &mut Vec<u8>) {
    if parts == 0 {
        return;
    }
    let (mut parts, mut width) = (parts, second.digits);
    while width > 3 && parts % 1_000 == 0 {
        parts /= 1_000;
        width -= 3;
    }
    out.push(b'.');
    digits(parts, width, out);
}

/// Writes a fraction of a second without trailing zeros.
fn trimmed_fraction(parts: i64, second: Second, out: &mut Vec<u8>) {
    if parts == 0 {
        return;
    }
    out.push(b'.');
    digits(parts, second.digits, out);
    while out.last() == Some(&b'0') {
        out.pop();
    }
}

/// Writes a number that is not negative, with zeros up to the width.
fn digits(mut value: i64, width: usize, out: &mut Vec<u8>) {
    let mut text = [b'0'; 20];
    let mut start = text.len();
    while value > 0 && start > 0 {
        start -= 1;
        // The remainder by ten fits a byte.
        text[start] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    let start = start.min(text.len() - width);
    out.extend_from_slice(&text[start..]);
}
