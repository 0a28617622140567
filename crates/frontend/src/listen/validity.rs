//! When a certificate ends: the one field of X.509 that rustls does not tell.

use chrono::{DateTime, NaiveDateTime, Utc};

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The `notAfter` of a DER certificate, or `None` if it is not where RFC 5280 puts it.
pub(super) fn not_after(certificate: &[u8]) -> Option<DateTime<Utc>> {
    let (SEQUENCE, certificate, _) = element(certificate)? else { return None };
    let (SEQUENCE, mut fields, _) = element(certificate)? else { return None };
    if let (VERSION, _, rest) = element(fields)? {
        fields = rest;
    }
    for _ in ["serialNumber", "signature", "issuer"] {
        (_, _, fields) = element(fields)?;
    }
    let (SEQUENCE, validity, _) = element(fields)? else { return None };
    let (_, _not_before, rest) = element(validity)?;
    let (tag, time, _) = element(rest)?;
    let time = std::str::from_utf8(time).ok()?;
    let time = match tag {
        // Two digits of the year: RFC 5280 counts 50 to 99 as 19xx.
        UTC_TIME => format!("{}{time}", if time.get(..2)? >= "50" { "19" } else { "20" }),
        GENERALIZED_TIME => time.to_owned(),
        _ => return None,
    };
    NaiveDateTime::parse_from_str(&time, "%Y%m%d%H%M%SZ").ok().map(|time| time.and_utc())
}

/// The tag and the content of the first DER element, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first >= 0x80 {
        let digits = rest.get(..length & 0x7f).filter(|digits| (1..=4).contains(&digits.len()))?;
        rest = &rest[digits.len()..];
        length = digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit));
    }
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_found() {
        for (year, end) in [(2035, "2035-03-04T00:00:00+00:00"), (2061, "2061-03-04T00:00:00+00:00")] {
            let key = rcgen::KeyPair::generate().unwrap();
            let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            params.not_after = rcgen::date_time_ymd(year, 3, 4);
            let certificate = params.self_signed(&key).unwrap();
            assert_eq!(not_after(certificate.der()).unwrap().to_rfc3339(), end);
        }
        assert_eq!(not_after(b""), None);
        assert_eq!(not_after(&[SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
