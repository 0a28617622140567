"""Dataframes of datafusion-python and ibis as plans: they answer as SQL does, by ADBC and HTTP."""

import datetime
import decimal
import io

import ibis
import pyarrow
import pyarrow.dataset
import pyarrow.ipc
import pytest
from datafusion import SessionContext, col, lit
from datafusion import functions as f
from datafusion.catalog import Catalog, Schema
from ibis_substrait.compiler.core import SubstraitCompiler
from substrait.gen.proto import algebra_pb2

from substrait_plans import connect, planned, post, refused, rows, same, sql

TABLES = ["orders", "customer", "lineitem", "nation"]

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
def test_dataframes_of_datafusion(driver, frames, name, optimized):
    build, text = FRAMES[name]
    same(driver, planned(build(frames), frames, optimized), text)


def test_results_are_the_same_by_http(shop, driver, frames):
    for build, text in FRAMES.values():
        response = post(shop, planned(build(frames), frames))
        assert response.status_code == 200, response.text
        answer = pyarrow.ipc.open_stream(io.BytesIO(response.content)).read_all()
        assert sorted(rows(answer)) == sorted(rows(sql(driver, text)))


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
def test_expressions_of_ibis(driver, name):
    build, text = IBIS[name]
    same(driver, compiled(build(ibis.table(SALES, name="sales"))), text)


def test_times_of_ibis(driver):
    # The compiler sends them as the older types, which count microseconds.
    visits = ibis.table([("id", "int64"), ("at", "timestamp(6)")], name="visits")
    later = visits.filter(visits.at > ibis.timestamp("2024-02-01 00:00:00"))
    answer = same(driver, compiled(later), "SELECT id, at FROM visits WHERE at > TIMESTAMP '2024-02-01 00:00:00'")
    assert answer.num_rows == 1


@pytest.fixture
def kinds_of_joins(monkeypatch):
    """The names that the compiler has for them, which newer messages have under other names."""
    for older, newer in [("SEMI", "LEFT_SEMI"), ("ANTI", "LEFT_ANTI"), ("SINGLE", "LEFT_SINGLE")]:
        kinds = algebra_pb2.JoinRel.JoinType
        monkeypatch.setattr(kinds, f"JOIN_TYPE_{older}", getattr(kinds, f"JOIN_TYPE_{newer}"), raising=False)


@pytest.mark.usefixtures("kinds_of_joins")
def test_joins_of_ibis(shop, driver):
    """A join whose columns ibis keeps all is answered. The compiler leaves out the projection that chooses some, or that
    drops one of two keys of one name: it can not be known which of the columns the names belong to."""
    sales = ibis.table(SALES, name="sales")
    numbers = ibis.table([("big", "int64"), ("small", "int32")], name="numbers")
    joined = sales.join(numbers, sales.id == numbers.big)
    same(driver, compiled(joined), "SELECT * FROM sales JOIN numbers ON id = big")
    large = ibis.table(SALES[:3], name="large")
    for unclear, names, columns in [(joined.select("small", "shop"), 2, 8), (sales.join(large, "id"), 8, 9)]:
        words = f"its root has {names} names, but the columns of a JoinRel below it take {columns}"
        refused(shop, driver, compiled(unclear), "INVALID", words)
