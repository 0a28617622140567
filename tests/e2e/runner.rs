//! What the engine makes of a runner besides this process: which queries go there, and what stays as it is if they do.

use std::sync::Arc;

use anyhow::{Context, ensure};
use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use futures::TryStreamExt;
use tidemill_engine::query::{HistoryFilter, TaskState};
use tidemill_engine::{ErrorKind, QueryInfo, QueryRequest, QueryState, RequestLimits, Session};
use tidemill_tests::TestServer;

use crate::elsewhere::{Act, Elsewhere, answer, people, texts};
use crate::patience::{LONG, PATIENCE, come_true, run};

/// A server with a runner besides, and a session that lets everything go there.
async fn served(keys: &[(&str, &str)]) -> anyhow::Result<(TestServer, Arc<Elsewhere>, Arc<Session>)> {
    let server = TestServer::with(keys).await?;
    let runner = Elsewhere::attached(&server)?;
    let session = server.session()?;
    session.set("cluster_threshold", "0")?;
    // What is asked twice is to be computed twice.
    session.set("result_cache", "false")?;
    Ok((server, runner, session))
}

async fn profile(server: &TestServer, session: &Session, info: &QueryInfo) -> anyhow::Result<String> {
    Ok(server.engine().queries().profile(session.principal(), info.id).await?.profile)
}

fn ran(info: &QueryInfo) -> (Option<&str>, &str) {
    (info.runner.as_deref(), info.runner_reason.as_deref().unwrap_or(""))
}

#[test]
fn what_scans_much_goes_there_and_the_rest_says_why_not() -> anyhow::Result<()> {
    run(async {
        let (_server, runner, session) = served(&[]).await?;
        let (rows, info) = answer(&session, &format!("SELECT name FROM {} ORDER BY id", people())).await?;
        ensure!(ran(&info) == (Some("cluster"), ""), "{info:?}");
        ensure!(texts(&rows, "name")?.first().is_some_and(|name| name == "Ada"), "{rows:?}");

        session.set("cluster_threshold", "1MiB")?;
        let (_, info) = answer(&session, &format!("SELECT age FROM {}", people())).await?;
        ensure!(
            info.runner.as_deref() == Some("local") && ran(&info).1.contains("cluster_threshold (1MiB)"),
            "{info:?}"
        );

        session.set("cluster_threshold", "0")?;
        for (setting, choice, sql, reason) in [
            ("runner", "local", format!("SELECT city FROM {}", people()), "runner is 'local'"),
            ("runner", "cluster", "SELECT count(*) FROM system.queries".to_owned(), "asks the server about itself"),
            ("runner", "cluster", format!("CREATE TABLE t AS SELECT * FROM {}", people()), "only what reads"),
        ] {
            session.set(setting, choice)?;
            let (_, info) = answer(&session, &sql).await?;
            ensure!(info.runner.as_deref() == Some("local"), "{info:?}");
            ensure!(info.kind.as_deref() == Some("ddl") || ran(&info).1.contains(reason), "{sql}: {info:?}");
        }
        ensure!(runner.begun() == 1, "{} began there", runner.begun());
        Ok(())
    })
}

#[test]
fn a_refusal_is_an_error_only_for_who_wants_nothing_else() -> anyhow::Result<()> {
    run(async {
        let (_server, runner, session) = served(&[]).await?;
        let sql = format!("SELECT name FROM {}", people());
        for (slots, refusal, reason) in
            [(0, None, "no worker takes tasks"), (1, Some("a leaf stays here"), "a leaf stays here")]
        {
            runner.script().slots = slots;
            runner.script().refusal = refusal;
            session.set("runner", "auto")?;
            let (_, info) = answer(&session, &sql).await?;
            ensure!(ran(&info) == (Some("local"), format!("runs locally: {reason}").as_str()), "{info:?}");
            session.set("runner", "cluster")?;
            let error = session.query(QueryRequest::sql(sql.as_str())).await.err().context("it ran")?;
            // One may come.
            let kind = if slots == 0 { ErrorKind::Unavailable } else { ErrorKind::Unsupported };
            ensure!(error.kind() == kind && error.message().contains(reason), "{error}");
            ensure!(error.hint_text().is_some_and(|hint| hint.contains("auto")), "{error:?}");
        }
        ensure!(runner.begun() == 0);
        Ok(())
    })
}

#[test]
fn explain_tells_where_and_how() -> anyhow::Result<()> {
    run(async {
        let (_server, runner, session) = served(&[]).await?;
        let sql = format!("SELECT name FROM {}", people());
        let (rows, _) = answer(&session, &format!("EXPLAIN {sql}")).await?;
        let (kinds, plans) = (texts(&rows, "plan_type")?, texts(&rows, "plan")?);
        let place = kinds.iter().position(|kind| kind == "distributed_plan").context("no distributed plan")?;
        ensure!(
            plans[place] == "two stages, far away" && kinds.iter().any(|kind| kind == "physical_plan"),
            "{kinds:?}"
        );
        ensure!(runner.begun() == 0, "it ran");

        let (rows, info) = answer(&session, &format!("EXPLAIN ANALYZE {sql}")).await?;
        ensure!(
            texts(&rows, "plan")? == ["computed far away"] && info.runner.as_deref() == Some("cluster"),
            "{rows:?}"
        );

        runner.script().refusal = Some("a leaf stays here");
        let (rows, _) = answer(&session, &format!("EXPLAIN {sql}")).await?;
        let place = texts(&rows, "plan_type")?.iter().position(|kind| kind == "runner").context("no reason")?;
        ensure!(texts(&rows, "plan")?[place] == "runs locally: a leaf stays here");
        Ok(())
    })
}

#[test]
fn the_profile_tells_what_happened_elsewhere_or_why_it_did_not() -> anyhow::Result<()> {
    run(async {
        let (server, runner, session) = served(&[]).await?;
        let sql = format!("SELECT name FROM {}", people());
        let (_, info) = answer(&session, &sql).await?;
        ensure!(profile(&server, &session, &info).await? == "computed far away");
        runner.script().slots = 0;
        let (_, info) = answer(&session, &format!("{sql} WHERE id > 1")).await?;
        let local = profile(&server, &session, &info).await?;
        ensure!(local.starts_with("runs locally: no worker takes tasks\n") && local.contains("metrics="), "{local}");
        Ok(())
    })
}

#[test]
fn what_happens_elsewhere_ends_with_its_query() -> anyhow::Result<()> {
    run(async {
        let (server, runner, session) = served(&[]).await?;
        let (engine, sql) = (server.engine(), format!("SELECT name FROM {}", people()));
        for act in [Act::HangAtOnce, Act::HangAfterFirst] {
            runner.script().act = act;
            let mut rows = session.query(QueryRequest::sql(sql.as_str())).await?;
            if act == Act::HangAfterFirst {
                ensure!(rows.try_next().await?.is_some());
            }
            come_true("it runs", LONG, || runner.alive() == 1).await?;
            engine.queries().cancel(session.principal(), rows.id(), "by the test").await?;
            let error = rows.try_collect::<Vec<_>>().await.err().context("it ended well")?;
            ensure!(error.kind() == ErrorKind::Cancelled && error.message().contains("by the test"), "{error}");
            come_true("a cancel there", PATIENCE, || runner.alive() == 0).await?;

            let rows = session.query(QueryRequest::sql(sql.as_str())).await?;
            come_true("it runs", LONG, || runner.alive() == 1).await?;
            drop(rows);
            come_true("the end there", PATIENCE, || runner.alive() == 0).await?;
        }
        runner.script().act = Act::HangAtOnce;
        let mut request = QueryRequest::sql(sql.as_str());
        request.limits = RequestLimits { timeout: Some(PATIENCE / 10), ..RequestLimits::default() };
        let error = match session.query(request).await {
            Ok(rows) => rows.try_collect::<Vec<_>>().await.err().context("it ended well")?,
            Err(error) => error,
        };
        ensure!(error.kind() == ErrorKind::Timeout, "{error}");
        come_true("the end there", PATIENCE, || runner.alive() == 0).await?;
        come_true("no permit", PATIENCE, || engine.status().queries_running == 0).await
    })
}

#[test]
fn an_error_from_there_keeps_its_kind() -> anyhow::Result<()> {
    run(async {
        let (server, runner, session) = served(&[]).await?;
        runner.script().act = Act::Fail;
        let rows = session.query(QueryRequest::sql(format!("SELECT name FROM {}", people()))).await?;
        let id = rows.id();
        let error = rows.try_collect::<Vec<_>>().await.err().context("it ended well")?;
        ensure!(error.kind() == ErrorKind::Storage && error.message() == "the worker lost its disk", "{error}");
        let info = server.engine().queries().get(session.principal(), id).await?;
        ensure!(info.state == QueryState::Failed && info.error.is_some_and(|error| error.retryable));
        Ok(())
    })
}

#[test]
fn limits_and_the_wire_schema_hold_there_too() -> anyhow::Result<()> {
    run(async {
        let (_server, runner, session) = served(&[]).await?;
        let sql = format!("SELECT name FROM {}", people());
        let count = |rows: &[RecordBatch]| rows.iter().map(RecordBatch::num_rows).sum::<usize>();
        let mut request = QueryRequest::sql(sql.as_str());
        request.limits = RequestLimits { rows: Some(3), ..RequestLimits::default() };
        let rows = session.query(request).await?;
        let schema = rows.schema();
        let rows: Vec<RecordBatch> = rows.try_collect().await?;
        ensure!(count(&rows) == 3 && rows.iter().all(|batch| batch.schema() == schema));
        ensure!(schema.field(0).data_type() == &DataType::Utf8, "{schema:?}");

        let mut request = QueryRequest::sql(sql.as_str());
        request.limits = RequestLimits { bytes: Some(1), ..RequestLimits::default() };
        let error = session.query(request).await?.try_collect::<Vec<_>>().await.err().context("it ended well")?;
        ensure!(error.code() == "RESULT_TOO_LARGE", "{error}");
        ensure!(runner.begun() == 2);
        Ok(())
    })
}

#[test]
fn stages_and_tasks_are_recorded_and_bounded() -> anyhow::Result<()> {
    run(async {
        let (server, runner, session) = served(&[("history.max_tasks", "4")]).await?;
        runner.script().tasks = 10;
        let (_, info) = answer(&session, &format!("SELECT name FROM {}", people())).await?;
        let stages = server.engine().queries().stages(session.principal(), info.id).await?;
        ensure!(stages.tasks.len() == 4 && stages.tasks_omitted == 6, "{stages:?}");
        let stage = stages.stages.first().context("no stage")?;
        ensure!(
            (stage.state, stage.tasks_done, stage.rows, stage.bytes) == (TaskState::Finished, 10, 30, 1000),
            "{stage:?}"
        );

        let ask =
            |columns: &str, table: &str| format!("SELECT {columns} FROM system.{table} WHERE query_id = '{}'", info.id);
        let (rows, _) = answer(&session, &ask("plan", "stages")).await?;
        ensure!(texts(&rows, "plan")? == ["it all"]);
        let (rows, _) = answer(&session, &ask("worker", "tasks")).await?;
        ensure!(texts(&rows, "worker")? == ["w1"; 4]);
        let (rows, _) = answer(&session, "SELECT id FROM system.workers ORDER BY id").await?;
        ensure!(texts(&rows, "id")? == ["w1", "w2"]);
        Ok(())
    })
}

#[test]
fn progress_follows_the_tasks() -> anyhow::Result<()> {
    run(async {
        let (_server, runner, session) = served(&[]).await?;
        runner.script().act = Act::HangAfterFirst;
        let mut rows = session.query(QueryRequest::sql(format!("SELECT name FROM {}", people()))).await?;
        ensure!(rows.try_next().await?.is_some());
        let handle = Arc::clone(rows.handle());
        let progress = handle.info().progress;
        ensure!(
            (progress.stages_total, progress.partitions_total, progress.partitions_done) == (1, 2, 0),
            "{progress:?}"
        );
        ensure!(handle.stages().tasks.iter().all(|task| task.state == TaskState::Running));
        drop(rows);
        handle.ended().await;
        ensure!(handle.stages().tasks.iter().all(|task| task.state == TaskState::Cancelled), "{:?}", handle.stages());
        Ok(())
    })
}

#[test]
fn the_cluster_has_permits_of_its_own() -> anyhow::Result<()> {
    run(async {
        let (server, runner, session) = served(&[("admission.max_running_in_cluster", "1")]).await?;
        runner.script().act = Act::HangAtOnce;
        let sql = format!("SELECT name FROM {}", people());
        let first = session.query(QueryRequest::sql(sql.as_str())).await?;
        come_true("it runs", LONG, || runner.alive() == 1).await?;
        let second = tokio::spawn({
            let (session, sql) = (Arc::clone(&session), sql.clone());
            async move { session.query(QueryRequest::sql(sql)).await }
        });
        come_true("one waits", LONG, || server.engine().status().queries_queued == 1).await?;
        let demand = server.engine().autoscale();
        ensure!((demand.queries_running, demand.queries_queued) == (1, 1), "{demand:?}");

        // What runs here passes.
        let here = server.session()?;
        here.set("runner", "local")?;
        let (_, info) = answer(&here, &format!("SELECT age FROM {}", people())).await?;
        ensure!(info.runner.as_deref() == Some("local") && runner.begun() == 1);

        // If all workers leave while it waits, it runs here.
        runner.script().slots = 0;
        drop(first);
        let rows = second.await??;
        let handle = Arc::clone(rows.handle());
        ensure!(rows.try_collect::<Vec<_>>().await?.iter().map(RecordBatch::num_rows).sum::<usize>() == 8);
        ensure!(ran(&handle.info()) == (Some("local"), "runs locally: no worker takes tasks"), "{:?}", handle.info());
        Ok(())
    })
}

#[test]
fn there_is_one_runner_besides() -> anyhow::Result<()> {
    run(async {
        let (server, _runner, session) = served(&[]).await?;
        let error = Elsewhere::attached(&server).err().context("a second one")?;
        ensure!(error.kind() == ErrorKind::Conflict, "{error}");
        let nobody = server.engine().drain(session.principal(), "nobody").err().context("drained")?;
        ensure!((nobody.kind(), nobody.code()) == (ErrorKind::NotFound, "NODE_NOT_FOUND"), "{nobody}");
        Ok(())
    })
}

#[test]
fn this_process_records_its_partitions_as_tasks() -> anyhow::Result<()> {
    run(async {
        let server = TestServer::start().await?;
        let session = server.session()?;
        session.set("result_cache", "false")?;
        let sql = format!("SELECT city, count(*) AS n FROM {} GROUP BY city ORDER BY city", people());
        let (_, info) = answer(&session, &sql).await?;
        ensure!(ran(&info) == (Some("local"), ""), "there is nowhere else: {info:?}");
        let stages = server.engine().queries().stages(session.principal(), info.id).await?;
        ensure!(stages.stages.len() as u64 == info.progress.stages_total && stages.stages.len() > 1, "{stages:?}");
        ensure!(stages.stages.iter().all(|stage| stage.state == TaskState::Finished && !stage.plan.is_empty()));
        ensure!(
            stages.tasks.iter().all(|task| task.worker == "local" && task.state == TaskState::Finished),
            "{stages:?}"
        );
        ensure!(stages.stages.iter().map(|stage| stage.rows_read).sum::<u64>() == 8, "{stages:?}");
        session.set("runner", "cluster")?;
        let error = session.query(QueryRequest::sql(sql.as_str())).await.err().context("it ran")?;
        ensure!(error.message().contains("no cluster"), "{error}");
        let ended = server.engine().queries().list(session.principal(), &HistoryFilter::newest(1)).await?;
        ensure!(ended.first().is_some_and(|info| info.state == QueryState::Failed));
        Ok(())
    })
}
