"""Bulk ingestion: tables out of a client's batches."""

import adbc_driver_flightsql.dbapi as dbapi
import grpc
import pyarrow
import pytest

from flight_sql import Client, adbc, command, descriptor, flight_data, message, refused, rows, schema_of, value
from server import wait_until
from test_lifecycle import TOKEN
from test_limits import settings

DATA = pyarrow.table({"a": [1, 2], "b": ["x", None]})
NOT_EXIST_CREATE, NOT_EXIST_FAIL = 1, 2
EXISTS_FAIL, EXISTS_APPEND, EXISTS_REPLACE = 1, 2, 3


def ingest(connection, name, data=DATA, **options):
    with connection.cursor() as cursor:
        return cursor.adbc_ingest(name, data, **options)


@pytest.mark.parametrize("mode", ["create", "append", "replace", "create_append"])
@pytest.mark.parametrize("there", [False, True])
def test_modes(connection, scratch, mode, there):
    if there:
        rows(connection, f"CREATE TABLE {scratch} AS SELECT 0 AS a, 'old' AS b")
    if (mode, there) in [("create", True), ("append", False)]:
        with pytest.raises(dbapi.ProgrammingError):
            ingest(connection, scratch, mode=mode)
        if there:
            assert rows(connection, f"SELECT a FROM {scratch}") == [(0,)]
        return
    assert ingest(connection, scratch, mode=mode) == 2
    expected = [(0, "old")] if there and "append" in mode else []
    assert rows(connection, f"SELECT a, b FROM {scratch} ORDER BY a") == [*expected, (1, "x"), (2, None)]


def test_into_a_catalog_and_schema(flight, connection, scratch):
    rows(connection, f"CREATE SCHEMA {scratch}_schema")
    try:
        ingest(connection, "t", catalog_name="tidemill", db_schema_name=f"{scratch}_schema")
        assert value(connection, f"SELECT count(*) FROM tidemill.{scratch}_schema.t") == 2
        with pytest.raises(dbapi.ProgrammingError):
            ingest(connection, "t", db_schema_name="no_such_schema")
    finally:
        flight.post(f"DROP SCHEMA {scratch}_schema CASCADE")


def test_into_a_catalog_alone(flight, connection, scratch):
    # The schema is then that of the session, in that catalog.
    ingest(connection, scratch, catalog_name="tidemill")
    assert flight.value(f"SELECT count(*) FROM tidemill.public.{scratch}") == 2
    with pytest.raises(dbapi.ProgrammingError):
        ingest(connection, scratch, catalog_name="no_such_catalog")


def test_into_the_schema_of_the_session(flight, connection, scratch):
    rows(connection, f"CREATE SCHEMA {scratch}_schema")
    try:
        rows(connection, f"SET schema = '{scratch}_schema'")
        ingest(connection, "t")
        assert flight.value(f"SELECT count(*) FROM {scratch}_schema.t") == 2
    finally:
        flight.post(f"DROP SCHEMA {scratch}_schema CASCADE")


def test_a_name_is_a_name_and_no_sql(flight, connection, scratch):
    name = f'{scratch} "Mixed"; DROP TABLE orders'
    quoted = '"' + name.replace('"', '""') + '"'
    try:
        ingest(connection, name)
        assert value(connection, f"SELECT count(*) FROM {quoted}") == 2
    finally:
        flight.post(f"DROP TABLE IF EXISTS {quoted}")
    assert value(connection, "SELECT count(*) FROM orders") == 3


def test_every_type(connection, scratch):
    source = """SELECT true AS b, CAST(1 AS INT) AS i, 1.5 AS d, CAST(1.50 AS DECIMAL(10, 2)) AS m, 'text' AS s, X'00ff' AS x,
        DATE '2026-01-02' AS day, TIMESTAMP '2026-01-02 03:04:05' AS at, [1, 2] AS l, {a: 1} AS o, INTERVAL '1 month' AS v, CAST(NULL AS VARCHAR) AS n"""
    with connection.cursor() as cursor:
        cursor.execute(source)
        data = cursor.fetch_arrow_table()
    ingest(connection, scratch, data)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {scratch}")
        assert cursor.fetch_arrow_table().equals(data)


def test_other_ways_to_write_the_same_types(connection, scratch):
    rows(connection, f"CREATE TABLE {scratch} (a BIGINT, b VARCHAR)")
    for data in [
        pyarrow.table({"a": pyarrow.array([1], pyarrow.int32()), "b": pyarrow.array(["x"]).dictionary_encode()}),
        pyarrow.table({"a": pyarrow.array([2], pyarrow.int64()), "b": pyarrow.array(["y"], pyarrow.string_view())}),
        pyarrow.table({"a": pyarrow.array([3], pyarrow.uint8()), "b": pyarrow.array(["z"], pyarrow.large_string())}),
        pyarrow.table({"a": pyarrow.array([4]), "b": pyarrow.array([None], pyarrow.null())}),
    ]:
        assert ingest(connection, scratch, data, mode="append") == 1
    assert rows(connection, f"SELECT a, b FROM {scratch} ORDER BY a") == [(1, "x"), (2, "y"), (3, "z"), (4, None)]


def test_nothing_to_ingest(connection, scratch):
    # The driver sends nothing at all for a table without batches; this is one batch without rows.
    nothing = pyarrow.RecordBatchReader.from_batches(DATA.schema, [DATA.to_batches()[0].slice(0, 0)])
    assert ingest(connection, scratch, nothing) == 0
    assert rows(connection, f"SELECT a, b FROM {scratch}") == []


def test_many_batches(connection, scratch):
    reader = pyarrow.RecordBatchReader.from_batches(DATA.schema, (DATA.to_batches()[0] for _ in range(200)))
    assert ingest(connection, scratch, reader) == 400
    assert value(connection, f"SELECT count(*) FROM {scratch}") == 400


def test_more_than_a_message_of_grpc_usually_holds(flight, scratch):
    # The limit of the driver itself is 16 MiB.
    data = pyarrow.table({"a": pyarrow.array(range(1_000_000)), "b": pyarrow.array(["x" * 20] * 1_000_000)})
    with adbc(flight, **{"adbc.flight.sql.client_option.with_max_msg_size": str(64 << 20)}) as connection:
        assert ingest(connection, scratch, data.combine_chunks()) == 1_000_000
        assert rows(connection, f"SELECT count(*), sum(a) FROM {scratch}") == [(1_000_000, 499999500000)]


def test_what_does_not_fit(connection, scratch):
    rows(connection, f"CREATE TABLE {scratch} (a BIGINT NOT NULL, b VARCHAR)")
    for data in [
        pyarrow.table({"a": ["no number"], "b": ["x"]}),
        pyarrow.table({"no_such_column": [1], "b": ["x"]}),
        pyarrow.table({"a": [1], "b": ["x"], "c": [1]}),
        pyarrow.table({"a": pyarrow.array([None], pyarrow.int64()), "b": ["x"]}),
    ]:
        with pytest.raises(dbapi.ProgrammingError):
            ingest(connection, scratch, data, mode="append")
    assert value(connection, f"SELECT count(*) FROM {scratch}") == 0


def test_a_client_that_breaks_off_leaves_nothing(client, scratch):
    # The call itself: ADBC ends the stream as if nothing were, when its reader fails.
    def broken():
        yield from flight_data(DATA.to_batches(), descriptor(ingest_command(scratch)))
        raise RuntimeError("no more")

    with pytest.raises(grpc.RpcError):
        client.many("DoPut", broken(), "stream_stream")
    running = f"SELECT 1 FROM system.queries WHERE sql LIKE 'INGEST INTO%{scratch}%' AND state IN ('queued', 'running')"
    wait_until(lambda: client.query(running).num_rows == 0, what="the end of the ingest")
    with refused(grpc.StatusCode.NOT_FOUND, scratch):
        client.query(f"SELECT * FROM {scratch}")


def test_columns_are_found_by_name(connection, scratch):
    rows(connection, f"CREATE TABLE {scratch} (a BIGINT, b VARCHAR, c DOUBLE)")
    ingest(connection, scratch, pyarrow.table({"b": ["x"], "a": [1]}), mode="append")
    assert rows(connection, f"SELECT a, b, c FROM {scratch}") == [(1, "x", None)]


def test_names_of_columns_are_kept_to_the_letter(connection, scratch):
    names = ["Upper", "with space", 'quo"te', "ä"]
    ingest(connection, scratch, pyarrow.table({name: [1] for name in names}))
    assert connection.adbc_get_table_schema(scratch).names == names


def test_into_a_view(connection, scratch):
    rows(connection, f"CREATE VIEW {scratch} AS SELECT 1 AS a, 'x' AS b")
    try:
        for mode in ["append", "create"]:
            with pytest.raises(dbapi.Error):
                ingest(connection, scratch, mode=mode)
    finally:
        rows(connection, f"DROP VIEW {scratch}")


def test_a_replacement_that_fails_keeps_the_old_rows(client, scratch):
    client.execute(f"CREATE TABLE {scratch} AS SELECT 0 AS a")
    messages = flight_data(DATA.to_batches(), descriptor(ingest_command(scratch, exists=EXISTS_REPLACE)))

    def broken():
        yield from messages
        yield message({2: b"garbage!" * 4})

    with refused(grpc.StatusCode.INVALID_ARGUMENT):
        client.many("DoPut", broken(), "stream_stream")
    assert client.query(f"SELECT * FROM {scratch}").to_pylist() == [{"a": 0}]


def test_who_may_only_read_may_not(guarded):
    with adbc(guarded, **{"adbc.flight.sql.authorization_header": f"Bearer {TOKEN}"}) as connection:
        with pytest.raises(dbapi.ProgrammingError, match="PermissionDenied"):
            ingest(connection, "forbidden")


def test_a_session_that_only_reads_may_not(connection, scratch):
    rows(connection, "SET read_only = true")
    with pytest.raises(dbapi.ProgrammingError):
        ingest(connection, scratch)


def ingest_command(table, not_exist=NOT_EXIST_CREATE, exists=EXISTS_FAIL, **more) -> bytes:
    numbers = {"schema": 3, "catalog": 4, "temporary": 5, "transaction": 6}
    fields = {1: message({1: not_exist, 2: exists}), 2: table} | {numbers[name]: value for name, value in more.items()}
    return command("CommandStatementIngest", fields)


def test_commands_that_are_none(client, scratch):
    batches = DATA.to_batches()
    for cmd in [ingest_command(""), command("CommandStatementIngest"), ingest_command(scratch, not_exist=9)]:
        with refused(grpc.StatusCode.INVALID_ARGUMENT):
            client.put(cmd, batches)
    with refused(grpc.StatusCode.UNIMPLEMENTED, "transaction"):
        client.put(ingest_command(scratch, transaction=b"tx"), batches)
    with refused(grpc.StatusCode.INVALID_ARGUMENT):
        client.put(ingest_command(scratch))
    with refused(grpc.StatusCode.NOT_FOUND):
        client.put(ingest_command(scratch, not_exist=NOT_EXIST_FAIL, exists=EXISTS_APPEND), batches)
    assert client.update(ingest_command(scratch), batches) == 2
    with refused(grpc.StatusCode.ALREADY_EXISTS, scratch):
        client.put(ingest_command(scratch), batches)
    assert client.update(ingest_command(scratch, exists=EXISTS_REPLACE), batches) == 2
    assert client.value(f"SELECT count(*) FROM {scratch}") == 2


def test_temporary_tables_are_refused(connection, client, scratch):
    with refused(grpc.StatusCode.UNIMPLEMENTED, "temporary"):
        client.put(ingest_command(scratch, temporary=True), DATA.to_batches())
    with pytest.raises(dbapi.NotSupportedError, match="temporary"):
        ingest(connection, scratch, temporary=True)
    with refused(grpc.StatusCode.NOT_FOUND, scratch):
        client.query(f"SELECT * FROM {scratch}")


def test_a_message_larger_than_the_server_takes(serve):
    with serve(*settings(flight_sql__max_received_message_bytes="1MiB")) as server, Client(server) as client:
        large = pyarrow.record_batch({"a": ["x" * 1000] * 2000})
        with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "flight_sql.max_received_message_bytes"):
            client.put(ingest_command("t"), [large])
        with refused(grpc.StatusCode.NOT_FOUND, "'tidemill.public.t'"):
            client.query("SELECT * FROM t")
        # In pieces it is no trouble.
        assert client.update(ingest_command("t"), [large.slice(at, 500) for at in range(0, 2000, 500)]) == 2000


def test_ingested_tables_are_listed(flight, connection, scratch):
    ingest(connection, scratch)
    with Client(flight) as client:
        listed = client.table(command("CommandGetTables", {2: "public", 3: scratch, 5: True}))
        assert listed.column("table_type").to_pylist() == ["TABLE"]
        assert schema_of(listed.column("table_schema")[0].as_py()).types == [pyarrow.int64(), pyarrow.string()]


def test_history_knows_it(flight, connection, scratch):
    ingest(connection, scratch)
    found = flight.rows(f"SELECT state, door FROM system.queries WHERE sql LIKE '%{scratch}%' AND sql NOT LIKE '%system.queries%'")
    assert ("finished", "flight_sql") in found
