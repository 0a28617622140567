"""ADBC, as Python's DBAPI drives it: answers, parameters, statements that change something, partitions, cancelling, errors."""

import concurrent.futures
import datetime
import decimal
import threading
import warnings

import adbc_driver_flightsql.dbapi as dbapi
import pyarrow
import pytest

from flight_sql import adbc, history, rows, sqlstate, uri, value
from server import wait_until
from test_limits import ENDLESS, settings

WIDE = "SELECT value, repeat('y', 1000) AS pad FROM generate_series(1, 100000000) g(value)"


def test_connecting_needs_no_credentials_and_warns_of_nothing(flight):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with dbapi.connect(uri(flight), autocommit=True) as connection:
            assert value(connection, "SELECT 1") == 1


def test_a_connection_without_autocommit_is_told_that_there_are_no_transactions(flight):
    with pytest.warns(Warning, match="autocommit"), dbapi.connect(uri(flight)) as connection:
        assert value(connection, "SELECT 1") == 1
        connection.commit()


def test_info(connection):
    info = connection.adbc_get_info()
    assert info["vendor_name"] == "Tidemill"
    assert info["vendor_version"] and info["vendor_arrow_version"].startswith("59.")
    assert "Flight SQL" in info["driver_name"]


def test_table_types(connection):
    assert {"TABLE", "VIEW"} <= set(connection.adbc_get_table_types())


def test_objects_at_every_depth(connection):
    def objects(depth, **filters):
        (catalog,) = connection.adbc_get_objects(depth=depth, catalog_filter="tidemill", **filters).read_all().to_pylist()
        return catalog

    assert objects("catalogs") == {"catalog_name": "tidemill", "catalog_db_schemas": None}
    schemas = objects("db_schemas")["catalog_db_schemas"]
    assert {"public", "information_schema"} <= {schema["db_schema_name"] for schema in schemas}
    (public,) = objects("tables", db_schema_filter="public", table_name_filter="orders")["catalog_db_schemas"]
    (table,) = public["db_schema_tables"]
    assert (table["table_name"], table["table_type"], table["table_columns"]) == ("orders", "TABLE", None)
    for depth in ["columns", "all"]:
        (public,) = objects(depth, db_schema_filter="public", table_name_filter="orders")["catalog_db_schemas"]
        columns = public["db_schema_tables"][0]["table_columns"]
        assert [column["column_name"] for column in columns] == ["id", "name", "amount", "at"]
        assert [column["ordinal_position"] for column in columns] == [1, 2, 3, 4]
        assert (columns[0]["xdbc_type_name"], columns[0]["xdbc_scope_table"]) == ("BIGINT", "orders")
    (filtered,) = objects("columns", db_schema_filter="public", table_name_filter="orders", column_name_filter="na%")["catalog_db_schemas"]
    assert [column["column_name"] for column in filtered["db_schema_tables"][0]["table_columns"]] == ["name"]


def test_every_table_can_be_listed_with_its_columns(connection):
    assert connection.adbc_get_objects(depth="all").read_all().num_rows >= 1


def test_the_schema_of_a_table(connection):
    schema = connection.adbc_get_table_schema("orders")
    assert schema.names == ["id", "name", "amount", "at"]
    assert schema.field("id").type == pyarrow.int64()
    assert schema.field("name").type == pyarrow.string()
    assert connection.adbc_get_table_schema("orders", catalog_filter="tidemill", db_schema_filter="public").names == schema.names
    with pytest.raises(dbapi.ProgrammingError):
        connection.adbc_get_table_schema("no_such_table")


def test_a_wildcard_in_a_name_does_not_find_another_table(flight, connection, scratch):
    other = scratch.replace("_", "a", 1)
    for name, column in [(other, "wrong"), (scratch, "right")]:
        rows(connection, f"CREATE TABLE {name} AS SELECT 1 AS {column}")
    try:
        assert connection.adbc_get_table_schema(scratch).names == ["right"]
    finally:
        rows(connection, f"DROP TABLE {other}")


def test_the_schema_of_a_table_is_that_of_the_session_s_own(connection, scratch):
    for schema in ("aa_" + scratch, "zz_" + scratch):
        rows(connection, f"CREATE SCHEMA {schema}")
        rows(connection, f"CREATE TABLE {schema}.{scratch} AS SELECT 1 AS {schema}")
    try:
        for schema in ("aa_" + scratch, "zz_" + scratch):
            rows(connection, f"SET schema = '{schema}'")
            assert connection.adbc_get_table_schema(scratch).names == [schema]
    finally:
        rows(connection, "RESET schema")
        for schema in ("aa_" + scratch, "zz_" + scratch):
            rows(connection, f"DROP SCHEMA {schema} CASCADE")


def test_answers(connection):
    assert rows(connection, "SELECT id, name FROM orders ORDER BY id") == [(1, "ann"), (2, "bob"), (3, None)]
    assert rows(connection, "SELECT min(id), max(id), count(*) FROM orders") == [(1, 3, 3)]
    assert rows(connection, "SELECT id FROM orders WHERE 1 = 0") == []
    assert rows(connection, "SELECT CAST('a' AS varchar), left('abc', 2), arrow_cast('a', 'Dictionary(Int32, Utf8)')") == [("a", "ab", "a")]
    assert rows(connection, "SELECT id FROM orders UNION ALL SELECT NULL ORDER BY 1") == [(1,), (2,), (3,), (None,)]


def test_the_description_of_an_empty_answer(connection):
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, name FROM orders WHERE 1 = 0")
        assert [column[0] for column in cursor.description] == ["id", "name"]
        assert cursor.fetch_arrow_table().num_rows == 0


def test_many_rows_in_many_batches(connection):
    with connection.cursor() as cursor:
        cursor.execute("SELECT value, 'row ' || value AS s FROM generate_series(1, 300000) g(value) ORDER BY value")
        table = cursor.fetch_arrow_table()
    assert table.num_rows == 300000 and table.column("value").num_chunks > 1
    assert table.column("s")[299999].as_py() == "row 300000"


@pytest.mark.parametrize("mark", ["$1", "?"])
def test_parameters(connection, mark):
    assert rows(connection, f"SELECT name FROM orders WHERE id = {mark}", (2,)) == [("bob",)]
    assert rows(connection, f"SELECT name FROM orders WHERE name = {mark}", ("x' OR '1' = '1",)) == []
    assert rows(connection, f"SELECT id FROM orders WHERE coalesce(name, 'none') = coalesce({mark}, 'none')", (None,)) == [(3,)]


PARAMETERS = [True, 7, -1.5, "text", "ä€𝄞", b"\x00\xff", datetime.date(2026, 1, 2), datetime.datetime(2026, 1, 2, 3, 4, 5), decimal.Decimal("1.50")]


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda it: type(it).__name__)
def test_every_type_of_parameter_comes_back(connection, parameter):
    assert value(connection, "SELECT $1 AS v", (parameter,)) == parameter
    assert value(connection, "SELECT $1 IS NULL AS v", (parameter,)) is False


@pytest.mark.parametrize("sql_type", ["BIGINT", "INT", "DOUBLE", "DECIMAL(10, 2)", "VARCHAR", "BYTEA", "DATE", "TIMESTAMP", "BOOLEAN"])
def test_a_parameter_without_a_type_is_null_of_any_type(connection, scratch, sql_type):
    assert rows(connection, f"SELECT CAST($1 AS {sql_type}) AS v", (None,)) == [(None,)]
    rows(connection, f"CREATE TABLE {scratch} (v {sql_type})")
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {scratch} VALUES ($1)", [(None,), (None,)])
    assert rows(connection, f"SELECT v FROM {scratch}") == [(None,), (None,)]


DAY, FORTNIGHT = datetime.date(2024, 1, 6), datetime.timedelta(days=14)
NOON = datetime.datetime(2024, 1, 6, 12)
# A parameter is what its value is, not what its neighbour would have it be.
OPERANDS = [
    ("DATE '2024-01-06' - $1", 5, datetime.date(2024, 1, 1)),
    ("DATE '2024-01-06' + $1", 5, datetime.date(2024, 1, 11)),
    ("$1 + DATE '2024-01-06'", 5, datetime.date(2024, 1, 11)),
    ("CAST(DATE '2024-01-06' + $1 AS TIMESTAMP)", FORTNIGHT, datetime.datetime(2024, 1, 20)),
    ("CAST(DATE '2024-01-06' - $1 AS TIMESTAMP)", FORTNIGHT, datetime.datetime(2023, 12, 23)),
    ("CAST(DATE '2024-01-06' + $1 AS TIMESTAMP)", datetime.timedelta(hours=12), NOON),
    ("TIMESTAMP '2024-01-06 12:00:00' + $1", datetime.timedelta(minutes=1), NOON + datetime.timedelta(minutes=1)),
    ("TIMESTAMP '2024-01-06 12:00:00' - $1", FORTNIGHT, NOON - FORTNIGHT),
    ("TIMESTAMP '2024-01-06 12:00:00' - $1 = INTERVAL '12 hours'", NOON.replace(hour=0), True),
    ("5 / $1", 2, 2),
    ("5 / $1", 2.0, 2.5),
    ("7 + $1", 0.5, 7.5),
]


@pytest.mark.parametrize("sql, parameter, answer", OPERANDS, ids=[f"{sql}, {parameter}" for sql, parameter, _ in OPERANDS])
def test_parameters_as_operands(connection, sql, parameter, answer):
    assert value(connection, f"SELECT {sql} AS v", (parameter,)) == answer


def test_parameters_among_the_rows_of_values(connection, scratch):
    assert rows(connection, "SELECT * FROM (VALUES (1), ($1)) t(v) ORDER BY v", (2.5,)) == [(1.0,), (2.5,)]
    assert rows(connection, "VALUES (1), (?)", (2,)) == [(1,), (2,)]
    assert rows(connection, "VALUES (1, 'a'), (CAST($1 AS BIGINT), $2) ORDER BY 1", (2.6, "b")) == [(1, "a"), (3, "b")]
    rows(connection, f"CREATE TABLE {scratch} (v BIGINT)")
    rows(connection, f"INSERT INTO {scratch} VALUES (2.6), ($1)", (2.6,))
    assert rows(connection, f"SELECT v FROM {scratch}") == [(3,), (3,)]


def test_arguments_of_table_functions_are_no_parameters(connection):
    with pytest.raises(dbapi.ProgrammingError, match="generate_series can not be a parameter"):
        rows(connection, "SELECT * FROM generate_series(1, ?)", (3,))


def test_too_few_and_too_many_parameters(connection):
    for parameters in [(1,), (1, 2, 3)]:
        with pytest.raises(dbapi.ProgrammingError):
            rows(connection, "SELECT $1 + $2", parameters)
    with pytest.raises(dbapi.ProgrammingError, match=r"\$1"):
        rows(connection, "SELECT $1 + 1")


def test_preparing_tells_the_types_of_parameters(connection):
    with connection.cursor() as cursor:
        schema = cursor.adbc_prepare("SELECT id FROM orders WHERE id = $1 AND name = $2")
        assert [field.type for field in schema] == [pyarrow.int64(), pyarrow.string()]
        for number, name in [(1, "ann"), (2, "bob"), (2, "ann")]:
            cursor.execute("SELECT id FROM orders WHERE id = $1 AND name = $2", (number, name))
            assert len(cursor.fetchall()) == (1 if (number, name) != (2, "ann") else 0)


def test_the_schema_of_a_statement_without_running_it(connection, scratch):
    with connection.cursor() as cursor:
        schema = cursor.adbc_execute_schema("SELECT id, name FROM orders")
        assert (schema.names, schema.types) == (["id", "name"], [pyarrow.int64(), pyarrow.string()])
        with pytest.raises(dbapi.NotSupportedError):
            cursor.adbc_execute_schema(f"CREATE TABLE {scratch} AS SELECT 1 AS a")
    with pytest.raises(dbapi.ProgrammingError):
        rows(connection, f"SELECT * FROM {scratch}")


def test_statements_that_change_something_run_once(connection, scratch):
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {scratch} AS SELECT 1 AS a")
        cursor.execute(f"INSERT INTO {scratch} VALUES (2), (3)")
        assert cursor.rowcount == 2
        cursor.executemany(f"INSERT INTO {scratch} VALUES ($1)", [(4,), (5,), (6,)])
        assert cursor.rowcount == 3
        cursor.execute(f"INSERT INTO {scratch} VALUES ($1)", (7,))
        assert cursor.rowcount == 1
        cursor.execute(f"UPDATE {scratch} SET a = a + 10 WHERE a > 5")
        assert cursor.rowcount == 2
        cursor.execute(f"DELETE FROM {scratch} WHERE a < 3")
        assert cursor.rowcount == 2
    assert rows(connection, f"SELECT a FROM {scratch} ORDER BY a") == [(3,), (4,), (5,), (16,), (17,)]


def test_definitions_run_once(connection, scratch):
    # Each of these fails when it runs a second time.
    for sql in [f"CREATE TABLE {scratch} (a INT)", f"DROP TABLE {scratch}", f"CREATE VIEW {scratch} AS SELECT 1 AS a", f"DROP VIEW {scratch}"]:
        rows(connection, sql)


def test_executemany_with_mixed_nulls(connection, scratch):
    rows(connection, f"CREATE TABLE {scratch} (a BIGINT, b VARCHAR)")
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {scratch} VALUES (?, ?)", [(1, None), (None, "x"), (3, "y")])
        batch = pyarrow.record_batch({"a": [4, 5], "b": ["p", "q"]})
        cursor.executemany(f"INSERT INTO {scratch} VALUES ($1, $2)", batch)
    assert rows(connection, f"SELECT a, b FROM {scratch} ORDER BY a NULLS LAST") == [(1, None), (3, "y"), (4, "p"), (5, "q"), (None, "x")]


def test_executemany_says_how_far_it_came(connection, scratch):
    rows(connection, f"CREATE TABLE {scratch} (a BIGINT PRIMARY KEY)")
    with connection.cursor() as cursor, pytest.raises(dbapi.Error, match="the first 2 rows of parameters took effect"):
        cursor.executemany(f"INSERT INTO {scratch} VALUES ($1)", [(1,), (2,), (1,), (3,)])
    assert rows(connection, f"SELECT a FROM {scratch} ORDER BY a") == [(1,), (2,)]


def test_executemany_with_no_rows_changes_nothing(connection, scratch):
    rows(connection, f"CREATE TABLE {scratch} (a BIGINT)")
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {scratch} VALUES ($1)", pyarrow.record_batch({"a": pyarrow.array([], pyarrow.int64())}))
    assert value(connection, f"SELECT count(*) FROM {scratch}") == 0


def test_executescript(connection, scratch):
    with connection.cursor() as cursor:
        cursor.executescript(f"CREATE TABLE {scratch} AS SELECT 1 AS a")
        cursor.executescript(f"INSERT INTO {scratch} VALUES (2)")
    assert value(connection, f"SELECT count(*) FROM {scratch}") == 2


def test_a_result_in_partitions_that_another_connection_reads(flight, connection):
    rows(connection, "SET result_partitions = 4")
    with connection.cursor() as cursor:
        partitions, schema = cursor.adbc_execute_partitions("SELECT value FROM generate_series(1, 100000) g(value) ORDER BY value")
    assert len(partitions) == 4 and schema.names == ["value"]

    def read(partition):
        with adbc(flight) as other, other.cursor() as cursor:
            cursor.adbc_read_partition(partition)
            return cursor.fetch_arrow_table().column("value").to_pylist()

    # Twice, because a reader may have to start over.
    for _ in range(2):
        with concurrent.futures.ThreadPoolExecutor() as pool:
            parts = list(pool.map(read, partitions))
        assert all(parts) and [number for part in parts for number in part] == list(range(1, 100001))


def test_a_result_in_partitions_is_read_whole_by_execute(connection):
    rows(connection, "SET result_partitions = 3")
    assert [number for (number,) in rows(connection, "SELECT value FROM generate_series(1, 1000) g(value) ORDER BY value")] == list(range(1, 1001))
    assert rows(connection, "SELECT 1 AS a WHERE 1 = 0") == []
    assert rows(connection, "SELECT $1 AS a", (5,)) == [(5,)]


def test_one_partition_unless_asked_otherwise(connection):
    with connection.cursor() as cursor:
        partitions, _ = cursor.adbc_execute_partitions("SELECT id FROM orders")
        assert len(partitions) == 1
        cursor.adbc_read_partition(partitions[0])
        assert len(cursor.fetchall()) == 3


def ended(server, marker: str, state: str = "cancelled"):
    """Waits until the marked statement is in history in this state, with nothing left of it."""
    wait_until(lambda: [found for found, _ in history(server, f"sql LIKE '%{marker}%'")] == [state], 20, f"{marker} {state}")
    server.at_rest(20)


def test_cancel(flight, connection):
    sql, failures = ENDLESS + " AND 'adbc cancel' <> ''", []
    with connection.cursor() as cursor:

        def run():
            try:
                cursor.execute(sql)
                cursor.fetchall()
            except dbapi.Error as error:
                failures.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        wait_until(lambda: [state for state, _ in history(flight, "sql LIKE '%adbc cancel%'")] == ["running"], 20, "the query running")
        cursor.adbc_cancel()
        thread.join(20)
        assert not thread.is_alive()
    assert isinstance(failures[0], dbapi.OperationalError), failures
    ended(flight, "adbc cancel")


def test_closing_in_mid_stream_stops_the_query(flight, connection):
    with connection.cursor() as cursor:
        cursor.execute(WIDE + " WHERE 'adbc closes' <> ''")
        reader = cursor.fetch_record_batch()
        assert reader.read_next_batch().num_rows > 0
        del reader
    ended(flight, "adbc closes")
    assert value(connection, "SELECT 1") == 1


def test_a_timeout_of_the_client_stops_the_query(flight, connection):
    with connection.cursor() as cursor:
        cursor.adbc_statement.set_options(**{"adbc.flight.sql.rpc.timeout_seconds.fetch": "1.0"})
        with pytest.raises(dbapi.OperationalError):
            cursor.execute(ENDLESS + " AND 'adbc times out' <> ''")
            cursor.fetchall()
    ended(flight, "adbc times out")


def test_a_timeout_of_the_session_stops_the_query(flight, connection):
    rows(connection, "SET statement_timeout = '300ms'")
    with pytest.raises(dbapi.OperationalError) as caught:
        rows(connection, ENDLESS)
    assert sqlstate(caught.value) == "57014"
    flight.at_rest(20)


ERRORS = [
    ("SELEC 1", dbapi.ProgrammingError, "42601"),
    ("SELECT nope FROM orders", dbapi.ProgrammingError, "42703"),
    ("SELECT * FROM nosuch", dbapi.ProgrammingError, "42P01"),
    ("SELECT nope(1)", dbapi.ProgrammingError, "42883"),
    ("SELECT 1 / 0", dbapi.ProgrammingError, "22012"),
    ("SELECT CAST(s AS INT) FROM (VALUES ('x')) t(s)", dbapi.ProgrammingError, "22000"),
    ("CREATE SCHEMA public", dbapi.ProgrammingError, "42P06"),
    ("CREATE TABLE orders (a INT)", dbapi.ProgrammingError, "42P07"),
    ("SET no_such_setting = 1", dbapi.ProgrammingError, "42704"),
    ("SET priority = 'urgent'", dbapi.ProgrammingError, "22023"),
    ("BEGIN", dbapi.NotSupportedError, "0A000"),
    ("SELECT 1; SELECT 2", dbapi.ProgrammingError, "42601"),
    (" ", dbapi.ProgrammingError, "42601"),
]


@pytest.mark.parametrize(("sql", "kind", "state"), ERRORS)
def test_errors_have_their_class_and_sqlstate(flight, connection, sql, kind, state):
    with pytest.raises(kind) as caught:
        rows(connection, sql)
    assert type(caught.value) is kind
    expected = flight.post({"sql": sql}).json()["sqlstate"]
    assert sqlstate(caught.value) == expected == state
    assert value(connection, "SELECT 1") == 1


def test_errors_of_what_the_server_lacks_have_their_class(connection, serve):
    rows(connection, "SET memory_limit = '8MiB'")
    with pytest.raises(dbapi.InternalError, match="ResourceExhausted") as caught:
        rows(connection, "SELECT length(string_agg(repeat('x', 1000), '')) FROM generate_series(1, 1000000)")
    assert sqlstate(caught.value) == "53200"
    with serve(*settings(flight_sql__max_prepared=1)) as server, adbc(server) as other, other.cursor() as first:
        first.adbc_prepare("SELECT 1")
        with pytest.raises(dbapi.OperationalError, match="flight_sql.max_prepared"):
            value(other, "SELECT 2")


def test_an_error_says_where(connection):
    with pytest.raises(dbapi.ProgrammingError, match="line 2, column 3"):
        rows(connection, "SELECT 1,\n  nope FROM orders")


def test_an_error_after_many_rows_ends_the_stream(connection):
    with connection.cursor() as cursor, pytest.raises(dbapi.ProgrammingError, match="division by zero") as caught:
        cursor.execute("SELECT 1000 / (value - 900000) AS x FROM generate_series(1, 1000000) g(value)")
        cursor.fetch_arrow_table()
    assert sqlstate(caught.value) == "22012"


def test_thousands_of_statements_on_one_connection(connection):
    with connection.cursor() as cursor:
        for number in range(500):
            cursor.execute("SELECT 1")
            assert cursor.fetchone() == (1,), number


def test_many_connections_at_once(flight):
    def work(number):
        with adbc(flight) as connection:
            rows(connection, f"SET application_name = 'adbc {number}'")
            return [value(connection, "SHOW application_name") for _ in range(3)]

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        assert list(pool.map(work, range(40))) == [[f"adbc {number}"] * 3 for number in range(40)]


def test_history_says_that_it_came_by_this_door(flight, connection):
    value(connection, "SELECT 'by flight' AS s")
    ((door, client),) = flight.rows("SELECT door, client FROM system.queries WHERE sql = 'SELECT ''by flight'' AS s'")
    assert door == "flight_sql" and client
