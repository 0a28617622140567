use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Extension, Router, middleware};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tidemill_engine::auth::{
    AuthConfig, AuthMode, Authenticator, Principal, Role, Secret, TokenConfig, UserConfig, hash_password,
};
use tidemill_engine::error::Error;
use tower::ServiceExt;

use super::*;
use crate::gate::LoginLimits;

/// SHA-256 of "tok".
const TOKEN_HASH: &str = "sha256:1a7674eb4ee78df7e1ac439a93c3fa8e3c945784d4dec9fd8e3011738b2f1d62";

fn respond(error: Error, status: Option<StatusCode>) -> Response {
    let by_kind = match error.kind() {
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Busy => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::BAD_REQUEST,
    };
    (status.unwrap_or(by_kind), error.to_string()).into_response()
}

fn app(mode: AuthMode, max_failures_per_minute: u32) -> Router {
    guarded(gate(mode, max_failures_per_minute))
}

fn gate(mode: AuthMode, max_failures_per_minute: u32) -> Gate {
    let config = AuthConfig {
        mode,
        users: vec![UserConfig {
            name: "ann".into(),
            password_hash: hash_password(&Secret::new("correct: horse")).unwrap(),
            role: Role::Writer,
        }],
        tokens: vec![TokenConfig {
            name: "ci".into(),
            principal: "robot".into(),
            token_hash: Secret::new(TOKEN_HASH),
            role: Role::Reader,
            expires_at: None,
        }],
    };
    let authenticator = Arc::new(Authenticator::new(config).unwrap());
    Gate::new(authenticator, LoginLimits { max_failures_per_minute, max_checks: 2 })
}

fn guarded(gate: Gate) -> Router {
    let entrance = Entrance::new(gate, PUBLIC_PATHS, respond);
    Router::new()
        .route("/livez", get(|| async { "alive" }))
        .route("/me", get(|Extension(principal): Extension<Principal>| async move { principal.name().to_owned() }))
        .layer(middleware::from_fn_with_state(entrance, authenticate))
}

async fn ask(app: &Router, path: &str, authorization: Option<&str>) -> (StatusCode, HeaderMap, String) {
    let mut request = Request::builder().uri(path);
    if let Some(value) = authorization {
        request = request.header(AUTHORIZATION, value);
    }
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([10, 0, 0, 1], 5000))));
    let response = app.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 4096).await.unwrap();
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

#[tokio::test]
async fn credentials_become_the_principal() {
    let app = app(AuthMode::Static, 10);
    let (status, _, name) = ask(&app, "/me", Some(&basic("ann", "correct: horse"))).await;
    assert_eq!((status, name.as_str()), (StatusCode::OK, "ann"));
    let (status, _, name) = ask(&app, "/me", Some("bearer tok")).await;
    assert_eq!((status, name.as_str()), (StatusCode::OK, "robot"));
}

#[tokio::test]
async fn a_client_without_credentials_is_told_how_to_show_them() {
    let app = app(AuthMode::Static, 10);
    for wrong in [None, Some("Bearer wrong"), Some("Negotiate abc"), Some("s3cret")] {
        let (status, headers, body) = ask(&app, "/me", wrong).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{wrong:?}");
        let challenges: Vec<_> = headers.get_all(WWW_AUTHENTICATE).iter().collect();
        assert_eq!(challenges, [r#"Basic realm="tidemill", charset="UTF-8""#, "Bearer"]);
        assert!(!body.contains("s3cret"));
    }
    for malformed in ["Basic", "Basic !!!", "Basic /w"] {
        assert_eq!(ask(&app, "/me", Some(malformed)).await.0, StatusCode::BAD_REQUEST, "{malformed}");
    }
    assert_eq!(ask(&app, "/livez", None).await.0, StatusCode::OK);
    assert_eq!(ask(&app, "/livez/", None).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn guessing_is_braked_and_tokens_still_work() {
    let app = app(AuthMode::Static, 2);
    for _ in 0..2 {
        assert_eq!(ask(&app, "/me", Some(&basic("ann", "guess"))).await.0, StatusCode::UNAUTHORIZED);
    }
    let right = basic("ann", "correct: horse");
    assert_eq!(ask(&app, "/me", Some(&right)).await.0, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(ask(&app, "/me", Some("Bearer tok")).await.0, StatusCode::OK);
}

#[tokio::test]
async fn without_authentication_everybody_is_anonymous() {
    let app = app(AuthMode::None, 2);
    for any in [None, Some("Bearer x"), Some("nonsense")] {
        let (status, _, name) = ask(&app, "/me", any).await;
        assert_eq!((status, name.as_str()), (StatusCode::OK, "anonymous"));
    }
}
