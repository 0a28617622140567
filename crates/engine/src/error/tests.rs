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
    let text = "SELECT 1\nFROM )";
    let parse = Parser::parse_sql(&GenericDialect {}, text).unwrap_err();
    let error = Error::from(DataFusionError::SQL(Box::new(parse), None));
    assert_eq!(error.code(), "SYNTAX_ERROR");
    assert!(error.to_string().ends_with("(line 2, column 6)"), "{error}");
    assert!(!error.message().contains("Line:"), "{}", error.message());
    let position = error.located(text).position();
    assert_eq!(position, Some(Position { line: 2, column: 6, offset: 14, length: 1 }));
}

#[test]
fn a_place_in_another_text_is_not_told() {
    let error = Error::invalid("x").at_place(Some(Place { line: 1, column: 3 })).elsewhere().located("SELECT 1");
    assert_eq!((error.position(), error.to_string()), (None, "x".to_owned()));
}

#[test]
fn the_message_names_the_best_suggestion() {
    let error = Error::not_found(Subject::Column, "column 'amout' not found").suggest(vec!["amount".into()]);
    assert_eq!(error.to_string(), "column 'amout' not found; did you mean 'amount'?");
}

#[tokio::test]
async fn what_is_larger_than_arrow_can_count_is_no_bug_of_ours() {
    for text in ["offset overflow", "byte array offset overflow", "capacity overflow"] {
        let error = catch_panic(async { panic!("{text}") as Result<()> }).await.unwrap_err();
        assert_eq!((error.code(), error.sqlstate()), ("OUT_OF_MEMORY", "53200"), "{text}");
    }
    let error = Error::from(DataFusionError::from(ArrowError::OffsetOverflowError(1)));
    assert_eq!(error.code(), "OUT_OF_MEMORY");
    let error = catch_panic(async { panic!("index out of bounds") as Result<()> }).await.unwrap_err();
    assert_eq!(error.code(), "INTERNAL");
}

#[test]
fn a_message_is_no_file() {
    let error = Error::new(ErrorKind::Data, "x".repeat(1 << 20));
    assert!(error.message().len() <= 8 << 10 && error.message().ends_with('…'));
}

#[test]
fn a_footer_that_the_store_does_not_give_is_the_stores_failure() {
    let text = "Failed to fetch metadata for file a.parquet: Object Store error: Generic storage error: 's3://b/a' gave nothing";
    let error = Error::from(DataFusionError::from(parquet::errors::ParquetError::General(text.into())));
    assert_eq!((error.kind(), error.message()), (ErrorKind::Storage, "'s3://b/a' gave nothing"));
}
