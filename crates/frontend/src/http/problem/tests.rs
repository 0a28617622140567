use tidemill_engine::QueryId;

use super::*;

#[test]
fn a_missing_table_tells_everything_a_client_needs() {
    let id = QueryId::new();
    let error = Error::not_found(Subject::Table, "table 'oders' not found")
        .suggest(vec!["orders".to_owned()])
        .hint("list tables with SHOW TABLES")
        .at(Some(Position { line: 2, column: 6, offset: 14, length: 5 }))
        .of_query(id);
    let problem =
        serde_json::to_value(Problem::of_statement(&error).traced(Some("0af7651916cd43dd8448eb211c80319c"))).unwrap();
    assert_eq!(
        problem,
        serde_json::json!({
            "type": "urn:tidemill:error:table-not-found",
            "title": "Table not found",
            "status": 400,
            "detail": "table 'oders' not found; did you mean 'orders'? (line 2, column 6)",
            "instance": format!("/v1/queries/{id}"),
            "code": "TABLE_NOT_FOUND",
            "sqlstate": "42P01",
            "position": {"line": 2, "column": 6, "offset": 14, "length": 5},
            "hint": "list tables with SHOW TABLES",
            "query_id": id.to_string(),
            "trace_id": "0af7651916cd43dd8448eb211c80319c",
            "retryable": false,
            "did_you_mean": ["orders"],
        })
    );
    assert_eq!(Problem::of_path(&error).status, 404);
}

#[test]
fn positions_are_those_of_the_clients_text() {
    let problem = |line, column, offset| {
        let error = Error::invalid("x").at(Some(Position { line, column, offset, length: 3 }));
        let problem = Problem::of_statement(&error).without_prefix("EXPLAIN ");
        let position = problem.position.unwrap();
        assert_eq!((position.line, position.length), (line, 3));
        (position.column, position.offset, problem.detail)
    };
    assert_eq!(problem(1, 15, 14), (7, 6, "x (line 1, column 7)".to_owned()));
    assert_eq!(problem(1, 3, 2), (1, 0, "x (line 1, column 1)".to_owned()));
    assert_eq!(problem(2, 15, 33), (15, 25, "x (line 2, column 15)".to_owned()));
}

#[test]
fn statuses_tell_whose_fault_it_is() {
    for (kind, status) in [
        (ErrorKind::Invalid, 400),
        (ErrorKind::Conflict, 409),
        (ErrorKind::Unauthenticated, 401),
        (ErrorKind::Forbidden, 403),
        (ErrorKind::Unsupported, 501),
        (ErrorKind::Data, 422),
        (ErrorKind::Cancelled, 499),
        (ErrorKind::Timeout, 504),
        (ErrorKind::Busy, 429),
        (ErrorKind::Unavailable, 503),
        (ErrorKind::Resources, 507),
        (ErrorKind::Storage, 502),
        (ErrorKind::Internal, 500),
    ] {
        assert_eq!(Problem::of_statement(&Error::new(kind, "x")).status, status, "{kind:?}");
    }
    let large = Error::new(ErrorKind::Resources, "too large").about(Subject::ResultSize);
    assert_eq!(Problem::of_statement(&large).status, 422);
}

#[test]
fn an_internal_error_keeps_its_cause_from_the_client() {
    let error = Error::internal("index 7 out of bounds").hint("look at line 3").caused_by("password=hunter2");
    let text = serde_json::to_string(&Problem::of_statement(&error)).unwrap();
    for secret in ["index 7", "line 3", "hunter2"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn headers_say_when_to_retry_and_how_to_log_in() {
    let busy = Error::new(ErrorKind::Busy, "the queue is full").retry_after(Duration::from_millis(1_500));
    let response = Problem::of_statement(&busy).into_response();
    assert_eq!(response.headers()[RETRY_AFTER], "2");
    assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
    assert!(!response.headers().contains_key("ratelimit-limit"), "the limit is not known");
    let response = Problem::of_statement(&busy.at_limit(16)).into_response();
    let told =
        ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"].map(|name| response.headers()[name].clone());
    assert_eq!(told, ["16", "0", "2"]);
    let unknown = Error::new(ErrorKind::Unauthenticated, "wrong password");
    let response = Problem::of_statement(&unknown).into_response();
    assert_eq!(response.headers().get_all(WWW_AUTHENTICATE).iter().count(), 2);
}
