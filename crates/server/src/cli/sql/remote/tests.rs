//! Against a server of a few lines that answers from a script, so that broken answers can be told too.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Answers each request by the first row whose text occurs in its head; remembers all heads and bodies.
struct Server {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

type Script = Vec<(&'static str, u16, Vec<u8>)>;

impl Server {
    async fn start(mut script: Script) -> Self {
        script.push(("POST /v1/sessions", 201, br#"{"id": "s1"}"#.to_vec()));
        script.push(("DELETE ", 204, Vec::new()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                let request = answer_one(connection, &script).await;
                seen.lock().push(request);
            }
        });
        Self { url, requests }
    }

    async fn connect(&self) -> Remote {
        connect(&self.url).await.unwrap()
    }
}

async fn connect(url: &str) -> Result<Remote, Failure> {
    Remote::connect(Url::parse(url).unwrap(), Login::Anonymous).await
}

async fn answer_one(connection: TcpStream, script: &Script) -> String {
    let mut connection = BufReader::new(connection);
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        connection.read_line(&mut request).await.unwrap();
    }
    let length = request.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    connection.read_exact(&mut body).await.unwrap();
    request.push_str(&String::from_utf8(body).unwrap());

    let row = script.iter().find(|(text, ..)| request.contains(text));
    let (_, status, body) = row.unwrap_or_else(|| panic!("unexpected request: {request}"));
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(body).await.unwrap();
    connection.shutdown().await.unwrap();
    request
}

fn batch() -> RecordBatch {
    RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)]).unwrap()
}

fn stream() -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch().schema()).unwrap();
    writer.write(&batch()).unwrap();
    writer.write(&batch()).unwrap();
    writer.into_inner().unwrap()
}

async fn rows(remote: &Remote, sql: &str) -> Result<Vec<RecordBatch>, Failure> {
    remote.run(sql).await?.batches.try_collect().await
}

fn fault_of<T: std::fmt::Debug>(result: Result<T, Failure>) -> Fault {
    match result {
        Err(Failure::Statement(fault)) => fault,
        other => panic!("not a failed statement: {other:?}"),
    }
}

#[tokio::test]
async fn statements_run_in_one_session_which_is_closed() {
    let server = Server::start(vec![("POST /v1/query", 200, stream())]).await;
    let remote = server.connect().await;
    assert_eq!(rows(&remote, "select n").await.unwrap(), [batch(), batch()]);
    remote.close().await;

    let requests = server.requests.lock();
    assert!(requests[1].contains(r#"{"sql":"select n","session_id":"s1"}"#), "{}", requests[1]);
    assert!(requests[1].contains("accept: application/vnd.apache.arrow.stream"));
    assert!(requests[2].starts_with("DELETE /v1/sessions/s1 "));
}

#[tokio::test]
async fn cancel_and_progress_name_the_query_by_the_id_we_chose() {
    let status = br#"{"state": "running", "progress": {"fraction": 0.5, "rows_read": 7, "other": 1}}"#.to_vec();
    let script = vec![("POST /v1/query", 200, stream()), ("GET /v1/queries/", 200, status)];
    let server = Server::start(script).await;
    let remote = server.connect().await;
    let answer = remote.run("select n").await.unwrap();
    let progress = remote.progress().await.unwrap();
    assert_eq!((progress.fraction, progress.rows_read), (Some(0.5), 7));
    drop(answer);
    remote.cancel().await;

    let requests = server.requests.lock();
    let id = requests[1].lines().find_map(|line| line.strip_prefix("x-query-id: ")).unwrap();
    assert!(requests[2].starts_with(&format!("GET /v1/queries/{id} ")));
    assert!(requests[3].starts_with(&format!("DELETE /v1/queries/{id} ")));
}

#[tokio::test]
async fn a_problem_document_becomes_the_fault() {
    let problem = br#"{"title": "Column not found", "status": 400, "code": "COLUMN_NOT_FOUND",
        "detail": "column 'x' not found", "hint": "look", "position": {"line": 1, "column": 8}}"#;
    let server = Server::start(vec![("POST /v1/query", 400, problem.to_vec())]).await;
    let fault = fault_of(rows(&server.connect().await, "select x").await);
    assert_eq!((fault.code.as_str(), fault.detail.as_str()), ("COLUMN_NOT_FOUND", "column 'x' not found"));
    assert_eq!(fault.position.unwrap().column, 8);
}

#[tokio::test]
async fn an_expired_session_is_replaced_but_the_statement_is_not_repeated() {
    let gone = br#"{"code": "SESSION_NOT_FOUND", "detail": "session 's1' not found"}"#.to_vec();
    let server = Server::start(vec![("POST /v1/query", 404, gone)]).await;
    let remote = server.connect().await;
    assert!(fault_of(rows(&remote, "select 1").await).hint.unwrap().contains("expired"));
    fault_of(rows(&remote, "select 2").await);

    let requests = server.requests.lock();
    let sessions = requests.iter().filter(|request| request.starts_with("POST /v1/sessions")).count();
    assert_eq!((sessions, requests.len()), (2, 4));
}

#[tokio::test]
async fn a_result_without_its_end_is_an_error_that_tells_the_cause() {
    let mut cut = stream();
    cut.truncate(cut.len() - 8);
    let status = br#"{"state": "failed", "error": {"code": "DIVISION_BY_ZERO", "message": "division by zero"}}"#;
    let script = vec![("POST /v1/query", 200, cut), ("GET /v1/queries/", 200, status.to_vec())];
    let server = Server::start(script).await;
    let fault = fault_of(rows(&server.connect().await, "select 1 / n").await);
    assert_eq!(fault.detail, "division by zero");
}

#[tokio::test]
async fn who_cannot_be_reached_or_refuses_is_a_connection_failure() {
    let refused = connect("http://127.0.0.1:1").await;
    assert!(matches!(refused, Err(Failure::Connection(_))));

    let problem = br#"{"detail": "credentials are missing"}"#.to_vec();
    let server = Server::start(vec![("POST /v1/sessions", 401, problem)]).await;
    match connect(&server.url).await {
        Err(Failure::Connection(message)) => assert!(message.contains("credentials are missing; give --user")),
        other => panic!("{other:?}"),
    }
}
