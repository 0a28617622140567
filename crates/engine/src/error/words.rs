//! What DataFusion tells in its own terms, and in Rust's, told in those of SQL.

use arrow::datatypes::DataType;

use super::Error;
use crate::sql_type::sql_type;

/// What is not implemented; where the message shows a value of Rust, its name is told in words.
pub(super) fn unsupported(message: String) -> Error {
    if let Some(shown) = message.strip_prefix("Physical plan does not support logical expression ") {
        return expression(shown);
    }
    if let Some(shown) = message.strip_prefix("Unsupported JOIN operator ") {
        return Error::unsupported(format!("{} JOIN is not supported", spaced(first_name(shown))))
            .hint("the joins are [INNER], LEFT, RIGHT, FULL and CROSS JOIN, and LEFT or RIGHT SEMI and ANTI JOIN");
    }
    if let Some(shown) = message.strip_prefix("Unsupported ast node ") {
        let shown = shown.strip_prefix("in sqltorel: ").unwrap_or(shown);
        return Error::unsupported(format!("{} is not supported", spaced(first_name(shown))));
    }
    match value_of_rust(&message) {
        Some((at, value)) => {
            let before = message.get(..at).unwrap_or_default().trim_end();
            Error::unsupported(format!("{before} {}", spaced(first_name(value))))
        }
        None => Error::unsupported(message),
    }
}

/// An expression that has no place in an execution, because its subquery did not become a join.
fn expression(shown: &str) -> Error {
    let construct = match first_name(shown) {
        "Exists" => "EXISTS (SELECT ...)",
        "InSubquery" => "IN (SELECT ...)",
        "SetComparison" => "a comparison with ANY or ALL (SELECT ...)",
        "ScalarSubquery" => "a subquery in place of a value",
        "OuterReferenceColumn" => "a column of the query around a subquery",
        other => return Error::unsupported(format!("{} is not supported here", spaced(other))),
    };
    Error::unsupported(format!(
        "{construct} is not supported here: there is no join that says how the subquery depends on the query around it"
    ))
    .hint("compare columns of both queries in the WHERE of the subquery, without LIMIT or UNION there, or write a join")
}

/// The name that a value of Rust begins with.
fn first_name(shown: &str) -> &str {
    let end = shown.find(|character: char| !character.is_alphanumeric() && character != '_');
    shown.get(..end.unwrap_or(shown.len())).unwrap_or(shown)
}

/// Where in the message a value of Rust is shown that tells more of the parser than of the statement.
fn value_of_rust(message: &str) -> Option<(usize, &str)> {
    if !message.contains("span: Span(") && !message.contains(" { value: ") {
        return None;
    }
    let brace = message.find(['{', '('])?;
    let name = message.get(..brace)?.trim_end();
    let at = name.rfind(' ').map_or(0, |space| space + 1);
    let value = message.get(at..)?;
    value.starts_with(|character: char| character.is_ascii_uppercase()).then_some((at, value))
}

/// `AtTimeZone` as `AT TIME ZONE`.
fn spaced(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 4);
    for (index, character) in name.chars().enumerate() {
        if index > 0 && character.is_uppercase() {
            words.push(' ');
        }
        words.extend(character.to_uppercase());
    }
    words
}

/// A function that does not take what it is given: the message holds the call, and what the function takes.
pub(super) fn signature(message: &str) -> Option<Error> {
    let (_, rest) = message.split_once("No function matches the given name and argument types '")?;
    let (call, rest) = rest.split_once("'.")?;
    let (name, arguments) = call.split_once('(')?;
    let types = split(arguments.strip_suffix(')')?).into_iter().map(type_name).collect::<Vec<_>>().join(", ");
    let error = Error::invalid(format!("function {name} does not accept ({types})"));
    let Some((_, candidates)) = rest.split_once("Candidate functions:") else { return Some(error) };
    let candidates: Vec<&str> = candidates.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    Some(match candidates.is_empty() {
        true => error,
        false => error.hint(format!("it takes {}", candidates.join(", or "))),
    })
}

/// The parts between the commas that stand in no brackets.
fn split(arguments: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    let parts = arguments.split(|character| {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == ',' && depth == 0
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// The SQL name of a type of Arrow.
fn type_name(shown: &str) -> String {
    shown.parse::<DataType>().map_or_else(|_| shown.to_owned(), |data_type| sql_type(&data_type))
}

/// Two columns of one result with one name.
pub(super) fn same_name(message: &str) -> Option<Error> {
    if !message.contains(" require unique expression names but ") {
        return None;
    }
    let (rest, _) = message.split_once(" have the same name")?;
    let (rest, second) = rest.rsplit_once("\" at position ")?;
    let (first, expression) = rest.rsplit_once(" and \"")?;
    let (_, first) = first.rsplit_once("\" at position ")?;
    let (first, second): (usize, usize) = (first.parse().ok()?, second.parse().ok()?);
    let name = expression.rsplit_once(" AS ").map_or(expression, |(_, alias)| alias);
    Some(
        Error::invalid(format!("columns {} and {} of the result have the same name, '{name}'", first + 1, second + 1))
            .hint("give each its own name with AS"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_rust_are_told_in_words() {
        for (message, told) in [
            (
                "Unsupported ast node in sqltorel: Collate { expr: Value(ValueWithSpan { value: ...",
                "COLLATE is not supported",
            ),
            (
                "Unsupported JOIN operator Semi(On(Value(ValueWithSpan { value: Boolean(true)",
                "SEMI JOIN is not supported",
            ),
            ("Hive formats not supported: Some(X { span: Span(1) })", "Hive formats not supported: SOME"),
            ("FETCH clause is not supported yet", "FETCH clause is not supported yet"),
        ] {
            assert_eq!(unsupported(message.to_owned()).message(), told);
        }
        let lost =
            "Physical plan does not support logical expression Exists(Exists { subquery: <subquery>, negated: false })";
        let error = unsupported(lost.to_owned());
        assert!(error.message().starts_with("EXISTS (SELECT ...) is not supported here"), "{error}");
    }

    #[test]
    fn a_wrong_argument_is_told_with_what_is_right() {
        let message = "Internal error: Function 'sum' failed to match any signature, errors: ...\nThis issue was likely \
                       caused by a bug in DataFusion's code. No function matches the given name and argument types \
                       'sum(Utf8, Decimal128(3, 1))'. You might need to add explicit type casts.\n\tCandidate \
                       functions:\n\tsum(Decimal)\n\tsum(Int64)";
        let error = signature(message).unwrap();
        assert_eq!(error.message(), "function sum does not accept (VARCHAR, DECIMAL(3,1))");
        assert_eq!(error.hint_text(), Some("it takes sum(Decimal), or sum(Int64)"));
    }

    #[test]
    fn the_columns_of_one_name_are_told() {
        let message = "Projections require unique expression names but the expression \"Int64(1) AS a\" at position 0 and \
                       \"Int64(2) AS a\" at position 1 have the same name. Consider aliasing (\"AS\") one of them.";
        let error = same_name(message).unwrap();
        assert_eq!(error.message(), "columns 1 and 2 of the result have the same name, 'a'");
    }
}
