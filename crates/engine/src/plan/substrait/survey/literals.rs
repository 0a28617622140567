//! The literals of a plan. Reading cuts numbers that do not fit and times finer than it holds, and panics on what is
//! incomplete: all of that is refused before.

use std::mem::discriminant;

use datafusion_substrait::substrait::proto::expression::Literal;
use datafusion_substrait::substrait::proto::expression::literal::interval_day_to_second::PrecisionMode;
use datafusion_substrait::substrait::proto::expression::literal::user_defined::TypeAnchorType;
use datafusion_substrait::substrait::proto::expression::literal::{
    Decimal, IntervalCompound, IntervalDayToSecond, IntervalYearToMonth, LiteralType, Map, PrecisionTime,
    PrecisionTimestamp,
};

use super::Survey;
use super::types::{decimal_of, precise, time_variation};
use crate::error::Result;
use crate::plan::substrait::{malformed, unsupported};

const MILLISECONDS: i32 = 3;
const MICROSECONDS: i32 = 6;
const NANOSECONDS: i32 = 9;
const DECIMAL_DIGITS: i32 = 38;
const DECIMAL_BYTES: usize = 16;
const SECONDS_OF_A_DAY: i64 = 86_400;

impl Survey<'_> {
    pub(super) fn literal(&self, literal: &mut Literal) -> Result<()> {
        let Some(kind) = literal.literal_type.as_mut() else { return Err(malformed("a literal is of no kind")) };
        if !self.declarations.by_datafusion {
            renew(kind);
        }
        let variation = &mut literal.type_variation_reference;
        match kind {
            LiteralType::I8(number) => small(*number, 8, *variation)?,
            LiteralType::I16(number) => small(*number, 16, *variation)?,
            LiteralType::Decimal(number) => decimal(number)?,
            LiteralType::PrecisionTime(time) => {
                time_of_day(*time)?;
                *variation = time_variation(time.precision);
            }
            LiteralType::PrecisionTimestamp(timestamp) => precise(timestamp.precision, "a precision_timestamp")?,
            LiteralType::PrecisionTimestampTz(timestamp) => precise(timestamp.precision, "a precision_timestamp_tz")?,
            LiteralType::IntervalYearToMonth(interval) => months(*interval)?,
            LiteralType::IntervalDayToSecond(interval) => milliseconds(*interval)?,
            LiteralType::IntervalCompound(interval) => compound(*interval)?,
            LiteralType::List(list) => {
                list.values.iter_mut().try_for_each(|item| self.literal(item))?;
                alike(list.values.iter(), "list")?;
            }
            LiteralType::Map(map) => self.map(map)?,
            LiteralType::Struct(fields) => fields.fields.iter_mut().try_for_each(|field| self.literal(field))?,
            LiteralType::Null(of) => self.data_type(of)?,
            LiteralType::EmptyList(of) => self.some_type(of.r#type.as_deref_mut(), "the item of a list")?,
            LiteralType::EmptyMap(of) => {
                self.some_type(of.key.as_deref_mut(), "the key of a map")?;
                self.some_type(of.value.as_deref_mut(), "the value of a map")?;
            }
            LiteralType::UserDefined(own) => match own.type_anchor_type {
                Some(TypeAnchorType::TypeReference(anchor)) => self.own_type(anchor)?,
                Some(TypeAnchorType::TypeAliasReference(_)) => return Err(unsupported("the alias of a type")),
                None => return Err(malformed("a literal of a user-defined type does not say of which")),
            },
            LiteralType::Uuid(_) => {
                return Err(unsupported("a literal of the type uuid").hint("send it as text or as fixed_binary"));
            }
            _ => {}
        }
        no_unknown_variation(kind, *variation)
    }

    fn map(&self, map: &mut Map) -> Result<()> {
        for pair in &mut map.key_values {
            let key = pair.key.as_mut().ok_or_else(|| malformed("an entry of a map has no key"))?;
            self.literal(key)?;
            if matches!(key.literal_type, Some(LiteralType::Null(_))) {
                return Err(malformed("a key of a map is NULL"));
            }
            self.literal(pair.value.as_mut().ok_or_else(|| malformed("an entry of a map has no value"))?)?;
        }
        alike(map.key_values.iter().filter_map(|pair| pair.key.as_ref()), "map")?;
        alike(map.key_values.iter().filter_map(|pair| pair.value.as_ref()), "map")
    }
}

/// Puts literals that newer ones replaced, or that have the same meaning as others, into the form that is read.
fn renew(kind: &mut LiteralType) {
    let micros = |value| PrecisionTimestamp { precision: MICROSECONDS, value };
    #[expect(deprecated, reason = "older producers send them")]
    let newer = match kind {
        LiteralType::Timestamp(value) => LiteralType::PrecisionTimestamp(micros(*value)),
        LiteralType::TimestampTz(value) => LiteralType::PrecisionTimestampTz(micros(*value)),
        LiteralType::Time(value) => {
            LiteralType::PrecisionTime(PrecisionTime { precision: MICROSECONDS, value: *value })
        }
        LiteralType::VarChar(text) => LiteralType::FixedChar(std::mem::take(&mut text.value)),
        _ => return,
    };
    *kind = newer;
}

/// Checks an integer that travels in more bits than it has; as DataFusion's variation 1, it has no sign.
fn small(number: i32, bits: u32, variation: u32) -> Result<()> {
    let (least, beyond) = if variation == 0 { (-(1 << (bits - 1)), 1 << (bits - 1)) } else { (0, 1 << bits) };
    if (least..beyond).contains(&number) {
        return Ok(());
    }
    Err(malformed(format!("a literal of the type i{bits} is {number}")))
}

fn decimal(decimal: &Decimal) -> Result<()> {
    decimal_of(decimal.precision, decimal.scale, DECIMAL_DIGITS)?;
    let bytes = decimal.value.len();
    let Ok(value) = <[u8; DECIMAL_BYTES]>::try_from(decimal.value.as_slice()) else {
        return Err(malformed(format!("a decimal literal has {bytes} bytes in the place of {DECIMAL_BYTES}")));
    };
    let beyond = u32::try_from(decimal.precision).ok().and_then(|digits| 10_u128.checked_pow(digits));
    if beyond.is_some_and(|beyond| i128::from_le_bytes(value).unsigned_abs() >= beyond) {
        let (precision, scale) = (decimal.precision, decimal.scale);
        return Err(malformed(format!(
            "a decimal literal has more digits than its type, decimal({precision}, {scale})"
        )));
    }
    Ok(())
}

fn time_of_day(time: PrecisionTime) -> Result<()> {
    precise(time.precision, "a precision_time")?;
    let units = 10_i64.pow(time.precision.unsigned_abs());
    if (0..SECONDS_OF_A_DAY * units).contains(&time.value) {
        return Ok(());
    }
    let (value, precision) = (time.value, time.precision);
    Err(malformed(format!("a precision_time literal is {value} of precision {precision}, which is not within a day")))
}

fn months(interval: IntervalYearToMonth) -> Result<()> {
    let months = interval.years.checked_mul(12).and_then(|months| months.checked_add(interval.months));
    months.map(drop).ok_or_else(|| malformed(format!("an interval of {} years is too long", interval.years)))
}

/// DataFusion holds it as days and milliseconds.
fn milliseconds(interval: IntervalDayToSecond) -> Result<()> {
    let too_long = || malformed(format!("an interval of {} seconds is too long", interval.seconds));
    let (precision, fraction) = match interval.precision_mode {
        #[expect(deprecated, reason = "older producers send it")]
        Some(PrecisionMode::Microseconds(micros)) => (MICROSECONDS, i64::from(micros)),
        Some(PrecisionMode::Precision(precision)) => {
            precise(precision, "an interval_day_to_second")?;
            (precision, interval.subseconds)
        }
        None if interval.subseconds == 0 => (0, 0),
        None => return Err(malformed("an interval_day_to_second has subseconds, but no precision")),
    };
    let fraction = if precision <= MILLISECONDS {
        fraction.checked_mul(10_i64.pow((MILLISECONDS - precision).unsigned_abs())).ok_or_else(too_long)?
    } else {
        let units = 10_i64.pow((precision - MILLISECONDS).unsigned_abs());
        if fraction % units != 0 {
            return Err(unsupported("an interval_day_to_second finer than milliseconds")
                .hint("send it as an interval_compound"));
        }
        fraction / units
    };
    let whole = i64::from(interval.seconds) * 1000;
    let fits = whole.checked_add(fraction).is_some_and(|all| i32::try_from(all).is_ok());
    // Each part is computed for itself.
    let fits = fits && i32::try_from(whole).is_ok() && i32::try_from(fraction).is_ok();
    if fits { Ok(()) } else { Err(too_long().hint("send whole days as days")) }
}

/// DataFusion holds it as months, days and nanoseconds.
fn compound(interval: IntervalCompound) -> Result<()> {
    let (Some(year_to_month), Some(day_to_second)) = (interval.interval_year_to_month, interval.interval_day_to_second)
    else {
        return Err(malformed("an interval_compound needs both of its parts"));
    };
    months(year_to_month)?;
    let Some(PrecisionMode::Precision(precision @ 0..=NANOSECONDS)) = day_to_second.precision_mode else {
        return Err(malformed("an interval_compound needs a precision of 0 to 9"));
    };
    let fraction = day_to_second.subseconds.checked_mul(10_i64.pow((NANOSECONDS - precision).unsigned_abs()));
    let whole = i64::from(day_to_second.seconds) * 10_i64.pow(NANOSECONDS.unsigned_abs());
    let nanoseconds = fraction.and_then(|fraction| whole.checked_add(fraction));
    nanoseconds.map(drop).ok_or_else(|| {
        malformed(format!("an interval of {} seconds and its fraction is too long", day_to_second.seconds))
    })
}

/// Checks that there are items, and that they are of one kind: what they hold is told from the first.
fn alike<'a>(mut items: impl Iterator<Item = &'a Literal>, of: &str) -> Result<()> {
    let kind = |item: &Literal| match item.literal_type.as_ref() {
        // Of which type, is within it.
        Some(LiteralType::Null(_)) | None => None,
        Some(kind) => Some((discriminant(kind), item.type_variation_reference)),
    };
    let Some(first) = items.next() else {
        return Err(malformed(format!("a {of} literal is empty"))
            .hint("an empty one says its type, as empty_list or empty_map"));
    };
    let mut first = kind(first);
    for item in items {
        match (first, kind(item)) {
            (Some(one), Some(other)) if one != other => {
                return Err(malformed(format!("the items of a {of} literal are of several types")));
            }
            (None, other) => first = other,
            _ => {}
        }
    }
    Ok(())
}

/// Variations of a type are DataFusion's: unsigned integers, text and lists in other forms.
fn no_unknown_variation(kind: &LiteralType, given: u32) -> Result<()> {
    let (name, last) = match kind {
        LiteralType::I8(_) => ("i8", 1),
        LiteralType::I16(_) => ("i16", 1),
        LiteralType::I32(_) => ("i32", 1),
        LiteralType::I64(_) => ("i64", 1),
        LiteralType::String(_) => ("string", 2),
        LiteralType::Binary(_) => ("binary", 2),
        LiteralType::List(_) | LiteralType::EmptyList(_) => ("list", 1),
        #[expect(deprecated, reason = "older versions of DataFusion send it")]
        LiteralType::Timestamp(_) => ("timestamp", 3),
        _ => return Ok(()),
    };
    if given <= last {
        Ok(())
    } else {
        Err(unsupported(format!("the variation {given} of a literal of the type {name}")))
    }
}
