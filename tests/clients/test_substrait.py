"""Plans instead of SQL: those of datafusion-python and ibis, and plans made by hand, by ADBC, Flight and HTTP."""

import contextlib
import datetime
import decimal
import io
import random
import re

import adbc_driver_flightsql.dbapi as dbapi
import adbc_driver_manager
import ibis
import pyarrow
import pyarrow.dataset
import pyarrow.flight
import pyarrow.ipc
import pytest
from datafusion import SessionContext, col, lit
from datafusion import functions as f
from datafusion.catalog import Catalog, Schema
from datafusion.substrait import Producer
from google.protobuf.any_pb2 import Any
from ibis_substrait.compiler.core import SubstraitCompiler
from substrait.gen.proto import algebra_pb2

from server import serving
from substrait_plans import (
    MEDIA_TYPE,
    NUMBERS,
    call,
    column,
    connect,
    furnish,
    i32,
    i64,
    insert,
    literal,
    named,
    parameter,
    plan,
    post,
    project,
    read,
    run,
    sql,
    string,
)
from test_lifecycle import TOKEN, auth_config

TABLES = ["orders", "customer", "lineitem", "nation"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A server with tables of the tests' own, which they leave as they are."""
    with serving(tmp_path_factory.mktemp("substrait")) as server:
        furnish(server)
        yield server


@pytest.fixture(scope="module")
def connection(shop):
    with connect(shop) as connection:
        yield connection


@pytest.fixture(scope="module")
def frames(shop, connection):
    """A DataFusion of the client's own that knows the tables of the server, all of them empty."""
    context = SessionContext()
    for name in ["sales", "numbers", "large"]:
        context.register_dataset(name, pyarrow.dataset.dataset(connection.adbc_get_table_schema(name).empty_table()))
    return context


def planned(frame, context, optimized=False) -> bytes:
    plan = frame.optimized_logical_plan() if optimized else frame.logical_plan()
    return Producer.to_substrait_plan(plan, context).encode()


def rows(table: pyarrow.Table) -> list[str]:
    # As text, because NaN is not equal to itself.
    return [repr(tuple(row.values())) for row in table.to_pylist()]


def same(connection, plan: bytes, text: str):
    """The plan answers as the SQL does: names, types and rows."""
    answer, expected = run(connection, plan), sql(connection, text)
    assert answer.schema.names == expected.schema.names
    assert answer.schema.types == expected.schema.types
    ordered = "ORDER BY" in text
    assert (rows(answer) if ordered else sorted(rows(answer))) == (rows(expected) if ordered else sorted(rows(expected)))
    return answer


# Plans of datafusion-python

FRAMES = {
    "everything": (lambda c: c.table("sales"), "SELECT * FROM sales"),
    "columns": (
        lambda c: c.table("sales").select(col("shop"), (col("amount") * lit(2)).alias("twice")),
        "SELECT shop, amount * 2 AS twice FROM sales",
    ),
    "a filter": (lambda c: c.table("sales").filter(col("amount") > lit(8)).select("id"), "SELECT id FROM sales WHERE amount > 8"),
    "a filter with NULL": (lambda c: c.table("sales").filter(col("paid")).select("id"), "SELECT id FROM sales WHERE paid"),
    "groups": (
        lambda c: c.table("sales").aggregate([col("shop")], [f.sum(col("amount")).alias("total"), f.count(col("id")).alias("n")]),
        "SELECT shop, sum(amount) AS total, count(id) AS n FROM sales GROUP BY shop",
    ),
    "an order": (
        lambda c: c.table("sales").select("id", "amount").sort(col("amount").sort(ascending=False, nulls_first=False)).limit(3, 1),
        "SELECT id, amount FROM sales ORDER BY amount DESC NULLS LAST LIMIT 3 OFFSET 1",
    ),
    "a join": (
        lambda c: c.table("sales").select("id", "shop").join(c.table("large").select(col("id").alias("key"), "amount"), left_on="id", right_on="key", how="left"),
        'SELECT s.id, s.shop, l.id AS key, l.amount FROM sales s LEFT JOIN "large" l ON s.id = l.id',
    ),
    "a semi join": (
        lambda c: c.table("sales").join(c.table("large").select(col("id").alias("key")), left_on="id", right_on="key", how="semi").select("id"),
        'SELECT id FROM sales WHERE id IN (SELECT id FROM "large")',
    ),
    "a union": (
        lambda c: c.table("sales").select("id").union(c.table("large").select("id")),
        'SELECT id FROM sales UNION ALL SELECT id FROM "large"',
    ),
    "distinct rows": (lambda c: c.table("sales").select("shop").distinct(), "SELECT DISTINCT shop FROM sales"),
    "a window": (
        lambda c: c.table("sales").select(
            "id", f.row_number(partition_by=[col("shop")], order_by=[col("id").sort()]).alias("place")
        ),
        "SELECT id, row_number() OVER (PARTITION BY shop ORDER BY id) AS place FROM sales",
    ),
    "functions": (
        lambda c: c.table("sales").select(f.upper(col("shop")).alias("u"), f.coalesce(col("amount"), lit(decimal.Decimal("0.00"))).alias("a")),
        "SELECT upper(shop) AS u, coalesce(amount, CAST(0 AS DECIMAL(3, 2))) AS a FROM sales",
    ),
    "a case": (
        lambda c: c.table("sales").select(f.case(col("shop")).when(lit("north"), lit("N")).otherwise(lit("?")).alias("letter")),
        "SELECT CASE shop WHEN 'north' THEN 'N' ELSE '?' END AS letter FROM sales",
    ),
    "dates": (
        lambda c: c.table("sales").filter(col("day") >= lit(datetime.date(2024, 2, 1))).select("id", "day"),
        "SELECT id, day FROM sales WHERE day >= DATE '2024-02-01'",
    ),
    "a count of all": (lambda c: c.table("sales").aggregate([], [f.count(lit(1)).alias("n")]), "SELECT count(1) AS n FROM sales"),
    "SQL of the client": (
        lambda c: c.sql("SELECT shop, max(id) AS last FROM sales WHERE id IN (SELECT id FROM large) OR weight IS NULL GROUP BY shop HAVING count(*) > 0"),
        'SELECT shop, max(id) AS last FROM sales WHERE id IN (SELECT id FROM "large") OR weight IS NULL GROUP BY shop HAVING count(*) > 0',
    ),
}


@pytest.mark.parametrize("optimized", [False, True], ids=["as written", "optimized by the client"])
@pytest.mark.parametrize("name", FRAMES)
def test_dataframes_of_datafusion(connection, frames, name, optimized):
    build, text = FRAMES[name]
    same(connection, planned(build(frames), frames, optimized), text)


def test_results_are_the_same_by_http(shop, connection, frames):
    for build, text in FRAMES.values():
        response = post(shop, planned(build(frames), frames))
        assert response.status_code == 200, response.text
        answer = pyarrow.ipc.open_stream(io.BytesIO(response.content)).read_all()
        assert sorted(rows(answer)) == sorted(rows(sql(connection, text)))


def test_full_names(demo):
    with connect(demo) as connection:
        context, catalog, schema = SessionContext(), Catalog.memory_catalog(), Schema.memory_schema()
        context.register_catalog_provider("demo", catalog)
        catalog.register_schema("public", schema)
        for name in TABLES:
            empty = connection.adbc_get_table_schema(name, catalog_filter="demo", db_schema_filter="public").empty_table()
            schema.register_table(name, pyarrow.dataset.dataset(empty))
        orders, customer = context.table("demo.public.orders"), context.table("demo.public.customer")
        frame = (
            orders.join(customer, left_on="o_custkey", right_on="c_custkey")
            .aggregate([col("c_mktsegment")], [f.sum(col("o_totalprice")).alias("spent"), f.count(col("o_orderkey")).alias("orders")])
            .sort(col("spent").sort(ascending=False))
        )
        text = """SELECT c_mktsegment, sum(o_totalprice) AS spent, count(o_orderkey) AS orders
            FROM demo.public.orders JOIN demo.public.customer ON o_custkey = c_custkey GROUP BY 1 ORDER BY spent DESC"""
        for optimized in [False, True]:
            assert same(connection, planned(frame, context, optimized), text).num_rows == 5


# Plans of ibis


IBIS = {
    "groups": (
        lambda t: t.filter(t.id > 1).group_by("shop").agg(n=t.id.count(), most=t.amount.max()),
        "SELECT shop, count(id) AS n, max(amount) AS most FROM sales WHERE id > 1 GROUP BY shop",
    ),
    "an order": (lambda t: t.order_by(ibis.desc("id")).limit(2).select("id", "shop"), "SELECT id, shop FROM sales ORDER BY id DESC LIMIT 2"),
    "columns": (lambda t: t.mutate(more=t.id + 1).select("id", "more"), "SELECT id, id + 1 AS more FROM sales"),
    "choices": (lambda t: t.filter(t.shop.isin(["north", "west"])).select("id"), "SELECT id FROM sales WHERE shop IN ('north', 'west')"),
}


SALES = [("id", "int64"), ("shop", "string"), ("amount", "decimal(15,2)"), ("day", "date"), ("paid", "boolean"), ("weight", "float64")]


def compiled(expression) -> bytes:
    return SubstraitCompiler().compile(expression).SerializeToString()


@pytest.mark.parametrize("name", IBIS)
def test_expressions_of_ibis(connection, name):
    build, text = IBIS[name]
    same(connection, compiled(build(ibis.table(SALES, name="sales"))), text)


def test_joins_of_ibis(shop, connection):
    """A join whose columns ibis keeps all is answered. Of keys of one name it keeps one, but the compiler leaves out the
    projection that drops the other: it can not be known which of the columns the names belong to."""
    sales = ibis.table(SALES, name="sales")
    numbers = ibis.table([("big", "int64"), ("small", "int32")], name="numbers")
    joined = sales.join(numbers, sales.id == numbers.big)
    same(connection, compiled(joined), "SELECT * FROM sales JOIN numbers ON id = big")
    same(connection, compiled(joined.select("small", "shop")), "SELECT small, shop FROM sales JOIN numbers ON id = big")
    large = ibis.table(SALES[:3], name="large")
    bytes_ = compiled(sales.join(large, "id"))
    words = "its root has 8 names, but the columns of a JoinRel below it take 9"
    assert words in post(shop, bytes_).json()["detail"]
    with pytest.raises(dbapi.ProgrammingError, match=words):
        run(connection, bytes_)


# Plans made by hand


def test_a_plan_without_names_and_one_with(connection):
    assert run(connection, plan(read("numbers"))).schema.names == ["big", "small"]
    renamed = run(connection, plan(project(read("numbers"), column(1)), names=["n"]))
    assert renamed.to_pydict() == {"n": [2147483647, 1]}


def test_a_read_that_filters(connection):
    relation = read("numbers")
    relation.read.filter.CopyFrom(call(0, column(0), literal(i64=1)))
    assert run(connection, plan(relation, "equal")).to_pylist() == [{"big": 1, "small": 1}]
    mask = relation.read.projection.select.struct_items
    mask.add(field=1)
    assert run(connection, plan(relation, "equal")).to_pylist() == [{"small": 1}]


def test_integers_overflow_as_in_sql(shop, connection):
    for name, text in [("add:i64_i64", "big + 1"), ("multiply:i64_i64", "big * 2"), ("subtract", "-2 - big")]:
        arguments = (column(0), literal(i64=2 if "mul" in name else 1)) if name != "subtract" else (literal(i64=-2), column(0))
        bytes_ = plan(project(read("numbers"), call(0, *arguments)), name, names=["x"])
        with pytest.raises(dbapi.Error, match="overflow"):
            run(connection, bytes_)
        response = post(shop, bytes_, Accept="application/json")
        expected = shop.post(f"SELECT {text} AS x FROM numbers")
        assert response.json()["code"] == expected.json()["code"] == "NUMERIC_OVERFLOW"


def test_constants_without_a_table(connection):
    empty = algebra_pb2.Rel(read=algebra_pb2.ReadRel(base_schema=named(), virtual_table=algebra_pb2.ReadRel.VirtualTable(values=[{}])))
    relation = project(empty, literal(i64=42), literal(string="x"))
    assert run(connection, plan(relation, names=["a", "b"])).to_pylist() == [{"a": 42, "b": "x"}]


def test_xor_and_wide_unions_stay_small(connection):
    expression = call(0, column(0), literal(i64=1))
    for _ in range(25):
        expression = call(1, expression, expression) if expression.ByteSize() < 1000 else call(1, expression, literal(boolean=True))
    assert run(connection, plan(project(read("numbers"), expression), "equal:any_any", "xor:bool_bool", names=["x"])).num_rows == 2
    union = algebra_pb2.Rel(set=algebra_pb2.SetRel(inputs=[read("numbers")] * 2000, op=algebra_pb2.SetRel.SET_OP_UNION_ALL))
    count = algebra_pb2.AggregateRel(
        input=union,
        groupings=[algebra_pb2.AggregateRel.Grouping()],
        measures=[algebra_pb2.AggregateRel.Measure(measure=algebra_pb2.AggregateFunction(function_reference=0))],
    )
    assert run(connection, plan(algebra_pb2.Rel(aggregate=count), "count", names=["n"])).to_pydict() == {"n": [4000]}


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


def test_plans_that_are_cut_or_altered(shop, frames):
    """Whatever the bytes are, the server refuses or answers, and goes on."""
    build, _ = FRAMES["SQL of the client"]
    whole = planned(build(frames), frames)
    chance = random.Random(7)
    cut = [whole[:length] for length in range(0, len(whole), 7)]
    altered = []
    for _ in range(150):
        copy = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            copy[chance.randrange(len(copy))] = chance.randrange(256)
        altered.append(bytes(copy))
    seen = set()
    for bytes_ in cut + altered:
        response = post(shop, bytes_)
        seen.add(response.status_code)
        assert response.status_code in (200, 400, 422, 501), (response.status_code, response.text, bytes_.hex())
    assert 400 in seen
    assert shop.value("SELECT 1") == 1


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


# Flight without a driver

URL = "type.googleapis.com/arrow.flight.protocol.sql."


def varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def command(name: str, body: bytes) -> bytes:
    return Any(type_url=URL + name, value=body).SerializeToString()


def substrait(bytes_: bytes) -> bytes:
    # CommandStatementSubstraitPlan { plan: SubstraitPlan { plan, version } }
    return command("CommandStatementSubstraitPlan", field(1, field(1, bytes_) + field(2, b"0.85.0")))


@pytest.fixture
def raw(shop):
    with contextlib.closing(pyarrow.flight.connect(f"grpc://{shop.address}")) as client:
        yield client


def test_flight_info_schema_and_rows(raw):
    descriptor = pyarrow.flight.FlightDescriptor.for_command(substrait(plan(read("numbers"))))
    info = raw.get_flight_info(descriptor)
    assert info.schema.names == raw.get_schema(descriptor).schema.names == ["big", "small"]
    assert raw.do_get(info.endpoints[0].ticket).read_all().num_rows == 2
    # Tickets of what only reads can be redeemed again.
    assert raw.do_get(info.endpoints[0].ticket).read_all().num_rows == 2


def test_flight_errors(raw):
    for bytes_ in [plan(read("number")), b"SELECT 1", plan(algebra_pb2.Rel(ddl=algebra_pb2.DdlRel()))]:
        descriptor = pyarrow.flight.FlightDescriptor.for_command(substrait(bytes_))
        for ask in [raw.get_flight_info, raw.get_schema]:
            with pytest.raises((pyarrow.ArrowException, KeyError, NotImplementedError)):
                ask(descriptor)
    missing = pyarrow.flight.FlightDescriptor.for_command(command("CommandStatementSubstraitPlan", b""))
    with pytest.raises(pyarrow.ArrowInvalid, match="no plan"):
        raw.get_flight_info(missing)


def test_prepared_plans(raw):
    # ActionCreatePreparedSubstraitPlanRequest { plan: SubstraitPlan }
    body = command("ActionCreatePreparedSubstraitPlanRequest", field(1, field(1, plan(read("numbers")))))
    (result,) = raw.do_action(pyarrow.flight.Action("CreatePreparedSubstraitPlan", body))
    created = Any.FromString(result.body.to_pybytes())
    assert created.type_url == URL + "ActionCreatePreparedStatementResult"
    handle = created.value[2 : 2 + created.value[1]]
    for _ in range(2):
        descriptor = pyarrow.flight.FlightDescriptor.for_command(command("CommandPreparedStatementQuery", field(1, handle)))
        info = raw.get_flight_info(descriptor)
        assert raw.do_get(info.endpoints[0].ticket).read_all().num_rows == 2
    raw.do_action(pyarrow.flight.Action("ClosePreparedStatement", command("ActionClosePreparedStatementRequest", field(1, handle))))


def test_the_server_says_what_it_reads(raw):
    # FLIGHT_SQL_SERVER_SUBSTRAIT and the oldest and newest version, as a packed list of codes.
    body = command("CommandGetSqlInfo", field(1, bytes([5, 6, 7])))
    info = raw.get_flight_info(pyarrow.flight.FlightDescriptor.for_command(body))
    table = raw.do_get(info.endpoints[0].ticket).read_all()
    found = dict(zip(table["info_name"].to_pylist(), table["value"].to_pylist(), strict=True))
    assert found[5] is True
    assert re.fullmatch(r"0\.\d+\.\d+", found[6]) and re.fullmatch(r"0\.\d+\.\d+", found[7])
