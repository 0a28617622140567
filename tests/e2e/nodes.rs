//! What the HTTP door tells of the processes of the server and of their tasks, with a cluster and without.

use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tidemill_engine::ErrorKind;
use tidemill_engine::auth::{Principal, Role};
use tidemill_tests::TestServer;

use crate::elsewhere::{Act, Elsewhere, people};
use crate::patience::{LONG, come_true, run};

async fn get(server: &TestServer, path: &str) -> anyhow::Result<Value> {
    Ok(Client::new().get(server.url(path)).send().await?.error_for_status()?.json().await?)
}

/// Begins a query in the background, and gives its id.
async fn submit(server: &TestServer, sql: &str) -> anyhow::Result<String> {
    let body = json!({ "sql": sql, "session": { "cluster_threshold": "0" } });
    let request = Client::new().post(server.url("/v1/query")).header("prefer", "respond-async").json(&body);
    let response = request.send().await?.error_for_status()?;
    let id = response.headers().get("x-query-id").context("no id")?;
    Ok(id.to_str()?.to_owned())
}

#[test]
fn a_server_alone_is_its_only_node() -> anyhow::Result<()> {
    run(async {
        let server = TestServer::start().await?;
        let nodes = get(&server, "/v1/nodes").await?;
        let only = &nodes["nodes"][0];
        ensure!(nodes["nodes"].as_array().map(Vec::len) == Some(1), "{nodes}");
        ensure!((only["id"].as_str(), only["role"].as_str()) == (Some("local"), Some("single")), "{only}");
        ensure!(only["slots"] == only["cpu_threads"] && only["slots_free"] == only["slots"], "{only}");

        let drained = Client::new().post(server.url("/v1/nodes/local/drain")).send().await?;
        ensure!(drained.status() == StatusCode::NOT_FOUND);
        let problem: Value = drained.json().await?;
        ensure!(problem["code"] == "NODE_NOT_FOUND" && problem["hint"].is_string(), "{problem}");

        let demand = get(&server, "/v1/autoscale").await?;
        ensure!(
            demand["desired_slots"] == 0 && demand["slots"] == only["slots"] && demand["target_seconds"] == 5.0,
            "{demand}"
        );
        Ok(())
    })
}

#[test]
fn workers_are_listed_and_drained() -> anyhow::Result<()> {
    run(async {
        let server = TestServer::start().await?;
        let _runner = Elsewhere::attached(&server)?;
        let nodes = get(&server, "/v1/nodes").await?;
        let roles: Vec<&str> =
            nodes["nodes"].as_array().into_iter().flatten().filter_map(|node| node["role"].as_str()).collect();
        ensure!(roles == ["coordinator", "worker", "worker"], "{nodes}");

        let drained = Client::new().post(server.url("/v1/nodes/w2/drain")).send().await?;
        ensure!(drained.status() == StatusCode::ACCEPTED);
        let node: Value = drained.json().await?;
        ensure!(node["id"] == "w2" && node["state"] == "draining" && node["version"] == "1.2.3", "{node}");
        let unknown = Client::new().post(server.url("/v1/nodes/w3/drain")).send().await?;
        ensure!(unknown.status() == StatusCode::NOT_FOUND);

        let demand = get(&server, "/v1/autoscale").await?;
        ensure!(demand["slots"] == 1 && demand["slots_free"] == 1, "a draining worker takes no tasks: {demand}");
        let metrics = Client::new().get(server.url("/metrics")).send().await?.text().await?;
        for sample in [
            "tidemill_workers{state=\"active\"} 1",
            "tidemill_workers{state=\"draining\"} 1",
            "tidemill_workers{state=\"lost\"} 0",
            "tidemill_slots 1",
            "tidemill_desired_slots 0",
        ] {
            ensure!(metrics.lines().any(|line| line == sample), "{sample} is not in\n{metrics}");
        }
        Ok(())
    })
}

#[test]
fn only_an_admin_drains() -> anyhow::Result<()> {
    run(async {
        let server = TestServer::start().await?;
        let runner = Elsewhere::attached(&server)?;
        let error = server.engine().drain(&Principal::new("ann", Role::Writer), "w1").err().context("drained")?;
        ensure!(error.kind() == ErrorKind::Forbidden && runner.script().drained.is_empty(), "{error}");
        Ok(())
    })
}

#[test]
fn stages_are_told_while_a_query_runs_and_after() -> anyhow::Result<()> {
    run(async {
        let server = TestServer::start().await?;
        let runner = Elsewhere::attached(&server)?;
        runner.script().act = Act::HangAfterFirst;
        let id = submit(&server, &format!("SELECT name FROM {}", people())).await?;
        let path = format!("/v1/queries/{id}/stages");
        come_true("it runs", LONG, || server.engine().autoscale().tasks_running == 2).await?;
        let running = get(&server, &path).await?;
        ensure!(running["stages"][0]["state"] == "running" && running["tasks"][1]["worker"] == "w1", "{running}");
        let demand = get(&server, "/v1/autoscale").await?;
        ensure!(
            demand["queries_running"] == 1 && (1..=2).contains(&demand["desired_slots"].as_u64().unwrap_or(0)),
            "{demand}"
        );
        let metrics = Client::new().get(server.url("/metrics")).send().await?.text().await?;
        ensure!(metrics.contains("\ntidemill_tasks_running 2\n"), "{metrics}");

        Client::new().delete(server.url(&format!("/v1/queries/{id}"))).send().await?.error_for_status()?;
        come_true("its end", LONG, || server.engine().status().queries_living == 0).await?;
        let ended = get(&server, &path).await?;
        ensure!(ended["tasks"][0]["state"] == "cancelled" && ended["tasks"][0]["spilled_bytes"] == 0, "{ended}");
        let status = get(&server, &format!("/v1/queries/{id}")).await?;
        ensure!(status["links"]["stages"] == path.as_str() && status["runner"] == "cluster", "{status}");
        let metrics = Client::new().get(server.url("/metrics")).send().await?.text().await?;
        ensure!(metrics.contains("tidemill_tasks_total{state=\"cancelled\"} 2\n"), "{metrics}");
        Ok(())
    })
}

#[test]
fn events_tell_of_stages_and_tasks() -> anyhow::Result<()> {
    run(async {
        let server = TestServer::start().await?;
        let runner = Elsewhere::attached(&server)?;
        let id = submit(&server, &format!("SELECT name FROM {}", people())).await?;
        come_true("its end", LONG, || runner.begun() == 1 && server.engine().status().queries_living == 0).await?;
        let url = server.url(&format!("/v1/queries/{id}"));
        let request = Client::new().get(url).header("accept", "text/event-stream").timeout(Duration::from_secs(30));
        let events = request.send().await?.error_for_status()?.text().await?;
        let names: Vec<&str> = events.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
        ensure!(names == ["stage", "task", "task", "end"], "{events}");
        let first: Value =
            serde_json::from_str(events.lines().find_map(|line| line.strip_prefix("data: ")).context("no data")?)?;
        ensure!(first["state"] == "finished" && first["plan"] == "it all" && first["tasks_done"] == 2, "{first}");
        Ok(())
    })
}
