use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;

use super::*;

#[test]
fn our_error_survives_a_trip_through_datafusion() {
    let inner = Error::not_found(Subject::Table, "table 'x' not found");
    let wrapped = DataFusionError::from(inner).context("while planning");
    let error = Error::from(wrapped);
    assert_eq!(error.code(), "TABLE_NOT_FOUND");
    assert_eq!(error.sqlstate(), "42P01");
}

#[test]
fn division_by_zero_is_the_datas_fault() {
    let error = Error::from(DataFusionError::from(ArrowError::DivideByZero));
    assert_eq!(error.kind(), ErrorKind::Data);
    assert_eq!((error.code(), error.sqlstate()), ("DIVISION_BY_ZERO", "22012"));
}

#[test]
fn syntax_errors_carry_line_and_column() {
    use datafusion::sql::sqlparser::{dialect::GenericDialect, parser::Parser};
    let parse = Parser::parse_sql(&GenericDialect {}, "SELECT 1\nFROM )").unwrap_err();
    let error = Error::from(DataFusionError::SQL(Box::new(parse), None));
    assert_eq!(error.code(), "SYNTAX_ERROR");
    let position = error.position().expect("position");
    assert_eq!(position.line, 2);
    assert!(!error.message().contains("Line:"), "{}", error.message());
}

#[test]
fn the_message_names_the_best_suggestion() {
    let error = Error::not_found(Subject::Column, "column 'amout' not found").suggest(vec!["amount".into()]);
    assert_eq!(error.to_string(), "column 'amout' not found; did you mean 'amount'?");
}
