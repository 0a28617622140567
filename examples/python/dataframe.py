"""A dataframe that is built here and computed there: datafusion-python makes the plan, the server runs it, over Flight SQL."""

import os

import adbc_driver_flightsql.dbapi
import pyarrow.dataset
from datafusion import SessionContext, col, lit
from datafusion import functions as f
from datafusion.substrait import Producer

BASE = os.environ.get("TIDEMILL_URL", "http://127.0.0.1:8080")
CATALOG, SCHEMA = "demo", "public"


def tables(connection, *names: str) -> SessionContext:
    """A context that knows these tables of the server by their columns; none has a row here."""
    context = SessionContext()
    for name in names:
        schema = connection.adbc_get_table_schema(name, catalog_filter=CATALOG, db_schema_filter=SCHEMA)
        context.register_dataset(name, pyarrow.dataset.dataset(schema.empty_table()))
    return context


def collect(connection, context: SessionContext, frame) -> pyarrow.Table:
    """Has the server compute a dataframe."""
    plan = Producer.to_substrait_plan(frame.logical_plan(), context).encode()
    with connection.cursor() as cursor:
        cursor.execute(plan)  # bytes are a Substrait plan, text is SQL
        return cursor.fetch_arrow_table()


with adbc_driver_flightsql.dbapi.connect(BASE.replace("http", "grpc", 1), autocommit=True) as connection:
    # Names without catalog and schema are looked up in those of the session.
    with connection.cursor() as cursor:
        cursor.execute(f"SET catalog = '{CATALOG}'")
        cursor.execute(f"SET schema = '{SCHEMA}'")

    context = tables(connection, "orders", "customer")
    frame = (
        context.table("orders")
        .join(context.table("customer"), left_on="o_custkey", right_on="c_custkey")
        .filter(col("o_totalprice") > lit(100_000))
        .aggregate([col("c_mktsegment")], [f.count(col("o_orderkey")).alias("orders"), f.sum(col("o_totalprice")).alias("spent")])
        .sort(col("spent").sort(ascending=False))
    )
    print(collect(connection, context, frame).to_pandas())
