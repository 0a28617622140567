"""Plans made by hand, by ADBC and HTTP: answers, parameters, inserts, and all else that a statement has."""

import io

import adbc_driver_flightsql.dbapi as dbapi
import adbc_driver_manager
import pyarrow
import pyarrow.dataset
import pyarrow.ipc
import pytest
from datafusion import SessionContext, col, lit
from datafusion import functions as f
from substrait.gen.proto import algebra_pb2

from server import serving
from substrait_plans import (
    MEDIA_TYPE,
    NUMBERS,
    call,
    column,
    connect,
    i32,
    insert,
    literal,
    named,
    parameter,
    plan,
    planned,
    post,
    project,
    read,
    run,
    string,
)
from test_lifecycle import TOKEN, auth_config


def test_a_plan_without_names_and_one_with(driver):
    assert run(driver, plan(read("numbers"))).schema.names == ["big", "small"]
    renamed = run(driver, plan(project(read("numbers"), column(1)), names=["n"]))
    assert renamed.to_pydict() == {"n": [2147483647, 1]}


def test_a_read_that_filters(driver):
    relation = read("numbers")
    relation.read.filter.CopyFrom(call(0, column(0), literal(i64=1)))
    assert run(driver, plan(relation, "equal")).to_pylist() == [{"big": 1, "small": 1}]
    mask = relation.read.projection.select.struct_items
    mask.add(field=1)
    assert run(driver, plan(relation, "equal")).to_pylist() == [{"small": 1}]


def test_integers_overflow_as_in_sql(shop, driver):
    for name, text in [("add:i64_i64", "big + 1"), ("multiply:i64_i64", "big * 2"), ("subtract", "-2 - big")]:
        arguments = (column(0), literal(i64=2 if "mul" in name else 1)) if name != "subtract" else (literal(i64=-2), column(0))
        bytes_ = plan(project(read("numbers"), call(0, *arguments)), name, names=["x"])
        with pytest.raises(dbapi.Error, match="overflow"):
            run(driver, bytes_)
        response = post(shop, bytes_, Accept="application/json")
        expected = shop.post(f"SELECT {text} AS x FROM numbers")
        assert response.json()["code"] == expected.json()["code"] == "NUMERIC_OVERFLOW"


def test_constants_without_a_table(driver):
    empty = algebra_pb2.Rel(read=algebra_pb2.ReadRel(base_schema=named(), virtual_table=algebra_pb2.ReadRel.VirtualTable(values=[{}])))
    relation = project(empty, literal(i64=42), literal(string="x"))
    assert run(driver, plan(relation, names=["a", "b"])).to_pylist() == [{"a": 42, "b": "x"}]


def test_xor_and_wide_unions_stay_small(driver):
    expression = call(0, column(0), literal(i64=1))
    for _ in range(25):
        expression = call(1, expression, expression) if expression.ByteSize() < 1000 else call(1, expression, literal(boolean=True))
    assert run(driver, plan(project(read("numbers"), expression), "equal:any_any", "xor:bool_bool", names=["x"])).num_rows == 2
    union = algebra_pb2.Rel(set=algebra_pb2.SetRel(inputs=[read("numbers")] * 2000, op=algebra_pb2.SetRel.SET_OP_UNION_ALL))
    count = algebra_pb2.AggregateRel(
        input=union,
        groupings=[algebra_pb2.AggregateRel.Grouping()],
        measures=[algebra_pb2.AggregateRel.Measure(measure=algebra_pb2.AggregateFunction(function_reference=0))],
    )
    assert run(driver, plan(algebra_pb2.Rel(aggregate=count), "count", names=["n"])).to_pydict() == {"n": [4000]}


def test_parameters(shop):
    condition = call(0, column(0), parameter(0))
    relation = algebra_pb2.Rel(filter=algebra_pb2.FilterRel(input=read("numbers"), condition=condition))
    bytes_ = plan(relation, "equal:any_any")
    with connect(shop) as connection, connection.cursor() as cursor:
        cursor.adbc_statement.set_substrait_plan(bytes_)
        cursor.adbc_statement.prepare()
        cursor.adbc_statement.bind(pyarrow.record_batch({"0": [1]}))
        stream, _ = cursor.adbc_statement.execute_query()
        assert pyarrow.RecordBatchReader.from_stream(stream).read_all().to_pylist() == [{"big": 1, "small": 1}]
    response = post(shop, bytes_)
    assert response.status_code == 400 and response.json()["code"] == "INVALID_PARAMETER"


# Writing


def test_inserting(fresh):
    for statement in ["CREATE TABLE t (a INT, b VARCHAR)", "INSERT INTO t VALUES (1, 'x')", "CREATE TABLE u (b VARCHAR, a BIGINT, c DOUBLE)"]:
        assert fresh.post(statement).status_code == 200
    source = read("t", a=i32(), b=string())
    bytes_ = insert(source, "u", a=i32(), b=string())
    with connect(fresh) as connection, connection.cursor() as cursor:
        # It runs once, whether it is asked as a query or as an update.
        run(connection, bytes_)
        cursor.adbc_statement.set_substrait_plan(bytes_)
        assert cursor.adbc_statement.execute_update() == 1
    assert fresh.rows("SELECT * FROM u") == [("x", 1, None)] * 2
    assert post(fresh, bytes_).status_code == 200
    assert fresh.value("SELECT count(*) FROM u") == 3
    for wrong, words in [
        (insert(source, "v", a=i32(), b=string()), "'tidemill.public.v' not found"),
        (insert(source, "u", a=i32(), bb=string()), "column 'bb' not found"),
        (insert(source, "u", a=i32()), "names 1 columns, but its input has 2"),
        (insert(source, "u", op=algebra_pb2.WriteRel.WRITE_OP_DELETE, a=i32(), b=string()), "WRITE_OP_DELETE"),
        (insert(source, "u", op=algebra_pb2.WriteRel.WRITE_OP_CTAS, a=i32(), b=string()), "WRITE_OP_CTAS"),
    ]:
        response = post(fresh, wrong)
        assert response.status_code in (400, 501), response.text
        assert words in response.json()["detail"], response.text
    assert fresh.value("SELECT count(*) FROM u") == 3


def test_inserting_into_a_table_with_constraints(fresh):
    for statement in ["CREATE TABLE t (a INT)", "INSERT INTO t VALUES (1), (2)", "CREATE TABLE u (n INT DEFAULT 7 CHECK (n > 0), a INT PRIMARY KEY)"]:
        assert fresh.post(statement).status_code == 200
    bytes_ = insert(read("t", a=i32()), "u", a=i32())
    assert post(fresh, bytes_).status_code == 200
    again = post(fresh, bytes_)
    assert (again.status_code, again.json()["sqlstate"]) == (409, "23505")
    assert post(fresh, insert(read("t", a=i32()), "u", n=i32())).json()["sqlstate"] == "23502"
    assert fresh.rows("SELECT n, a FROM u ORDER BY a") == [(7, 1), (7, 2)]


def test_a_reader_can_read_but_not_write(tmp_path):
    with serving(tmp_path / "data", "--config", str(auth_config(tmp_path))) as server:
        admin = ("ann", "secret")
        assert server.post("CREATE TABLE numbers AS SELECT 1::BIGINT AS big, 2::INT AS small", auth=admin).status_code == 200
        reader = {"Authorization": f"Bearer {TOKEN}"}
        write = insert(read("numbers"), "numbers", **NUMBERS)
        assert post(server, plan(read("numbers")), **reader).status_code == 200
        refused = post(server, write, **reader)
        assert (refused.status_code, refused.json()["code"]) == (403, "FORBIDDEN")
        anonymous = post(server, plan(read("numbers")))
        assert anonymous.status_code == 401
        with connect(server, **{"adbc.flight.sql.authorization_header": f"Bearer {TOKEN}"}) as connection:
            assert run(connection, plan(read("numbers"))).num_rows == 1
            with pytest.raises(dbapi.Error, match="writer") as error:
                run(connection, write)
            assert error.value.status_code == adbc_driver_manager.AdbcStatusCode.UNAUTHORIZED
            with connection.cursor() as cursor, pytest.raises(dbapi.Error, match="writer"):
                cursor.adbc_statement.set_substrait_plan(write)
                cursor.adbc_statement.execute_update()
        counted = server.post("SELECT count(*) AS n FROM numbers", "text/csv", auth=admin)
        assert counted.text.split() == ["n", "1"]


# The rest of what a statement has


def test_history_names_it_and_keeps_its_plan(shop):
    bytes_ = plan(read("numbers"))
    response = post(shop, bytes_)
    query = response.headers["X-Query-Id"]
    status = shop.status(query)
    assert (status["sql"], status["state"]) == (f"SUBSTRAIT PLAN ({len(bytes_)} bytes)", "finished")
    shown = shop.http.get(shop.url(f"/v1/queries/{query}/plan"), headers={"Accept": "text/plain"})
    assert "TableScan: numbers" in shown.text


def test_the_cache_knows_one_plan_from_another(demo):
    with connect(demo) as connection:
        schema = connection.adbc_get_table_schema("nation", catalog_filter="demo", db_schema_filter="public")
    context = SessionContext()
    context.register_dataset("nation", pyarrow.dataset.dataset(schema.empty_table()))
    frame = context.table("nation").aggregate([col("n_regionkey")], [f.count(col("n_name")).alias("n")])
    first, second = planned(frame, context), planned(frame.filter(col("n_regionkey") > lit(1)), context)
    place = "?catalog=demo&schema=public"
    seen = [(post(demo, bytes_, place).headers.get("X-Cache")) for bytes_ in [first, first, second]]
    assert seen[1:] == ["hit", "miss"] or seen == [None] * 3, seen
    lengths = [len(pyarrow.ipc.open_stream(io.BytesIO(post(demo, bytes_, place).content)).read_all()) for bytes_ in [first, second]]
    assert lengths == [5, 3]


def test_limits_and_names_by_the_url(shop, demo):
    bytes_ = plan(read("numbers"))
    limited = post(shop, bytes_, "?row_limit=1")
    assert pyarrow.ipc.open_stream(io.BytesIO(limited.content)).read_all().num_rows == 1
    assert post(shop, bytes_, "?byte_limit=1").json()["code"] == "RESULT_TOO_LARGE"
    assert post(shop, bytes_, "?schema=nowhere").status_code == 400
    kept = post(shop, bytes_, Prefer="respond-async")
    assert kept.status_code == 202
    assert shop.wait_for_state(kept.json()["id"], "finished")["result"]["rows"] == 2
    again = [post(shop, insert(read("nothing"), "numbers", **NUMBERS), **{"Idempotency-Key": "a"}).status_code for _ in range(2)]
    assert again == [400, 400]


def test_temporary_views_of_the_session(shop):
    session = shop.http.post(shop.url("/v1/sessions"), json={}).json()["id"]
    view = "CREATE TEMPORARY VIEW mine AS SELECT big, small FROM numbers WHERE big = 1"
    assert shop.post({"sql": view, "session_id": session}).status_code == 200
    found = post(shop, plan(read("mine")), f"?session_id={session}")
    assert pyarrow.ipc.open_stream(io.BytesIO(found.content)).read_all().to_pylist() == [{"big": 1, "small": 1}]
    assert post(shop, plan(read("mine"))).status_code == 400


def test_it_is_validated(shop):
    response = shop.http.post(shop.url("/v1/validate"), data=plan(read("numbers")), headers={"Content-Type": MEDIA_TYPE})
    assert response.status_code == 200, response.text
    assert response.json()["tables"] == ["tidemill.public.numbers"]


def test_generic_media_types_are_refused_by_name(shop):
    response = shop.http.post(shop.url("/v1/query"), data=plan(read("numbers")), headers={"Content-Type": "application/x-protobuf"})
    assert response.status_code == 415 and MEDIA_TYPE in response.json()["hint"]
