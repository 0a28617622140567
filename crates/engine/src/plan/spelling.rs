//! Spellings that the parser does not read in our dialect: words that change nothing are blanked out before it reads, each by
//! as many spaces, so that places stay what they are; what means something else is refused by its name.

use std::borrow::Cow;

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::numbers::{offset, starts_of_lines};
use crate::error::{Error, Place, Result, Subject};

/// The text without words that the parser stumbles over.
///
/// # Errors
/// `Unsupported`, at what SQL knows and we do not.
pub(super) fn respelled<'a>(text: Cow<'a, str>, tokens: &[TokenWithSpan]) -> Result<Cow<'a, str>> {
    let mut blanks: Vec<&TokenWithSpan> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let Some(rest) = tokens.get(at..) else { break };
        match keyword(token) {
            Keyword::AS => blanks.extend(materialized(rest)),
            Keyword::INTERVAL => blanks.extend(parentheses(rest)),
            Keyword::BETWEEN => symmetric(rest)?,
            _ => {}
        }
    }
    if blanks.is_empty() {
        return Ok(text);
    }
    let mut chars: Vec<char> = text.chars().collect();
    let lines = starts_of_lines(&chars);
    for token in blanks {
        if let (Some(start), Some(end)) = (offset(&lines, token.span.start), offset(&lines, token.span.end)) {
            chars.iter_mut().take(end).skip(start).for_each(|character| *character = ' ');
        }
    }
    Ok(Cow::Owned(chars.into_iter().collect()))
}

/// `AS [NOT] MATERIALIZED (SELECT ...)`: whether a WITH query is kept apart is the optimizer's choice.
fn materialized(tokens: &[TokenWithSpan]) -> &[TokenWithSpan] {
    let words = match tokens.get(1).map(keyword) {
        Some(Keyword::MATERIALIZED) => 1,
        Some(Keyword::NOT) if tokens.get(2).map(keyword) == Some(Keyword::MATERIALIZED) => 2,
        _ => return &[],
    };
    let opens = tokens.get(words + 1).is_some_and(|token| token.token == Token::LParen);
    let begins = tokens.get(words + 2).is_some_and(|token| {
        let queries = [Keyword::SELECT, Keyword::WITH, Keyword::VALUES, Keyword::FROM];
        queries.contains(&keyword(token)) || token.token == Token::LParen
    });
    // Otherwise it is a table's alias with names of columns.
    if opens && begins { tokens.get(1..=words).unwrap_or_default() } else { &[] }
}

/// Those of `INTERVAL (1) DAY`, which would be read as a precision.
fn parentheses(tokens: &[TokenWithSpan]) -> Vec<&TokenWithSpan> {
    match tokens {
        [_, open, number, close, ..]
            if open.token == Token::LParen
                && matches!(number.token, Token::Number(..))
                && close.token == Token::RParen =>
        {
            vec![open, close]
        }
        _ => Vec::new(),
    }
}

fn symmetric(tokens: &[TokenWithSpan]) -> Result<()> {
    let Some(word) = tokens.get(1).filter(|token| keyword(token) == Keyword::SYMMETRIC) else { return Ok(()) };
    // A column may have that name.
    if tokens.get(2).is_some_and(|token| keyword(token) == Keyword::AND) {
        return Ok(());
    }
    Err(Error::unsupported("BETWEEN SYMMETRIC is not supported")
        .about(Subject::Syntax)
        .at_place(Place::of(word.span))
        .hint("use BETWEEN least(a, b) AND greatest(a, b)"))
}

fn keyword(token: &TokenWithSpan) -> Keyword {
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => word.keyword,
        _ => Keyword::NoKeyword,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    use super::*;

    fn written(text: &str) -> Result<String> {
        let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location().unwrap();
        let tokens: Vec<_> = tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
        respelled(Cow::Borrowed(text), &tokens).map(Cow::into_owned)
    }

    #[test]
    fn words_that_change_nothing_vanish_and_places_stay() {
        for (text, same) in [
            ("WITH é AS MATERIALIZED (SELECT 1)", "WITH é AS              (SELECT 1)"),
            ("WITH x AS\nNOT MATERIALIZED\n(VALUES (1))", "WITH x AS\n                \n(VALUES (1))"),
            ("INTERVAL (1) DAY", "INTERVAL  1  DAY"),
            ("FROM t AS materialized (a)", "FROM t AS materialized (a)"),
            ("'AS MATERIALIZED (SELECT'", "'AS MATERIALIZED (SELECT'"),
        ] {
            assert_eq!(written(text).unwrap(), same);
        }
    }

    #[test]
    fn symmetry_is_refused_where_it_stands() {
        let text = "SELECT 2 BETWEEN SYMMETRIC 3 AND 1";
        let error = written(text).unwrap_err().located(text);
        assert_eq!(error.position().unwrap().column, 18);
        assert!(written("SELECT 2 BETWEEN symmetric AND 3").is_ok());
    }
}
