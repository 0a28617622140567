//! Who is let in, and who is not, over real connections.

use ballista_core::serde::protobuf::executor_grpc_client::ExecutorGrpcClient;
use ballista_core::serde::protobuf::executor_grpc_server::{ExecutorGrpc, ExecutorGrpcServer};
use ballista_core::serde::protobuf::{
    CancelTasksParams, CancelTasksResult, LaunchMultiTaskParams, LaunchMultiTaskResult, LaunchTaskParams,
    LaunchTaskResult, RemoveJobDataParams, RemoveJobDataResult, StopExecutorParams, StopExecutorResult,
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};

use super::*;

/// Does nothing, and says so.
struct Nothing;

#[tonic::async_trait]
impl ExecutorGrpc for Nothing {
    async fn launch_task(&self, _: Request<LaunchTaskParams>) -> Result<Response<LaunchTaskResult>, Status> {
        Ok(Response::new(Default::default()))
    }
    async fn launch_multi_task(
        &self,
        _: Request<LaunchMultiTaskParams>,
    ) -> Result<Response<LaunchMultiTaskResult>, Status> {
        Ok(Response::new(Default::default()))
    }
    async fn stop_executor(&self, _: Request<StopExecutorParams>) -> Result<Response<StopExecutorResult>, Status> {
        Ok(Response::new(Default::default()))
    }
    async fn cancel_tasks(&self, _: Request<CancelTasksParams>) -> Result<Response<CancelTasksResult>, Status> {
        Ok(Response::new(Default::default()))
    }
    async fn remove_job_data(&self, _: Request<RemoveJobDataParams>) -> Result<Response<RemoveJobDataResult>, Status> {
        Ok(Response::new(Default::default()))
    }
}

struct Served {
    port: u16,
    _stop: DropGuard,
}

async fn served(transport: &Transport) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (transport, stop) = (transport.clone(), CancellationToken::new());
    let stopped = stop.clone();
    tokio::spawn(async move {
        serve(listener, Routes::new(ExecutorGrpcServer::new(Nothing)), &transport, stopped).await.unwrap();
    });
    Served { port, _stop: stop.drop_guard() }
}

fn transport(token: Option<&str>, tls: Option<Tls>) -> Transport {
    Transport::open(&TransportConfig { join_token: token.map(Secret::new), tls }).unwrap()
}

async fn call(transport: &Transport, server: &Served) -> Result<(), Code> {
    let wire = transport.channel("localhost", server.port).unwrap();
    let answer = ExecutorGrpcClient::new(wire).cancel_tasks(CancelTasksParams::default()).await;
    answer.map(|_| ()).map_err(|status| status.code())
}

#[tokio::test]
async fn only_who_knows_the_token_is_let_in() {
    let right = transport(Some("right"), None);
    let server = served(&right).await;
    assert_eq!(call(&right, &server).await, Ok(()));
    assert_eq!(call(&transport(Some("right"), None), &server).await, Ok(()));
    assert_eq!(call(&transport(Some("wrong"), None), &server).await, Err(Code::Unauthenticated));
    assert_eq!(call(&transport(None, None), &server).await, Err(Code::Unauthenticated));
}

#[tokio::test]
async fn clients_that_make_their_own_endpoint_show_the_token_too() {
    let right = transport(Some("right"), None);
    let server = served(&right).await;
    let plain = Endpoint::from_shared(format!("http://localhost:{}", server.port)).unwrap();
    let stranger = ExecutorGrpcClient::new(plain.connect_lazy()).cancel_tasks(CancelTasksParams::default()).await;
    assert_eq!(stranger.unwrap_err().code(), Code::Unauthenticated);
    let remade = right.endpoints()(plain).unwrap();
    ExecutorGrpcClient::new(remade.connect_lazy()).cancel_tasks(CancelTasksParams::default()).await.unwrap();
}

/// An authority, and a certificate of it for `localhost`.
fn pki(folder: &TempDir, name: &str) -> Tls {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = authority.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let node = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = node.signed_by(&key, &issuer).unwrap();
    let file = |kind: &str, pem: String| {
        let path = folder.path().join(format!("{name}.{kind}"));
        std::fs::write(&path, pem).unwrap();
        path
    };
    Tls { cert: file("crt", certificate.pem()), key: file("key", key.serialize_pem()), ca: file("ca", ca.pem()) }
}

#[tokio::test]
async fn with_tls_both_sides_show_a_certificate_of_the_authority() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (pki(&folder, "ours"), pki(&folder, "theirs"));
    let right = transport(Some("right"), Some(ours));
    let server = served(&right).await;
    assert_eq!(call(&right, &server).await, Ok(()));
    call(&transport(Some("right"), None), &server).await.unwrap_err();
    call(&transport(Some("right"), Some(theirs)), &server).await.unwrap_err();
}

#[tokio::test]
async fn who_is_not_where_its_certificate_says_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let ours = transport(Some("right"), Some(pki(&folder, "ours")));
    let server = served(&ours).await;
    ours.probe("localhost", server.port).await.unwrap();
    let elsewhere = ours.probe("127.0.0.1", server.port).await.unwrap_err();
    assert!(elsewhere.contains("certificate"), "{elsewhere}");
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let refused = ours.probe("localhost", nobody).await.unwrap_err();
    assert!(!refused.contains("certificate"), "{refused}");
}

#[test]
fn broken_files_and_empty_tokens_refuse_to_start() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (pki(&folder, "ours"), pki(&folder, "theirs"));
    let message =
        |tls: Tls| Transport::open(&TransportConfig { join_token: None, tls: Some(tls) }).unwrap_err().to_string();
    assert!(message(Tls { cert: "/no/such".into(), ..ours.clone() }).contains("cluster.tls.cert"));
    assert!(message(Tls { key: theirs.key, ..ours.clone() }).contains("can not be used"));
    std::fs::write(folder.path().join("junk"), "junk").unwrap();
    assert!(message(Tls { ca: folder.path().join("junk"), ..ours }).contains("cluster.tls.ca"));
    let empty = TransportConfig { join_token: Some(Secret::new(" ")), tls: None };
    assert!(Transport::open(&empty).unwrap_err().message().contains("empty"));
}

#[test]
fn the_token_is_never_shown() {
    let config = TransportConfig { join_token: Some(Secret::new("hush")), tls: None };
    let transport = Transport::open(&config).unwrap();
    let said = format!("{config:?}{transport:?}{:?}", transport.guard());
    assert!(!said.contains("hush"));
    assert!(!transport.0.credential.header().contains("hush"));
}

#[test]
fn the_open_network_needs_a_token() {
    let open = "0.0.0.0:50050".parse().unwrap();
    assert!(transport(None, None).check_bind(open, "cluster.listen").unwrap_err().message().contains("cluster.listen"));
    transport(Some("t"), None).check_bind(open, "cluster.listen").unwrap();
    transport(None, None).check_bind("127.0.0.1:0".parse().unwrap(), "cluster.listen").unwrap();
}
