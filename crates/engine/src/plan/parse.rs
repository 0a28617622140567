//! From text to exactly one statement: our own first, then DataFusion's dialect.

use datafusion::sql::parser::{DFParserBuilder, Statement as SqlStatement};
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::numbers::without_underscores;
use super::precedence::regroup;
use super::spelling::respelled;
use super::{chains, extent};
use crate::error::{Error, Place, Result, Subject};
use crate::query::QueryId;

/// How deep expressions may nest; deeper ones are an error instead of a stack overflow.
const RECURSION_LIMIT: usize = 128;

/// One statement.
#[derive(Debug, Clone)]
pub(crate) enum Parsed {
    /// `KILL [QUERY] 'id'`
    Kill(QueryId),
    /// `RESET ALL`
    ResetAll,
    /// Everything else.
    Sql(Box<SqlStatement>),
}

/// Parses the text of exactly one statement; a semicolon at its end is allowed.
pub(crate) fn parse(text: &str) -> Result<Parsed> {
    let dialect = GenericDialect {};
    let tokens = tokens(text, &dialect)?;
    extent::check_text(&tokens)?;
    let text = respelled(without_underscores(text, &tokens)?, &tokens)?;
    if let Some(own) = own_statement(&tokens)? {
        return Ok(own);
    }
    let parser = DFParserBuilder::new(text.as_ref()).with_dialect(&dialect).with_recursion_limit(RECURSION_LIMIT);
    let mut statements = parser.build()?.parse_statements().map_err(|error| empty_or(error, &tokens))?;
    match (statements.pop_front(), statements.is_empty()) {
        (Some(mut statement), true) => {
            regroup(&mut statement);
            chains::balance(&mut statement);
            Ok(Parsed::Sql(Box::new(statement)))
        }
        (None, _) => Err(empty()),
        (Some(_), false) => Err(Error::invalid("the request holds more than one statement")
            .about(Subject::Syntax)
            .hint("send one statement per request")),
    }
}

fn empty() -> Error {
    Error::invalid("the statement is empty").about(Subject::Syntax)
}

/// The parser's error; where the text ends too early, it does not say where that is.
fn empty_or(error: datafusion::error::DataFusionError, tokens: &[TokenWithSpan]) -> Error {
    let Some(last) = tokens.last() else { return empty() };
    let error = Error::from(error);
    if error.message().contains("found: EOF") {
        return error.at_place(Some(Place::from(last.span.end)));
    }
    error
}

/// The tokens that matter.
fn tokens(text: &str, dialect: &dyn Dialect) -> Result<Vec<TokenWithSpan>> {
    let tokens = Tokenizer::new(dialect, text).tokenize_with_location().map_err(|error| {
        let place = Place::from(error.location);
        Error::invalid(format!("syntax error: {}", error.message)).about(Subject::Syntax).at_place(Some(place))
    })?;
    Ok(tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF)).collect())
}

fn own_statement(tokens: &[TokenWithSpan]) -> Result<Option<Parsed>> {
    let mut rest = tokens.iter().map(|token| &token.token).filter(|token| **token != Token::SemiColon);
    let Some(Token::Word(first)) = rest.next() else { return Ok(None) };
    match first.keyword {
        Keyword::KILL => {
            let mut next = rest.next();
            if let Some(Token::Word(word)) = next
                && word.keyword == Keyword::QUERY
            {
                next = rest.next();
            }
            match (next, rest.next()) {
                (Some(Token::SingleQuotedString(id)), None) => Ok(Some(Parsed::Kill(id.parse()?))),
                _ => Err(Error::invalid("syntax error: expected KILL QUERY 'id'")
                    .about(Subject::Syntax)
                    .at_place(tokens.first().and_then(|token| Place::of(token.span)))
                    .hint("SELECT id, sql FROM system.queries WHERE state = 'running' lists the ids")),
            }
        }
        Keyword::RESET => match (rest.next(), rest.next()) {
            (Some(Token::Word(word)), None) if word.keyword == Keyword::ALL => Ok(Some(Parsed::ResetAll)),
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}

/// The words that the language knows, in upper case, by name.
pub fn keywords() -> &'static [&'static str] {
    datafusion::sql::sqlparser::keywords::ALL_KEYWORDS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Position;

    fn position(text: &str) -> Position {
        parse(text).unwrap_err().located(text).position().unwrap()
    }

    #[test]
    fn exactly_one_statement() {
        assert!(matches!(parse("SELECT 1;"), Ok(Parsed::Sql(_))));
        for (text, part) in
            [("", "empty"), (" ; ", "empty"), ("-- nothing", "empty"), ("SELECT 1; SELECT 2", "more than one")]
        {
            let error = parse(text).unwrap_err();
            assert!(error.message().contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn kill_takes_the_id_of_a_query() {
        let id = QueryId::new();
        for text in [format!("KILL QUERY '{id}'"), format!("kill '{id}';")] {
            assert!(matches!(parse(&text), Ok(Parsed::Kill(found)) if found == id));
        }
        assert!(parse("KILL QUERY 7").unwrap_err().hint_text().is_some());
        assert_eq!(parse("KILL 'x'").unwrap_err().subject(), Some(Subject::Query));
    }

    #[test]
    fn errors_of_the_tokenizer_have_a_position() {
        assert_eq!(position("SELECT\n 'open"), Position { line: 2, column: 2, offset: 8, length: 1 });
    }

    #[test]
    fn a_statement_that_ends_too_early_says_where_it_ends() {
        assert_eq!(position("SELECT 1\n +"), Position { line: 2, column: 3, offset: 11, length: 1 });
    }

    #[test]
    fn an_error_of_syntax_says_how_long_its_token_is() {
        assert_eq!(position("SELEC 1"), Position { line: 1, column: 1, offset: 0, length: 5 });
        assert_eq!(position("SELECT 'ä',\n  2 FRM t x"), Position { line: 2, column: 9, offset: 20, length: 1 });
        assert_eq!(position("KILL QUERY 7"), Position { line: 1, column: 1, offset: 0, length: 4 });
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_overflow() {
        let text = format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000));
        assert_eq!(parse(&text).unwrap_err().code(), "SYNTAX_ERROR");
    }
}
