use datafusion::sql::parser::{DFParser, Statement};

use super::{ReadCall, ReadCalls};

#[track_caller]
fn extract(sql: &str) -> (String, Vec<ReadCall>) {
    let mut statement: Statement = DFParser::parse_sql(sql).unwrap().pop_front().unwrap();
    let calls = ReadCalls::extract(&mut statement).unwrap();
    (statement.to_string(), calls)
}

#[track_caller]
fn failure(sql: &str) -> String {
    let mut statement: Statement = DFParser::parse_sql(sql).unwrap().pop_front().unwrap();
    ReadCalls::extract(&mut statement).unwrap_err().to_string()
}

#[test]
fn a_file_is_named_by_its_stem() {
    let (sql, calls) = extract("SELECT orders.id FROM 'data/Orders.csv.gz' WHERE id > 1");
    assert_eq!(sql, r#"SELECT orders.id FROM "$files"."orders" AS "orders" WHERE id > 1"#);
    assert_eq!(calls[0].definition.locations, ["data/Orders.csv.gz"]);
}

#[test]
fn an_alias_stays_and_other_names_stay() {
    let (sql, calls) = extract(r#"SELECT * FROM 's3://b/t/year=*/*.parquet' AS x JOIN orders o ON x.a = o.a, "it's""#);
    assert_eq!(sql, r#"SELECT * FROM "$files"."t" AS x JOIN orders o ON x.a = o.a, "it's""#);
    assert_eq!(calls.len(), 1);
}

#[test]
fn the_same_file_has_one_name_and_others_get_a_number() {
    let (sql, calls) = extract("SELECT * FROM 'a/t.csv' UNION SELECT * FROM 'b/t.csv' UNION SELECT * FROM 'a/t.csv'");
    let names: Vec<&str> = calls.iter().map(|call| call.table.as_str()).collect();
    assert_eq!(names, ["t", "t_2"]);
    assert!(sql.contains(r#""$files"."t_2" AS "t""#), "{sql}");
}

#[test]
fn calls_take_lists_and_options() {
    let (_, calls) =
        extract("SELECT * FROM read_csv(['a.csv', 'b.csv'], header => false, delim => ';', infer_rows => 5)");
    let definition = &calls[0].definition;
    assert_eq!(definition.locations, ["a.csv", "b.csv"]);
    assert_eq!(definition.format.as_deref(), Some("csv"));
    let options: Vec<(&str, &str)> = definition.options.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(options, [("delim", ";"), ("header", "false"), ("infer_rows", "5")]);
}

#[test]
fn they_are_found_wherever_a_relation_can_stand() {
    for sql in [
        "WITH t AS (SELECT * FROM 'a.csv') SELECT * FROM t",
        "SELECT * FROM b WHERE x IN (SELECT x FROM read_csv('a.csv'))",
        "SELECT (SELECT max(x) FROM 'a.csv')",
        "SELECT * FROM b LEFT JOIN 'a.csv' a ON a.x = b.x",
        "SELECT * FROM b CROSS JOIN LATERAL read_csv('a.csv') AS a",
        "EXPLAIN SELECT * FROM 'a.csv'",
        "EXPLAIN ANALYZE SELECT * FROM 'a.csv'",
        "COPY (SELECT * FROM 'a.csv') TO 'b.parquet'",
        "INSERT INTO t SELECT * FROM 'a.csv'",
        "CREATE TABLE t AS SELECT * FROM 'a.csv'",
        "CREATE VIEW v AS SELECT * FROM 'a.csv'",
        "DESCRIBE 'a.csv'",
    ] {
        assert_eq!(extract(sql).1.len(), 1, "{sql}");
    }
}

#[test]
fn other_functions_stay() {
    let (sql, calls) = extract("SELECT * FROM generate_series(1, 3)");
    assert_eq!(sql, "SELECT * FROM generate_series(1, 3)");
    assert!(calls.is_empty());
}

#[test]
fn mistakes_say_where_they_are() {
    assert_eq!(
        failure("SELECT *\nFROM read_csv()"),
        "read_csv takes a path or a list of paths, and then options by name (line 2, column 6)"
    );
    assert!(failure("SELECT * FROM read_csv('a', header => x + 1)").contains("'header' is not a constant"));
    assert!(failure("SELECT * FROM read_csv('a', header => true, header => false)").contains("given twice"));
    assert!(failure("SELECT * FROM read_csv($1)").contains("takes a path"));
}
