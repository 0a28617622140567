"""Every type of Arrow that SQL makes here: announced as it comes, and the same value as over HTTP."""

import duckdb
import flightsql
import pandas
import polars
import pyarrow
import pyarrow.flight
import pyarrow.parquet
import pytest

from flight_sql import adbc, command, message, rows, table_of, uri

utf8, i64, nanos = pyarrow.string(), pyarrow.int64(), pyarrow.timestamp("ns")

# A value's expression, the type on the wire, and the same in DuckDB where that has such a value.
TYPES = [
    ("true", pyarrow.bool_(), "true"),
    ("arrow_cast(-1, 'Int8')", pyarrow.int8(), "-1::TINYINT"),
    ("CAST(-1 AS SMALLINT)", pyarrow.int16(), "-1::SMALLINT"),
    ("CAST(-1 AS INT)", pyarrow.int32(), "-1::INT"),
    ("9223372036854775807", i64, "9223372036854775807"),
    ("arrow_cast(255, 'UInt8')", pyarrow.uint8(), "255::UTINYINT"),
    ("arrow_cast(65535, 'UInt16')", pyarrow.uint16(), "65535::USMALLINT"),
    ("arrow_cast(4294967295, 'UInt32')", pyarrow.uint32(), "4294967295::UINTEGER"),
    ("18446744073709551615", pyarrow.uint64(), "18446744073709551615::UBIGINT"),
    ("arrow_cast(1.5, 'Float16')", pyarrow.float16(), None),
    ("CAST(1.5 AS REAL)", pyarrow.float32(), "1.5::REAL"),
    ("CAST(1.5 AS DOUBLE)", pyarrow.float64(), "1.5::DOUBLE"),
    ("CAST('NaN' AS DOUBLE)", pyarrow.float64(), None),
    ("CAST('-Infinity' AS DOUBLE)", pyarrow.float64(), "'-Infinity'::DOUBLE"),
    ("CAST(-123.45 AS DECIMAL(5, 2))", pyarrow.decimal128(5, 2), "-123.45::DECIMAL(5, 2)"),
    ("CAST('0.0000000001' AS DECIMAL(38, 10))", pyarrow.decimal128(38, 10), "0.0000000001::DECIMAL(38, 10)"),
    ("CAST('12345678901234567890123456789012345678901234567890.12' AS DECIMAL(60, 2))", pyarrow.decimal256(60, 2), None),
    ("arrow_cast('1.5', 'Decimal32(5, 2)')", None, None),
    ("arrow_cast('1.5', 'Decimal64(12, 2)')", None, None),
    ("'ä€𝄞'", utf8, "'ä€𝄞'"),
    ("''", utf8, "''"),
    ("CAST('a' AS VARCHAR)", utf8, "'a'"),
    ("arrow_cast('a', 'Utf8View')", utf8, "'a'"),
    ("arrow_cast('a', 'LargeUtf8')", pyarrow.large_string(), "'a'"),
    ("arrow_cast('a', 'Dictionary(Int32, Utf8)')", utf8, "'a'"),
    ("X'00ff'", pyarrow.binary(), r"'\x00\xFF'::BLOB"),
    ("arrow_cast(X'00ff', 'BinaryView')", pyarrow.binary(), r"'\x00\xFF'::BLOB"),
    ("arrow_cast(X'00ff', 'LargeBinary')", pyarrow.large_binary(), r"'\x00\xFF'::BLOB"),
    ("arrow_cast(X'00ff', 'FixedSizeBinary(2)')", pyarrow.binary(2), r"'\x00\xFF'::BLOB"),
    ("DATE '2026-02-28'", pyarrow.date32(), "DATE '2026-02-28'"),
    ("arrow_cast('2026-02-28', 'Date64')", pyarrow.date64(), "DATE '2026-02-28'"),
    ("TIME '10:11:12.131415'", pyarrow.time64("ns"), "TIME '10:11:12.131415'"),
    ("arrow_cast('10:11:12', 'Time32(Second)')", pyarrow.time32("s"), "TIME '10:11:12'"),
    ("arrow_cast('10:11:12', 'Time64(Microsecond)')", pyarrow.time64("us"), "TIME '10:11:12'"),
    ("TIMESTAMP '2026-01-02 03:04:05.678'", nanos, "TIMESTAMP '2026-01-02 03:04:05.678'"),
    ("arrow_cast('2026-01-02T03:04:05', 'Timestamp(Second, None)')", pyarrow.timestamp("s"), "TIMESTAMP '2026-01-02 03:04:05'"),
    ("arrow_cast('2026-01-02T03:04:05', 'Timestamp(Millisecond, None)')", pyarrow.timestamp("ms"), "TIMESTAMP '2026-01-02 03:04:05'"),
    ("arrow_cast('2026-01-02T03:04:05', 'Timestamp(Microsecond, None)')", pyarrow.timestamp("us"), "TIMESTAMP '2026-01-02 03:04:05'"),
    ("arrow_cast('2026-01-02T03:04:05Z', 'Timestamp(Nanosecond, Some(\"Europe/Paris\"))')", pyarrow.timestamp("ns", "Europe/Paris"), None),
    ("arrow_cast('2026-01-02T03:04:05Z', 'Timestamp(Second, Some(\"+00:00\"))')", pyarrow.timestamp("s", "+00:00"), None),
    ("INTERVAL '1 month 2 days 3.5 seconds'", pyarrow.month_day_nano_interval(), None),
    ("arrow_cast(5, 'Duration(Second)')", pyarrow.duration("s"), None),
    ("TIMESTAMP '2026-01-02' - TIMESTAMP '2026-01-01'", None, None),
    ("[1, 2, NULL]", pyarrow.list_(i64), "[1, 2, NULL]"),
    ("[['a'], []]", None, "[['a'], []]"),
    ("arrow_cast([1, 2], 'LargeList(Int64)')", None, "[1, 2]"),
    ("arrow_cast([1, 2], 'FixedSizeList(2, Int64)')", pyarrow.list_(i64, 2), None),
    ("arrow_cast(['a', 'b'], 'List(Utf8View)')", None, "['a', 'b']"),
    ("arrow_cast([1, 2], 'ListView(Int64)')", None, "[1, 2]"),
    ("{a: 1, b: 'x', c: NULL}", None, "{'a': 1, 'b': 'x', 'c': NULL}"),
    ("{a: {b: [1, 2]}}", None, "{'a': {'b': [1, 2]}}"),
    ("[{a: arrow_cast('x', 'Dictionary(Int32, Utf8)')}]", None, "[{'a': 'x'}]"),
    ("MAP {'a': 1, 'b': NULL}", None, None),
    ("NULL", pyarrow.null(), None),
    ("CAST(NULL AS VARCHAR)", utf8, "NULL::VARCHAR"),
]


@pytest.fixture(scope="module")
def shared(flight):
    """An ADBC connection for tests that change nothing of it."""
    with adbc(flight) as connection:
        yield connection


def fetched(connection, sql, parameters=None) -> pyarrow.Table:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetch_arrow_table()


@pytest.mark.parametrize(("sql", "wire", "in_duckdb"), TYPES, ids=[sql for sql, _, _ in TYPES])
def test_a_value_of_each_type(flight, shared, client, sql, wire, in_duckdb):
    select = f"SELECT {sql} AS v"
    # The driver compares the announced schema with the stream's; so does our own client.
    table = fetched(shared, select)
    assert table.equals(client.query(select)) or "NaN" in sql
    assert table.equals(flight.table(select)) or "NaN" in sql
    assert wire is None or table.schema.field("v").type == wire
    assert table.schema.field("v").nullable
    if in_duckdb:
        assert table.column("v").to_pylist() == duckdb.sql(f"SELECT {in_duckdb} AS v").to_arrow_table().column("v").to_pylist()
    # The same with no rows, with a NULL among the rows, and prepared.
    assert fetched(shared, f"{select} WHERE 1 = 0").schema == table.schema
    with_null = fetched(shared, f"SELECT CASE WHEN n = 1 THEN {sql} END AS v FROM (VALUES (1), (2)) t(n) ORDER BY n")
    assert with_null.column("v").null_count in (1, 2)
    with shared.cursor() as cursor:
        assert cursor.adbc_execute_schema(select) == table.schema


@pytest.mark.parametrize(("sql", "wire", "in_duckdb"), TYPES, ids=[sql for sql, _, _ in TYPES])
def test_a_parameter_of_each_type(shared, sql, wire, in_duckdb):
    value = fetched(shared, f"SELECT {sql} AS v")
    back = fetched(shared, "SELECT $1 AS v", value.to_batches()[0])
    assert back.equals(value) or "NaN" in sql


def test_types_of_other_writers_as_parameters(shared):
    for array in [
        pyarrow.array(["a"], pyarrow.string_view()),
        pyarrow.array(["a"]).dictionary_encode(),
        pyarrow.array([b"a"], pyarrow.binary_view()),
        pyarrow.array([[1, 2]], pyarrow.large_list(i64)),
    ]:
        back = fetched(shared, "SELECT $1 AS v", pyarrow.record_batch({"v": array}))
        assert back.column("v").to_pylist() == array.to_pylist()


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_compressed_parameters(flight, client, compression):
    cmd = command("CommandPreparedStatementQuery", {1: client.prepare("SELECT length($1) AS n").one(1)})
    batch = pyarrow.record_batch({"s": ["x" * 10_000, "y" * 20_000]})
    options = pyarrow.flight.FlightCallOptions(write_options=pyarrow.ipc.IpcWriteOptions(compression=compression))
    with pyarrow.flight.connect(uri(flight)) as other:
        writer, answers = other.do_put(pyarrow.flight.FlightDescriptor.for_command(cmd), batch.schema, options)
        writer.write_batch(batch)
        writer.done_writing()
        assert answers.read()
        writer.close()
    assert client.table(cmd).column("n").to_pylist() == [10_000, 20_000]


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_compression(connection, compression):
    rows(connection, f"SET ipc_compression = '{compression}'")
    table = fetched(connection, "SELECT value, 'text' AS s, NULL AS n FROM generate_series(1, 100000) g(value) ORDER BY value")
    assert table.column("value").to_pylist() == list(range(1, 100001))


def test_compression_makes_messages_smaller_and_changes_nothing_else(client):
    sql = "SELECT value % 5 AS v, repeat('text', 20) AS s FROM generate_series(1, 20000) g(value) ORDER BY value"
    sizes, tables = {}, []
    for compression in ["none", "lz4", "zstd"]:
        client.query(f"SET ipc_compression = '{compression}'")
        (ticket,) = client.info(command("CommandStatementQuery", {1: sql})).tickets
        messages = client.many("DoGet", message({1: ticket}))
        sizes[compression] = sum(map(len, messages))
        tables.append(table_of(messages))
    assert max(sizes["lz4"], sizes["zstd"]) < sizes["none"] / 2
    assert tables[0].num_rows == 20000 and tables[0].equals(tables[1]) and tables[0].equals(tables[2])


def test_views_for_who_wants_them(connection, client):
    client.query("SET wire_views = true")
    table = client.query("SELECT arrow_cast('a', 'Utf8View') AS v")
    assert table.schema.field("v").type == pyarrow.string_view()
    assert rows(connection, "SELECT arrow_cast('a', 'Utf8View') AS v") == [("a",)]
    rows(connection, "SET wire_views = true")
    assert rows(connection, "SELECT arrow_cast('a', 'Utf8View') AS v") == [("a",)]


@pytest.fixture(scope="module")
def parquet(tmp_path_factory):
    """A file of columns that are never null, with statistics that answer min and max."""
    never_null = [pyarrow.field("k", i64, nullable=False), pyarrow.field("s", utf8, nullable=False)]
    schema = pyarrow.schema([*never_null, pyarrow.field("d", pyarrow.dictionary(pyarrow.int32(), utf8))])
    arrays = [pyarrow.array([1, 2, 3]), pyarrow.array(["a", "b", "c"]), pyarrow.array(["x", "y", "x"]).dictionary_encode()]
    path = tmp_path_factory.mktemp("types") / "t.parquet"
    pyarrow.parquet.write_table(pyarrow.table(arrays, schema=schema), path)
    return path


STATEMENTS = [
    "SELECT * FROM {t}",
    "SELECT min(k), max(k), count(*), count(k) FROM {t}",
    "SELECT min(k), max(s) FROM {t} WHERE k > 100",
    "SELECT k FROM {t} UNION ALL SELECT NULL",
    "SELECT k FROM {t} UNION SELECT k + 1 FROM {t}",
    "SELECT a.k, b.s FROM {t} a LEFT JOIN {t} b ON a.k = b.k + 1",
    "SELECT d, count(*) FROM {t} GROUP BY d",
    "SELECT d, s, sum(k) FROM {t} GROUP BY ROLLUP (d, s)",
    "SELECT row_number() OVER (ORDER BY k), lag(s) OVER (ORDER BY k) FROM {t}",
    "SELECT array_agg(s ORDER BY k), array_agg(d) FROM {t}",
    "SELECT CASE WHEN k > 1 THEN s END, coalesce(d, s) FROM {t}",
    "SELECT count(DISTINCT d), approx_distinct(s), avg(k), stddev(k) FROM {t}",
    "SELECT k AS x, k AS y, s || d AS \"weird \"\"name\"\" ä\" FROM {t}",
    "SELECT * FROM {t} LIMIT 0",
    "SELECT (SELECT max(k) FROM {t}), k + (SELECT min(k) FROM {t}) FROM {t} WHERE k IN (SELECT k + 1 FROM {t})",
    "VALUES (1, 'a'), (2, NULL)",
    "SELECT now(), current_date, current_time",
    "SHOW ALL",
    "SHOW TABLES",
    "DESCRIBE orders",
    "EXPLAIN SELECT * FROM {t}",
    "EXPLAIN ANALYZE SELECT * FROM {t}",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM information_schema.columns",
    "SELECT * FROM system.queries LIMIT 5",
    "SELECT * FROM system.memory",
    "SELECT * FROM system.settings",
]


@pytest.mark.parametrize("sql", STATEMENTS)
def test_what_is_announced_is_what_comes(shared, client, parquet, sql):
    sql = sql.format(t=f"'{parquet}'")
    assert fetched(shared, sql).schema == client.query(sql).schema


def test_copy_says_how_many_rows_it_wrote(shared, parquet, tmp_path):
    with shared.cursor() as cursor:
        cursor.execute(f"COPY (SELECT * FROM '{parquet}') TO '{tmp_path / 'out.parquet'}'")
        assert cursor.rowcount == 3
    assert pyarrow.parquet.read_table(tmp_path / "out.parquet").num_rows == 3


def test_pandas(shared):
    frame = pandas.read_sql("SELECT id, name, amount FROM orders ORDER BY id", shared)
    assert frame["id"].tolist() == [1, 2, 3] and frame["name"].tolist()[:2] == ["ann", "bob"]


def test_pandas_writes(connection, scratch):
    frame = pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    assert frame.to_sql(scratch, connection, index=False) == 2
    assert rows(connection, f"SELECT * FROM {scratch} ORDER BY a") == [(1, "x"), (2, "y")]


def test_polars(flight, shared):
    sql = "SELECT id, name, at FROM orders ORDER BY id"
    address = f"flightsql://{flight.address}?transport=tcp"
    for frame in [polars.read_database_uri(sql, address, engine="adbc"), polars.read_database(sql, shared)]:
        assert frame["id"].to_list() == [1, 2, 3] and frame["name"].to_list() == ["ann", "bob", None]
    frame = polars.read_database("SELECT name FROM orders WHERE id = $1", shared, execute_options={"parameters": (2,)})
    assert frame["name"].to_list() == ["bob"]
    batches = polars.read_database("SELECT value FROM generate_series(1, 100000) g(value)", shared, iter_batches=True, batch_size=10000)
    assert sum(len(batch) for batch in batches) == 100000


def test_duckdb_reads_the_stream(shared):
    with shared.cursor() as cursor:
        cursor.execute("SELECT value, value % 3 AS k FROM generate_series(1, 100000) g(value)")
        reader = cursor.fetch_record_batch()  # noqa: F841 - DuckDB finds it by its name
        assert duckdb.sql("SELECT k, count(*) FROM reader GROUP BY k ORDER BY k").fetchall() == [(0, 33333), (1, 33334), (2, 33333)]


def test_an_old_client_that_knows_no_views(flight):
    host, port = flight.address.split(":")
    client = flightsql.FlightSQLClient(host=host, port=int(port), insecure=True)
    with flightsql.connect(client) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT CAST('a' AS varchar) AS s, left('abc', 2) AS l, arrow_cast('v', 'Utf8View') AS v, id FROM orders WHERE id = 1")
        assert [tuple(row) for row in cursor.fetchall()] == [("a", "ab", "v", 1)]
        cursor.execute("SELECT id FROM orders WHERE name = ?", ["bob"])
        assert [tuple(row) for row in cursor.fetchall()] == [(2,)]
