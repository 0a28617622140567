use axum::body::Body;
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, HOST, ORIGIN};
use axum::response::IntoResponse;
use axum::routing::post;
use bytes::Bytes;
use futures::StreamExt;
use tidemill_engine::error::ErrorKind;
use tidemill_engine::units::{ByteSize, Span};
use tower::ServiceExt;

use super::*;
use crate::config::tests::http_config;

fn respond(error: Error, status: Option<StatusCode>) -> Response {
    let by_kind = if error.kind() == ErrorKind::Forbidden { StatusCode::FORBIDDEN } else { StatusCode::BAD_REQUEST };
    (status.unwrap_or(by_kind), format!("{error} {}", error.hint_text().unwrap_or_default())).into_response()
}

fn app(config: &HttpConfig) -> Router {
    let length = |body: Bytes| async move { body.len().to_string() };
    protect(Router::new().route("/", post(length).get(|| async { "page" })), config, respond)
}

async fn ask(config: &HttpConfig, method: &str, headers: &[(&str, &str)], body: Body) -> Response {
    let mut request = Request::builder().method(method).uri("/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    app(config).oneshot(request.body(body).unwrap()).await.unwrap()
}

async fn text(response: Response) -> String {
    let bytes = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn bodies_are_bounded_with_or_without_a_length() {
    let config = HttpConfig { max_body_bytes: ByteSize(4), ..http_config() };
    let chunked = |text: &'static str| Body::from_stream(futures::stream::iter([Ok::<_, Error>(text)]));
    for body in [Body::from("1234"), chunked("1234")] {
        assert_eq!(text(ask(&config, "POST", &[], body).await).await, "4");
    }
    for body in [Body::from("12345"), chunked("12345")] {
        let response = ask(&config, "POST", &[], body).await;
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert!(text(response).await.contains("larger than 4B raise http.max_body_bytes"));
    }
    let large = HttpConfig { max_body_bytes: ByteSize(8 << 20), ..http_config() };
    assert_eq!(text(ask(&large, "POST", &[], Body::from(vec![0; 5 << 20])).await).await, "5242880");
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_given_up() {
    let config = HttpConfig { body_read_timeout: Span(std::time::Duration::from_millis(10)), ..http_config() };
    let start = futures::stream::iter([Ok::<_, Error>("half")]);
    let response = ask(&config, "POST", &[], Body::from_stream(start.chain(futures::stream::pending()))).await;
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
    assert!(text(response).await.contains("within 10ms"));
}

#[tokio::test]
async fn what_a_route_leaves_unread_is_read_away() {
    let (told, read) = tokio::sync::oneshot::channel();
    let rest = futures::stream::once(async move {
        let _ = told.send(());
        Ok::<_, Error>("rest")
    });
    let body = Body::from_stream(futures::stream::iter([Ok("start")]).chain(rest));
    let response = ask(&http_config(), "PUT", &[], body).await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    read.await.unwrap();
}

#[tokio::test]
async fn pages_of_other_sites_cannot_post() {
    let config = HttpConfig { cors_allowed_origins: vec!["https://app.example.com".into()], ..http_config() };
    for (headers, allowed) in [
        (&[][..], true),
        (&[("host", "localhost:8080"), ("origin", "http://localhost:8080")], true),
        (&[("host", "localhost:8080"), ("origin", "http://localhost:9999")], false),
        (&[("host", "localhost"), ("origin", "https://localhost:443")], true),
        (&[("host", "localhost:8080"), ("origin", "https://evil.example")], false),
        (&[("host", "localhost:8080"), ("origin", "null")], false),
        (&[("host", "localhost:8080"), ("origin", "https://app.example.com")], true),
        (&[("sec-fetch-site", "cross-site")], false),
        (&[("sec-fetch-site", "same-site")], false),
        (&[("sec-fetch-site", "same-origin")], true),
    ] {
        let response = ask(&config, "POST", headers, Body::from("SELECT 1")).await;
        let expected = if allowed { StatusCode::OK } else { StatusCode::FORBIDDEN };
        assert_eq!(response.status(), expected, "{headers:?}");
    }
    // A link from elsewhere to a page is fine.
    let link = ask(&config, "GET", &[("sec-fetch-site", "cross-site")], Body::empty()).await;
    assert_eq!(link.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_server_on_loopback_answers_only_to_its_own_names() {
    let config = HttpConfig { allowed_hosts: vec!["Proxy.example".into()], ..http_config() };
    for (host, allowed) in [
        ("localhost:8080", true),
        ("127.0.0.1:8080", true),
        ("[::1]:8080", true),
        ("LOCALHOST.", true),
        ("proxy.example", true),
        ("evil.example:8080", false),
        ("127.0.0.1.evil.example", false),
        ("192.168.1.5", false),
    ] {
        let status = ask(&config, "GET", &[(HOST.as_str(), host)], Body::empty()).await.status();
        assert_eq!(status, if allowed { StatusCode::OK } else { StatusCode::FORBIDDEN }, "{host}");
    }
    let open = HttpConfig { listen: "0.0.0.0:8080".parse().unwrap(), ..config };
    let status = ask(&open, "GET", &[(HOST.as_str(), "db.example")], Body::empty()).await.status();
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn allowed_origins_pass_their_preflight() {
    let config = HttpConfig { cors_allowed_origins: vec!["https://app.example.com".into()], ..http_config() };
    let preflight = |origin| [(ORIGIN.as_str(), origin), ("access-control-request-method", "POST")];
    let response = ask(&config, "OPTIONS", &preflight("https://app.example.com"), Body::empty()).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "https://app.example.com");
    let response = ask(&config, "OPTIONS", &preflight("https://evil.example"), Body::empty()).await;
    assert!(!response.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    for headers in [&[][..], &[("host", "evil.example")]] {
        let response = ask(&http_config(), "GET", headers, Body::empty()).await;
        assert_eq!(response.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
    }
}
