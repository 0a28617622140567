//! Numbers by the digits that they are written with, of which a `DOUBLE` keeps about 15.

/// Whether the number is a `DECIMAL`: no integer of 64 bits holds it, and a `DOUBLE` would not tell its digits. With an exponent
/// it is a `DOUBLE` always.
pub(crate) fn is_exact(written: &str) -> bool {
    let is_integer = written.parse::<u64>().is_ok() || written.parse::<i64>().is_ok();
    !has_exponent(written) && !is_integer && !is_double(written)
}

pub(crate) fn has_exponent(written: &str) -> bool {
    written.contains(['e', 'E'])
}

/// Whether it has a point, and a `DOUBLE` tells the same digits.
fn is_double(written: &str) -> bool {
    let Ok(double) = written.parse::<f64>() else { return false };
    written.contains('.') && Digits::of(&double.to_string()) == Digits::of(written)
}

/// The digits that count, and how many of them stand behind the point.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Digits {
    digits: String,
    scale: usize,
}

impl Digits {
    /// Of a number without an exponent.
    pub(crate) fn of(written: &str) -> Self {
        let (whole, fraction) = written.split_once('.').unwrap_or((written, ""));
        let fraction = fraction.trim_end_matches('0');
        let digits = format!("{whole}{fraction}").trim_start_matches(['-', '0']).to_owned();
        Self { digits, scale: fraction.len() }
    }

    /// Precision and scale of the `DECIMAL` that holds them, if it has at most so many digits.
    pub(crate) fn decimal(&self, most: u8) -> Option<(u8, i8)> {
        let precision = u8::try_from(self.digits.len().max(self.scale).max(1)).ok()?;
        let scale = i8::try_from(self.scale).ok()?;
        (precision <= most).then_some((precision, scale))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_exact_if_a_double_tells_other_digits() {
        for written in ["0.1", "1.50", "-2.5", "00.250", "0.30000000000000004", "1e30", "18446744073709551615"] {
            assert!(!is_exact(written), "{written}");
        }
        for written in ["18446744073709551616", "-9223372036854775809", "1.00000000000000000001"] {
            assert!(is_exact(written), "{written}");
        }
    }

    #[test]
    fn a_decimal_holds_the_digits_that_count() {
        for (written, decimal) in [("001.50", (2, 1)), ("-0.0025", (4, 4)), ("120", (3, 0)), ("0.0", (1, 0))] {
            assert_eq!(Digits::of(written).decimal(38), Some(decimal), "{written}");
        }
        assert_eq!(Digits::of("123").decimal(2), None);
    }
}
