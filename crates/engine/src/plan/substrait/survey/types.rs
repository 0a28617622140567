//! The types that a plan names. Those that nothing reads are refused by their names, and those that newer ones replaced are
//! brought into the newer form: reading knows the older one from DataFusion, which meant other units by it.

use datafusion_substrait::substrait::proto::r#type::{Kind, PrecisionTime, PrecisionTimestamp, PrecisionTimestampTz};
use datafusion_substrait::substrait::proto::{Type, r#type};

use super::Survey;
use crate::error::Result;
use crate::plan::substrait::{malformed, unsupported};

/// Digits of a fraction of a second that a time may have.
const PRECISIONS: [i32; 4] = [0, 3, 6, 9];
/// What the older types of times count: millionths of a second.
const MICROSECONDS: i32 = 6;
/// Digits of a decimal of 128 and of 256 bits, by the variation of its type.
const DECIMAL_DIGITS: [i32; 2] = [38, 76];
/// Types that DataFusion gave these anchors before they had names: intervals.
const WITHOUT_A_NAME: [u32; 3] = [1, 2, 3];
/// Names of the types of DataFusion's own.
const OF_DATAFUSION: [&str; 3] = ["fp16", "null", "interval-month-day-nano"];

impl Survey<'_> {
    pub(super) fn data_types(&self, types: &mut r#type::Struct) -> Result<()> {
        types.types.iter_mut().try_for_each(|one| self.data_type(one))
    }

    /// A type that must be there.
    pub(super) fn some_type(&self, data_type: Option<&mut Type>, of: &str) -> Result<()> {
        self.data_type(data_type.ok_or_else(|| malformed(format!("{of} has no type")))?)
    }

    pub(super) fn data_type(&self, data_type: &mut Type) -> Result<()> {
        let Some(kind) = data_type.kind.as_mut() else { return Err(malformed("a type is of no kind")) };
        if !self.declarations.by_datafusion {
            renew(kind);
        }
        no_unknown_variation(kind)?;
        match kind {
            Kind::Decimal(decimal) => {
                let digits = if decimal.type_variation_reference == 0 { DECIMAL_DIGITS[0] } else { DECIMAL_DIGITS[1] };
                decimal_of(decimal.precision, decimal.scale, digits)
            }
            Kind::PrecisionTime(time) => {
                time.type_variation_reference = time_variation(time.precision);
                precise(time.precision, "a precision_time")
            }
            Kind::PrecisionTimestamp(timestamp) => precise(timestamp.precision, "a precision_timestamp"),
            Kind::PrecisionTimestampTz(timestamp) => precise(timestamp.precision, "a precision_timestamp_tz"),
            Kind::FixedBinary(binary) if binary.length < 0 => {
                Err(malformed(format!("a type is fixed_binary of {} bytes", binary.length)))
            }
            Kind::Struct(fields) => self.data_types(fields),
            Kind::List(list) => self.some_type(list.r#type.as_deref_mut(), "the item of a list"),
            Kind::Map(map) => {
                self.some_type(map.key.as_deref_mut(), "the key of a map")?;
                self.some_type(map.value.as_deref_mut(), "the value of a map")
            }
            Kind::UserDefined(own) => self.own_type(own.type_reference),
            Kind::Uuid(_) => Err(unsupported("the type uuid").hint("send it as text or as fixed_binary")),
            Kind::Func(_) => Err(unsupported("the type of a function")),
            Kind::Alias(_) => Err(unsupported("the alias of a type").hint("send the type itself")),
            #[expect(deprecated, reason = "to refuse it")]
            Kind::UserDefinedTypeReference(anchor) => self.own_type(*anchor),
            _ => Ok(()),
        }
    }

    /// Refuses a type that is not Substrait's own, but for those of DataFusion.
    pub(super) fn own_type(&self, anchor: u32) -> Result<()> {
        match self.declarations.types.get(&anchor) {
            Some(name) if OF_DATAFUSION.contains(&name.as_str()) => Ok(()),
            Some(name) => Err(unsupported(format!("the type '{name}' of an extension"))),
            None if WITHOUT_A_NAME.contains(&anchor) => Ok(()),
            None => Err(malformed(format!("it uses the type with the anchor {anchor}, which it does not declare"))),
        }
    }
}

/// Checks the digits of a decimal: reading would cut the numbers.
pub(super) fn decimal_of(precision: i32, scale: i32, digits: i32) -> Result<()> {
    if (1..=digits).contains(&precision) && (0..=precision).contains(&scale) {
        return Ok(());
    }
    let rule = format!("the precision is 1 to {digits}, and the scale 0 to the precision");
    Err(malformed(format!("it has a decimal({precision}, {scale}): {rule}")))
}

/// Checks the fraction of a second.
pub(super) fn precise(precision: i32, of: &str) -> Result<()> {
    if PRECISIONS.contains(&precision) {
        return Ok(());
    }
    Err(unsupported(format!("the precision {precision} of {of}")).hint("precisions are 0, 3, 6 and 9"))
}

/// How DataFusion has a time of day: by 32 bits up to milliseconds, by 64 above.
pub(super) fn time_variation(precision: i32) -> u32 {
    u32::from(precision >= MICROSECONDS)
}

/// Puts the type of a time that counts microseconds into the form that says so.
fn renew(kind: &mut Kind) {
    #[expect(deprecated, reason = "older producers send them")]
    let newer = match kind {
        Kind::Timestamp(timestamp) => Kind::PrecisionTimestamp(PrecisionTimestamp {
            precision: MICROSECONDS,
            nullability: timestamp.nullability,
            ..PrecisionTimestamp::default()
        }),
        Kind::TimestampTz(timestamp) => Kind::PrecisionTimestampTz(PrecisionTimestampTz {
            precision: MICROSECONDS,
            nullability: timestamp.nullability,
            ..PrecisionTimestampTz::default()
        }),
        Kind::Time(time) => Kind::PrecisionTime(PrecisionTime {
            precision: MICROSECONDS,
            nullability: time.nullability,
            ..PrecisionTime::default()
        }),
        _ => return,
    };
    *kind = newer;
}

/// Variations of a type are DataFusion's: unsigned integers, text and lists in other forms.
fn no_unknown_variation(kind: &Kind) -> Result<()> {
    let (name, given, last) = match kind {
        Kind::I8(of) => ("i8", of.type_variation_reference, 1),
        Kind::I16(of) => ("i16", of.type_variation_reference, 1),
        Kind::I32(of) => ("i32", of.type_variation_reference, 1),
        Kind::I64(of) => ("i64", of.type_variation_reference, 1),
        Kind::Date(of) => ("date", of.type_variation_reference, 1),
        Kind::Decimal(of) => ("decimal", of.type_variation_reference, 1),
        Kind::List(of) => ("list", of.type_variation_reference, 1),
        Kind::Map(of) => ("map", of.type_variation_reference, 1),
        Kind::IntervalDay(of) => ("interval_day", of.type_variation_reference, 1),
        Kind::String(of) => ("string", of.type_variation_reference, 2),
        Kind::Binary(of) => ("binary", of.type_variation_reference, 2),
        #[expect(deprecated, reason = "older versions of DataFusion send it")]
        Kind::Timestamp(of) => ("timestamp", of.type_variation_reference, 3),
        _ => return Ok(()),
    };
    if given <= last { Ok(()) } else { Err(unsupported(format!("the variation {given} of the type {name}"))) }
}
