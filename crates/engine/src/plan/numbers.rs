//! Numbers with underscores between their digits: `1_000_000`. The tokenizer of the dialect ends a number at the first one.

use std::borrow::Cow;

use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use crate::error::{Error, Place, Result, Subject};

/// The text with such numbers written without underscores, each followed by as many spaces, so that places stay what they are.
///
/// # Errors
/// Of syntax, at a number that goes on with an underscore which is not between two digits, or with a letter after one.
pub(super) fn without_underscores<'a>(text: &'a str, tokens: &[TokenWithSpan]) -> Result<Cow<'a, str>> {
    let mut starts = tokens.iter().zip(tokens.iter().skip(1)).filter(|(number, next)| goes_on(number, next)).peekable();
    if starts.peek().is_none() {
        return Ok(Cow::Borrowed(text));
    }
    let mut chars: Vec<char> = text.chars().collect();
    let lines = starts_of_lines(&chars);
    let mut done = 0;
    for (number, _) in starts {
        let place = Place::from(number.span.start);
        let Some(start) = offset(&lines, number.span.start) else { continue };
        if start < done {
            continue;
        }
        let end = end_of_number(&chars, start);
        if chars.get(end).is_some_and(|next| *next == '_' || next.is_alphanumeric()) {
            let number: String = chars.iter().skip(start).take(end + 1 - start).collect();
            return Err(Error::invalid(format!("syntax error: trailing junk after a number at '{number}'"))
                .about(Subject::Syntax)
                .at_place(Some(place))
                .hint("in a number, each underscore stands between two digits"));
        }
        let digits: Vec<char> = chars.iter().take(end).skip(start).copied().filter(|digit| *digit != '_').collect();
        let padded = digits.into_iter().chain(std::iter::repeat(' '));
        for (written, digit) in chars.iter_mut().take(end).skip(start).zip(padded) {
            *written = digit;
        }
        done = end;
    }
    Ok(Cow::Owned(chars.into_iter().collect()))
}

/// Whether an underscore follows the number at once.
fn goes_on(number: &TokenWithSpan, next: &TokenWithSpan) -> bool {
    let follows = number.span.end == next.span.start;
    follows
        && matches!(number.token, Token::Number(..))
        && matches!(&next.token, Token::Word(word) if word.quote_style.is_none() && word.value.starts_with('_'))
}

/// Where each line begins.
pub(super) fn starts_of_lines(chars: &[char]) -> Vec<usize> {
    let others = chars.iter().zip(1..).filter(|(character, _)| **character == '\n').map(|(_, next)| next);
    std::iter::once(0).chain(others).collect()
}

/// Where the place is in a text whose lines begin there.
pub(super) fn offset(lines: &[usize], place: Location) -> Option<usize> {
    let line = usize::try_from(place.line.checked_sub(1)?).ok()?;
    Some(lines.get(line)? + usize::try_from(place.column.checked_sub(1)?).ok()?)
}

/// Digits, a fraction and an exponent, with single underscores between digits.
fn end_of_number(chars: &[char], start: usize) -> usize {
    let mut end = end_of_digits(chars, start);
    if chars.get(end) == Some(&'.') {
        end = end_of_digits(chars, end + 1);
    }
    if matches!(chars.get(end), Some('e' | 'E')) {
        let sign = usize::from(matches!(chars.get(end + 1), Some('+' | '-')));
        let exponent = end_of_digits(chars, end + 1 + sign);
        if exponent > end + 1 + sign {
            end = exponent;
        }
    }
    end
}

fn end_of_digits(chars: &[char], start: usize) -> usize {
    let is_digit = |at: usize| chars.get(at).is_some_and(char::is_ascii_digit);
    let mut end = start;
    while is_digit(end) || (end > start && chars.get(end) == Some(&'_') && is_digit(end + 1)) {
        end += 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    use super::*;

    fn written(text: &str) -> Result<String> {
        let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location().unwrap();
        without_underscores(text, &tokens).map(Cow::into_owned)
    }

    #[test]
    fn underscores_between_digits_vanish_and_places_stay() {
        for (text, same) in [
            ("SELECT 1_000_000+x_1", "SELECT 1000000  +x_1"),
            ("'1_0' \n 1_0.2_5e1_0 -- 1_0", "'1_0' \n 10.25e10    -- 1_0"),
            ("é 2_0,.5_0", "é 20 ,.50 "),
            ("1 _a", "1 _a"),
        ] {
            assert_eq!(written(text).unwrap(), same);
        }
    }

    #[test]
    fn an_underscore_elsewhere_is_an_error_with_a_place() {
        for text in ["SELECT 1__0", "SELECT 1_", "SELECT 1_000a", "SELECT 1_a"] {
            let position = written(text).unwrap_err().located(text).position().unwrap();
            assert_eq!((position.line, position.column), (1, 8), "{text}");
        }
    }
}
