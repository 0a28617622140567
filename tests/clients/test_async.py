"""Asynchronous queries: 202, polling, long polls, events, parts, pages, ranges, cancel."""

import io
import json

import pyarrow.ipc
import pyarrow.parquet

from server import wait_until

ENDLESS = "SELECT count(*) FROM generate_series(1, 100000000) a(x) CROSS JOIN generate_series(1, 100000000) b(y) WHERE x % 7 = y % 11"


def test_life_of_an_asynchronous_query(demo):
    status = demo.submit("SELECT value FROM generate_series(1, 1000)")
    assert status["location"].endswith(f"/v1/queries/{status['id']}")
    done = demo.wait_for_state(status["id"], "finished")
    assert done["result"]["rows"] == 1000 and done["result"]["parts"] >= 1 and done["result"]["expires_at"]
    assert done["result"]["schema"] == [{"name": "value", "type": "BIGINT", "nullable": True, "arrow_type": "Int64"}]
    result = demo.http.get(demo.url(f"/v1/queries/{status['id']}/result"), headers={"Accept": "application/vnd.apache.arrow.stream"})
    assert result.headers["Server-Timing"].startswith("plan;dur=")
    assert pyarrow.ipc.open_stream(result.content).read_all().num_rows == 1000
    # A result can be read again, in another format.
    again = demo.http.get(demo.url(f"/v1/queries/{status['id']}/result"), headers={"Accept": "text/csv"})
    assert len(again.text.splitlines()) == 1001


def test_the_columns_of_a_result_are_told_while_it_grows(fresh):
    status = fresh.submit("SELECT value, 'x' || value AS s FROM generate_series(1, 100000000) g(value)")
    result = wait_until(lambda: fresh.status(status["id"])["result"], 30, "a result that grows")
    assert [(column["name"], column["type"]) for column in result["schema"]] == [("value", "BIGINT"), ("s", "VARCHAR")]
    assert result["expires_at"] is None
    listed = fresh.http.get(fresh.url("/v1/queries"), params={"state": "running"}).json()["queries"]
    assert [query["result"]["schema"] for query in listed] == [result["schema"]]
    fresh.http.delete(fresh.url(f"/v1/queries/{status['id']}"))
    assert fresh.wait_for_state(status["id"], "cancelled")["result"] is None


def test_a_result_can_be_deleted_before_its_time(fresh):
    status = fresh.submit("SELECT value FROM generate_series(1, 100000) g(value)")
    path = fresh.url(f"/v1/queries/{status['id']}/result")
    fresh.wait_for_state(status["id"], "finished")
    assert fresh.http.delete(path).status_code == 204
    assert fresh.http.delete(path).status_code == fresh.http.get(path).status_code == 404
    after = fresh.status(status["id"])
    assert after["state"] == "finished" and after["result"] is None
    wait_until(lambda: not list((fresh.data_dir / "results").iterdir()), 10, "the disk to be free")


def test_prefer_wait_answers_at_once_when_it_is_quick(demo):
    response = demo.post({"sql": "SELECT 1 AS a"}, headers={"Prefer": "wait=20"})
    assert response.status_code == 200 and response.json()["rows"] == [[1]]
    slow = demo.post({"sql": ENDLESS, "wait_ms": 100})
    assert slow.status_code == 202
    demo.http.delete(demo.url(f"/v1/queries/{slow.json()['id']}"))


def test_a_key_and_respond_async_answer_the_same_202_again(fresh):
    assert fresh.post("CREATE TABLE counted AS SELECT 1 AS x").status_code == 200
    headers = {"Idempotency-Key": "one", "Prefer": "respond-async"}
    first = fresh.post("INSERT INTO counted VALUES (2)", headers=headers)
    fresh.wait_for_state(first.json()["id"], "finished")
    again = fresh.post("INSERT INTO counted VALUES (2)", headers=headers)
    assert first.status_code == again.status_code == 202
    for same in ["Location", "X-Query-Id", "Preference-Applied"]:
        assert first.headers[same] == again.headers[same], same
    assert again.json()["id"] == first.json()["id"] and again.json()["state"] == "finished"
    waited = fresh.post("INSERT INTO counted VALUES (2)", headers=headers | {"Prefer": "respond-async, wait=10"})
    assert waited.status_code == 200 and waited.headers["X-Query-Id"] == first.headers["X-Query-Id"]
    assert fresh.value("SELECT count(*) FROM counted") == 2


def test_a_failed_statement_with_a_key_is_told_as_such(fresh):
    headers = {"Idempotency-Key": "two", "Prefer": "respond-async"}
    first = fresh.post("SELECT 1 / 0 AS x", headers=headers)
    fresh.wait_for_state(first.json()["id"], "failed")
    again = fresh.post("SELECT 1 / 0 AS x", headers=headers)
    assert first.status_code == again.status_code == 202 and again.json()["error"]["code"] == "DIVISION_BY_ZERO"
    assert fresh.post("SELECT 1 / 0 AS x", headers=headers | {"Prefer": "wait=10"}).status_code == 422


def test_parts_are_the_whole(demo):
    status = demo.submit("SELECT value, repeat('x', 200) AS pad FROM generate_series(1, 200000)")
    done = demo.wait_for_state(status["id"], "finished", seconds=120)
    total = 0
    for part in range(done["result"]["parts"]):
        response = demo.http.get(
            demo.url(f"/v1/queries/{status['id']}/result"), params={"part": part}, headers={"Accept": "application/vnd.apache.arrow.stream"}
        )
        assert response.status_code == 200, response.text
        total += pyarrow.ipc.open_stream(response.content).read_all().num_rows
    assert total == 200000
    beyond = demo.http.get(demo.url(f"/v1/queries/{status['id']}/result"), params={"part": 100000})
    assert beyond.status_code in (400, 404, 416)


def test_pages(demo):
    status = demo.submit("SELECT value FROM generate_series(1, 25) ORDER BY value")
    demo.wait_for_state(status["id"], "finished")
    url = demo.url(f"/v1/queries/{status['id']}/result")
    page = lambda offset: [row[0] for row in demo.http.get(url, params={"offset": offset, "limit": 10}).json()["rows"]]  # noqa: E731
    assert page(0) + page(10) + page(20) == list(range(1, 26))
    assert page(30) == []


def test_range_requests(demo):
    status = demo.submit("SELECT value FROM generate_series(1, 50000)")
    demo.wait_for_state(status["id"], "finished")
    url, accept = demo.url(f"/v1/queries/{status['id']}/result"), {"Accept": "application/vnd.apache.parquet"}
    whole = demo.http.get(url, headers=accept).content
    first = demo.http.get(url, headers=accept | {"Range": "bytes=0-99"})
    rest = demo.http.get(url, headers=accept | {"Range": "bytes=100-"})
    assert first.status_code == rest.status_code == 206
    assert first.headers["Content-Range"] == f"bytes 0-99/{len(whole)}"
    assert first.content + rest.content == whole
    assert pyarrow.parquet.read_table(io.BytesIO(whole)).num_rows == 50000
    assert demo.http.get(url, headers=accept | {"Range": f"bytes={len(whole)}-"}).status_code == 416


def test_long_poll_answers_when_the_state_changes(demo):
    status = demo.submit(ENDLESS)
    demo.wait_for_state(status["id"], "running")
    demo.http.delete(demo.url(f"/v1/queries/{status['id']}"))
    polled = demo.http.get(demo.url(f"/v1/queries/{status['id']}"), params={"wait": "30s"}, timeout=20).json()
    assert polled["state"] == "cancelled"


def test_server_sent_events(demo):
    status = demo.submit("SELECT count(*) FROM generate_series(1, 3000000) g(v) WHERE v % 3 = 0")
    states, names = [], []
    headers = {"Accept": "text/event-stream"}
    with demo.http.get(demo.url(f"/v1/queries/{status['id']}"), headers=headers, stream=True, timeout=60) as events:
        assert events.headers["Content-Type"].startswith("text/event-stream")
        for line in events.iter_lines(decode_unicode=True):
            if line.startswith("data:"):
                states.append(json.loads(line[5:])["state"])
            if line.startswith("event:"):
                names.append(line[6:].strip())
    assert states[-1] == "finished" and names[-1] == "end" and {"stage", "task"} <= set(names) <= {"stage", "task", "progress", "end"}


def test_a_failed_query_says_why(demo):
    status = demo.submit("SELECT 1 / (value - 5) AS x FROM generate_series(1, 10) g(value)")
    done = demo.wait_for_state(status["id"], "failed")
    assert done["error"]["code"] == "DIVISION_BY_ZERO" and not done["error"]["retryable"]
    result = demo.http.get(demo.url(f"/v1/queries/{status['id']}/result"))
    assert result.status_code >= 400 and result.headers["Content-Type"].startswith("application/problem+json")


def test_delete_cancels_and_is_idempotent(demo):
    status = demo.submit(ENDLESS)
    demo.wait_for_state(status["id"], "running")
    url = demo.url(f"/v1/queries/{status['id']}")
    assert demo.http.get(url + "/result").status_code == 409
    assert demo.http.delete(url).status_code == 202
    demo.wait_for_state(status["id"], "cancelled", seconds=5)
    assert demo.http.delete(url).status_code == 200
    assert demo.http.delete(demo.url("/v1/queries/01890a5d-ac96-774b-bcce-b302099a8057")).status_code == 404
    demo.at_rest()


def test_progress_grows_and_never_goes_back(demo):
    status = demo.submit("SELECT count(*), sum(x) FROM (SELECT l_orderkey % 1000 AS k, sum(l_quantity) AS x FROM demo.public.lineitem GROUP BY l_orderkey) t")
    fractions = []

    def done():
        now = demo.status(status["id"])
        fractions.append(now["progress"]["fraction"] or 0.0)
        return now if now["state"] == "finished" else None

    finished = wait_until(done, 60, "the query")
    assert fractions == sorted(fractions) and all(0 <= fraction <= 1 for fraction in fractions)
    assert finished["progress"]["rows_read"] > 0 and finished["progress"]["rows_produced"] == 1


def test_plan_and_profile_are_kept(demo):
    response = demo.post("SELECT count(*) FROM demo.public.orders")
    query_id = response.headers["X-Query-Id"]
    plan = demo.http.get(demo.url(f"/v1/queries/{query_id}/plan"))
    profile = demo.http.get(demo.url(f"/v1/queries/{query_id}/profile"))
    assert plan.status_code == profile.status_code == 200
    assert "orders" in plan.text and "output_rows" in profile.text


def test_results_end_with_their_time_to_live(serve):
    with serve("--set", "results.ttl=1s") as server:
        status = server.submit("SELECT 1 AS a")
        server.wait_for_state(status["id"], "finished")
        url = server.url(f"/v1/queries/{status['id']}/result")
        wait_until(lambda: server.http.get(url).status_code in (404, 410), 30, "the end of the result")
        assert server.status(status["id"])["state"] == "finished"


def test_listing_filters_and_pages(fresh):
    for number in range(5):
        fresh.post(f"SELECT {number} AS listed")
    fresh.post("SELECT 1 / 0 AS listed")
    listing = fresh.http.get(fresh.url("/v1/queries"), params={"state": "failed"}).json()
    queries = listing["queries"] if isinstance(listing, dict) else listing
    assert [query["sql"] for query in queries] == ["SELECT 1 / 0 AS listed"]
