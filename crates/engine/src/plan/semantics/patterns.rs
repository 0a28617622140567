//! `SIMILAR TO`, whose pattern fits the whole text and has the wildcards of `LIKE`; and `LIKE` with an escape character of the
//! user's choice. DataFusion takes the one for a regular expression and refuses the other.
//!
//! Both patterns are translated, so they have to be constants.

use datafusion::common::tree_node::Transformed;
use datafusion::common::{not_impl_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::expr::Like;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, lit};
use datafusion::scalar::ScalarValue;

/// The expression with a pattern that DataFusion understands.
pub(super) fn translated(expr: Expr) -> Result<Transformed<Expr>> {
    match expr {
        Expr::SimilarTo(like) => {
            if is_null(&like.pattern) {
                return Ok(Transformed::yes(lit(ScalarValue::Boolean(None))));
            }
            let Some((pattern, like_type)) = constant(&like.pattern) else {
                return not_impl_err!("SIMILAR TO takes a constant pattern, not {}", like.pattern);
            };
            let regex = ScalarValue::from(regular_expression(pattern, like.escape_char.unwrap_or('\\'))?);
            let operator = if like.negated { Operator::RegexNotMatch } else { Operator::RegexMatch };
            let regex = Box::new(lit(regex.cast_to(&like_type)?));
            Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(like.expr, operator, regex))))
        }
        Expr::Like(like) if like.escape_char.is_some_and(|escape| escape != '\\') => {
            if is_null(&like.pattern) {
                return Ok(Transformed::yes(lit(ScalarValue::Boolean(None))));
            }
            let Some((pattern, like_type)) = constant(&like.pattern) else {
                return not_impl_err!("LIKE with ESCAPE takes a constant pattern, not {}", like.pattern);
            };
            let pattern = ScalarValue::from(backslashes(pattern, like.escape_char.unwrap_or('\\'))?);
            let pattern = Box::new(lit(pattern.cast_to(&like_type)?));
            Ok(Transformed::yes(Expr::Like(Like { pattern, escape_char: None, ..like })))
        }
        other => Ok(Transformed::no(other)),
    }
}

fn is_null(pattern: &Expr) -> bool {
    match pattern {
        Expr::Literal(value, _) => value.is_null(),
        Expr::Cast(cast) => is_null(&cast.expr),
        _ => false,
    }
}

fn constant(pattern: &Expr) -> Option<(&str, arrow::datatypes::DataType)> {
    match pattern {
        Expr::Literal(value, _) => value.try_as_str().flatten().map(|text| (text, value.data_type())),
        Expr::Cast(cast) => constant(&cast.expr).map(|(text, _)| (text, cast.field.data_type().clone())),
        _ => None,
    }
}

/// The pattern with the backslash as its escape character.
fn backslashes(pattern: &str, escape: char) -> Result<String> {
    let mut out = String::with_capacity(pattern.len() + 4);
    let mut rest = pattern.chars();
    while let Some(character) = rest.next() {
        let literal = match character {
            _ if character == escape => match rest.next() {
                Some(escaped) => escaped,
                None => return plan_err!("the pattern '{pattern}' ends with its escape character"),
            },
            '%' | '_' => {
                out.push(character);
                continue;
            }
            literal => literal,
        };
        if matches!(literal, '%' | '_' | '\\') {
            out.push('\\');
        }
        out.push(literal);
    }
    Ok(out)
}

/// The regular expression that means the same as a pattern of `SIMILAR TO`.
fn regular_expression(pattern: &str, escape: char) -> Result<String> {
    let mut out = String::from("^(?s:");
    let mut in_brackets = false;
    let mut rest = pattern.chars();
    while let Some(character) = rest.next() {
        match character {
            _ if character == escape => match rest.next() {
                Some(escaped) => out.push_str(&regex_literal(escaped)),
                None => return plan_err!("the pattern '{pattern}' ends with its escape character"),
            },
            '[' if !in_brackets => {
                in_brackets = true;
                out.push('[');
            }
            ']' if in_brackets => {
                in_brackets = false;
                out.push(']');
            }
            '^' | '-' if in_brackets => out.push(character),
            _ if in_brackets => out.push_str(&regex_literal(character)),
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            '(' => out.push_str("(?:"),
            '|' | '*' | '+' | '?' | '{' | '}' | ')' => out.push(character),
            literal => out.push_str(&regex_literal(literal)),
        }
    }
    out.push_str(")$");
    Ok(out)
}

/// The character, which means itself.
fn regex_literal(character: char) -> String {
    let plain = character.is_alphanumeric() || character.is_whitespace() || !character.is_ascii();
    if plain || matches!(character, '_' | '<' | '>') { character.to_string() } else { format!("\\{character}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_character_becomes_the_backslash() {
        for (pattern, same) in [("a!_c%", "a\\_c%"), ("!!!%", "!\\%"), ("a\\b", "a\\\\b"), ("!a", "a"), ("", "")] {
            assert_eq!(backslashes(pattern, '!').unwrap(), same);
        }
        assert!(backslashes("a!", '!').is_err());
    }

    #[test]
    fn similar_to_is_a_regular_expression_of_the_whole_text() {
        for (pattern, regex) in [
            ("(a|b)%", "^(?s:(?:a|b).*)$"),
            ("a.c_", "^(?s:a\\.c.)$"),
            ("[a-c]+\\%", "^(?s:[a-c]+\\%)$"),
            ("^x$", "^(?s:\\^x\\$)$"),
        ] {
            assert_eq!(regular_expression(pattern, '\\').unwrap(), regex);
        }
    }
}
