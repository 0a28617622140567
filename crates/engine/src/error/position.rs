//! Places in the text of a statement.

use datafusion::common::Span;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{self, Location, Token, TokenWithSpan, Tokenizer};

/// A place in the statement's text, as it was sent. Lines and columns count from 1, the offset from 0; columns, offset and
/// length are in characters (Unicode code points), not in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Line, from 1.
    pub line: u64,
    /// Column, from 1.
    pub column: u64,
    /// Characters of the statement before it, line feeds included.
    pub offset: u64,
    /// Characters of the token that stands there, or of the whole name if it has dots; 1 at the end of the statement.
    pub length: u64,
}

/// Line and column of a statement whose text is not at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Line, from 1.
    pub(crate) line: u64,
    /// Column, from 1, in characters.
    pub(crate) column: u64,
}

impl Place {
    /// Where the span begins; `None` for one of what nobody wrote.
    pub(crate) fn of(span: tokenizer::Span) -> Option<Self> {
        (span.start.line > 0).then(|| Self::from(span.start))
    }

    /// The position in the text that the place belongs to.
    pub(crate) fn within(self, text: &str) -> Position {
        let offset = self.offset(text);
        Position { line: self.line, column: self.column, offset, length: self.length(text, offset) }
    }

    fn offset(self, text: &str) -> u64 {
        let mut here = Self { line: 1, column: 1 };
        let before = text.chars().take_while(|&character| {
            let is_before = here < self;
            here = match character {
                '\n' => Self { line: here.line + 1, column: 1 },
                _ => Self { column: here.column + 1, ..here },
            };
            is_before
        });
        before.count() as u64
    }

    fn length(self, text: &str, offset: u64) -> u64 {
        let Ok(tokens) = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location() else { return 1 };
        let rest: Vec<TokenWithSpan> =
            tokens.into_iter().skip_while(|token| Self::from(token.span.start) != self).collect();
        let Some(first) = rest.first() else { return 1 };
        let mut end = first.span.end;
        if matches!(first.token, Token::Word(_)) {
            // `catalog.schema.table`
            for pair in rest[1..].chunks_exact(2) {
                let ([dot, name], true) = (pair, matches!(pair[0].token, Token::Period)) else { break };
                if dot.span.start != end || !matches!(name.token, Token::Word(_)) {
                    break;
                }
                end = name.span.end;
            }
        }
        Self::from(end).offset(text).saturating_sub(offset).max(1)
    }
}

impl From<Location> for Place {
    fn from(location: Location) -> Self {
        Self { line: location.line, column: location.column }
    }
}

impl From<Span> for Place {
    fn from(span: Span) -> Self {
        Self { line: span.start.line, column: span.start.column }
    }
}

impl From<Position> for Place {
    fn from(position: Position) -> Self {
        Self { line: position.line, column: position.column }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, line: u64, column: u64) -> (u64, u64) {
        let position = Place { line, column }.within(text);
        assert_eq!((position.line, position.column), (line, column));
        (position.offset, position.length)
    }

    #[test]
    fn offset_and_length_count_characters() {
        assert_eq!(at("SELECT amout FROM t", 1, 8), (7, 5));
        assert_eq!(at("SELECT 'äöü😀', größe FROM t", 1, 16), (15, 5));
        assert_eq!(at("SELECT 1,\r\n\t\"my col\"\nFROM t", 2, 2), (12, 8));
        assert_eq!(at("-- größer\nSELECT x", 2, 8), (17, 1));
    }

    #[test]
    fn a_dotted_name_is_one_token() {
        assert_eq!(at("SELECT o.\"ordr id\" + 1 FROM t o", 1, 8), (7, 11));
        assert_eq!(at("SELECT * FROM a.b.c d", 1, 15), (14, 5));
        assert_eq!(at("SELECT * FROM a . b", 1, 15), (14, 1));
        assert_eq!(at("SELECT t.* FROM t", 1, 8), (7, 1));
    }

    #[test]
    fn the_end_has_the_length_one() {
        assert_eq!(at("SELECT 1\n +", 2, 3), (11, 1));
        assert_eq!(at("", 1, 1), (0, 1));
        assert_eq!(at("SELECT 1", 7, 1), (8, 1));
        assert_eq!(at("SELECT 'open", 1, 8), (7, 1));
    }
}
