"""What drivers that cannot run here send, call by call: JDBC, ODBC, Grafana; and the actions that few drivers use."""

import threading
import time

import grpc
import pyarrow
import pytest

from flight_sql import CANCELLED, NOT_CANCELLABLE, Client, Message, basic, command, history, message, refused, schema_of, unpack
from server import wait_until
from test_flight_adbc import ended
from test_limits import ENDLESS, settings

# The children of the union of GetSqlInfo: drivers cast a value to what they expect without looking.
TEXT, TRUTH, BIG, INT, TEXTS, MAP = range(6)
ANY = object()
SQL_INFO = {
    0: (TEXT, "Tidemill"),
    1: (TEXT, ANY),
    2: (TEXT, ANY),
    3: (TRUTH, False),
    4: (TRUTH, True),
    5: (TRUTH, True),
    6: (TEXT, ANY),
    7: (TEXT, ANY),
    8: (INT, 0),
    9: (TRUTH, True),
    10: (TRUTH, True),
    11: (TRUTH, False),
    100: (INT, 0),
    101: (INT, 0),
    500: (TRUTH, True),
    501: (TRUTH, True),
    502: (TRUTH, True),
    503: (INT, 3),
    504: (TEXT, '"'),
    505: (INT, 1),
    506: (TRUTH, True),
    507: (INT, 0),
    508: (TEXTS, ANY),
    509: (TEXTS, ANY),
    510: (TEXTS, ANY),
    511: (TEXTS, ANY),
    512: (TEXTS, ANY),
    513: (TEXT, "\\"),
    514: (TEXT, ""),
    515: (TRUTH, True),
    516: (TRUTH, True),
    517: (MAP, []),
    518: (TRUTH, True),
    519: (TRUTH, False),
    520: (TRUTH, True),
    521: (TRUTH, True),
    522: (INT, 3),
    523: (TRUTH, True),
    524: (TRUTH, True),
    525: (INT, 2),
    526: (INT, 0b111),
    527: (TRUTH, False),
    528: (INT, 2),
    529: (TEXT, "schema"),
    530: (TEXT, "procedure"),
    531: (TEXT, "catalog"),
    532: (TRUTH, True),
    533: (INT, 7),
    534: (INT, 7),
    535: (INT, 0),
    536: (TRUTH, False),
    537: (TRUTH, False),
    538: (INT, 15),
    539: (TRUTH, True),
    540: (INT, 3),
    # No limit that is known.
    **{code: (BIG, 0) for code in range(541, 562) if code != 556},
    556: (TRUTH, True),
    # Drivers read it as 64 bits, though the protocol says 32.
    562: (BIG, 0),
    563: (TRUTH, False),
    564: (INT, 0),
    565: (TRUTH, False),
    566: (TRUTH, True),
    567: (INT, 1),
    568: (INT, 0),
    569: (INT, 0),
    570: (INT, 0),
    571: (INT, 0),
    572: (TRUTH, True),
    573: (TRUTH, False),
    574: (TRUTH, False),
    575: (TRUTH, False),
    576: (TRUTH, False),
}
ACTIONS = [
    "CreatePreparedStatement",
    "ClosePreparedStatement",
    "CancelFlightInfo",
    "CancelQuery",
    "RenewFlightEndpoint",
    "SetSessionOptions",
    "GetSessionOptions",
    "CloseSession",
]


def sql_info(client, codes=None) -> dict[int, tuple]:
    """The child and the value of each code."""
    table = client.table(command("CommandGetSqlInfo", {1: codes}))
    (names,), (values,) = [table.column(index).chunks for index in range(2)]
    return {name.as_py(): (code.as_py(), value.as_py()) for name, code, value in zip(names, values.type_codes, values, strict=True)}


def prepared_query(handle: bytes) -> bytes:
    return command("CommandPreparedStatementQuery", {1: handle})


def prepared_update(handle: bytes) -> bytes:
    return command("CommandPreparedStatementUpdate", {1: handle})


def test_each_information_in_the_child_of_the_union_that_drivers_expect(client):
    found = sql_info(client)
    for code, (child, expected) in SQL_INFO.items():
        assert code in found, f"code {code} is missing"
        assert found[code][0] == child, f"code {code}: {found[code]}"
        assert expected is ANY or found[code][1] == expected, f"code {code}: {found[code]}"
    assert set(found) == set(SQL_INFO)
    assert {"abs", "round"} <= set(found[509][1]) and {"upper", "lower"} <= set(found[510][1])
    assert "SELECT" in [word.upper() for word in found[508][1]]


def test_information_by_code(client):
    # As ADBC asks when it connects, packed and not.
    assert sql_info(client, [8]) == {8: (INT, 0)}
    assert sql_info(client, b"\x08\x00") == {8: (INT, 0), 0: (TEXT, "Tidemill")}
    assert list(sql_info(client, [504, 0])) in ([504, 0], [0, 504])
    # A code that is not known is left out.
    assert set(sql_info(client, [99999, 8, 10001])) == {8}
    schema = client.info(command("CommandGetSqlInfo")).schema
    assert (schema.field(0).name, schema.field(0).type, schema.field(0).nullable) == ("info_name", pyarrow.uint32(), False)
    assert schema.field(1).name == "value" and [field.name for field in schema.field(1).type] == [
        "string_value",
        "bool_value",
        "bigint_value",
        "int32_bitmask",
        "string_list",
        "int32_to_int32_list_map",
    ]


def test_the_calls_of_jdbc(flight, scratch):
    with Client(flight, basic("anybody", "")) as client:
        client.handshake()
        assert client.headers["authorization"].startswith("Bearer ") and "cookie" in client.headers
        assert client.set_options(catalog="tidemill") == {}
        assert sql_info(client)[562] == (BIG, 0)
        # Everything is prepared; the driver tells updates by field 4, older ones by the empty schema.
        created = client.prepare(f"CREATE TABLE {scratch} (a BIGINT, b VARCHAR)")
        assert (created.one(4), created.one(2, b"")) == (1, b"")
        assert client.update(prepared_update(created.one(1))) == 0
        client.close_prepared(created.one(1))
        insert = client.prepare(f"INSERT INTO {scratch} VALUES (?, ?)")
        assert (insert.one(4), insert.one(2, b"")) == (1, b"")
        assert schema_of(insert.one(3)).types == [pyarrow.int64(), pyarrow.string()]
        batch = pyarrow.record_batch({"$1": [1, 2, 3], "$2": ["x", None, "z"]})
        assert client.update(prepared_update(insert.one(1)), [batch]) == 3
        client.close_prepared(insert.one(1))
        select = client.prepare(f"SELECT a, b FROM {scratch} WHERE a >= ? ORDER BY a")
        assert select.one(4, 0) == 0 and schema_of(select.one(2)).names == ["a", "b"]
        for bound, count in [(2, 2), (3, 1), (4, 0)]:
            client.put(prepared_query(select.one(1)), [pyarrow.record_batch({"$1": [bound]})])
            assert client.table(prepared_query(select.one(1))).num_rows == count
        client.close_prepared(select.one(1))
        for sql in [f"UPDATE {scratch} SET b = 'y'", f"DELETE FROM {scratch}"]:
            statement = client.prepare(sql)
            assert client.update(prepared_update(statement.one(1))) == 3
            client.close_prepared(statement.one(1))
        assert client.table(command("CommandGetPrimaryKeys", {3: scratch})).num_rows == 0
        client.action("CloseSession")


UPDATES = {
    "SELECT 1 AS a": False,
    "SELECT id FROM orders WHERE id = $1": False,
    "VALUES (1)": False,
    "SHOW time_zone": False,
    "SHOW TABLES": False,
    "DESCRIBE orders": False,
    "EXPLAIN SELECT 1": False,
    "WITH t AS (SELECT 1 AS a) SELECT * FROM t": False,
    "INSERT INTO orders SELECT * FROM orders": True,
    "DELETE FROM orders WHERE id = $1": True,
    "UPDATE orders SET name = $1": True,
    "CREATE TABLE never_made (a INT)": True,
    "CREATE VIEW never_made AS SELECT 1 AS a": True,
    "DROP TABLE IF EXISTS never_made": True,
    "SET time_zone = 'UTC'": True,
    "COPY orders TO '/nowhere/x.csv'": True,
}


@pytest.mark.parametrize("sql", UPDATES)
def test_an_update_is_told_from_a_query(client, sql):
    # In a session: what opens one is run as a query.
    client.handshake()
    prepared = client.prepare(sql)
    assert bool(prepared.one(4)) == UPDATES[sql]
    assert (prepared.one(2, b"") == b"") == UPDATES[sql]
    assert prepared.one(3)
    client.close_prepared(prepared.one(1))
    assert client.value("SELECT count(*) FROM orders") == 3


def test_as_many_runs_as_rows_of_parameters(client, scratch):
    handle = client.prepare("SELECT $1 * 2 AS d").one(1)
    answer = client.put(prepared_query(handle), [pyarrow.record_batch({"a": [1, 2]}), pyarrow.record_batch({"a": [3]})])
    assert Message(answer).one(1, handle) == handle
    assert client.table(prepared_query(handle)).column("d").to_pylist() == [2, 4, 6]
    client.put(prepared_query(handle), [pyarrow.record_batch({"a": [21]})])
    assert client.table(prepared_query(handle)).column("d").to_pylist() == [42]
    client.execute(f"CREATE TABLE {scratch} (a BIGINT)")
    insert = client.prepare(f"INSERT INTO {scratch} VALUES ($1)").one(1)
    client.put(prepared_query(insert), [pyarrow.record_batch({"a": [1, 2, 3]})])
    # An insert that is run as a query, twice: each announcement is a run of its own.
    for _ in range(2):
        client.table(prepared_query(insert))
    assert client.query(f"SELECT count(*) AS n, sum(a) AS s FROM {scratch}").to_pylist() == [{"n": 6, "s": 12}]


def test_a_prepared_statement_sees_what_became_of_its_table(client, scratch):
    client.execute(f"CREATE TABLE {scratch} AS SELECT 1 AS a")
    handle = client.prepare(f"SELECT * FROM {scratch}").one(1)
    assert client.table(prepared_query(handle)).column_names == ["a"]
    client.execute(f"DROP TABLE {scratch}")
    with refused(grpc.StatusCode.NOT_FOUND, scratch):
        client.table(prepared_query(handle))
    client.execute(f"CREATE TABLE {scratch} AS SELECT 'x' AS b, 2 AS c")
    assert client.table(prepared_query(handle)).column_names == ["b", "c"]


def test_a_table_that_changes_between_announcement_and_fetch(client, scratch):
    client.execute(f"CREATE TABLE {scratch} AS SELECT 1 AS a")
    (ticket,) = client.info(command("CommandStatementQuery", {1: f"SELECT * FROM {scratch}"})).tickets
    client.execute(f"DROP TABLE {scratch}")
    client.execute(f"CREATE TABLE {scratch} AS SELECT 'x' AS b")
    # Rows of another schema than was announced would break the client.
    with refused(grpc.StatusCode.UNAVAILABLE, "changed"):
        client.get(ticket)


def test_what_updates_count(client, scratch):
    assert client.execute(f"CREATE TABLE {scratch} AS SELECT 1 AS a UNION ALL SELECT 2") in (0, 2)
    assert client.execute(f"INSERT INTO {scratch} VALUES (3), (4)") == 2
    assert client.execute(f"DELETE FROM {scratch} WHERE a > 100") == 0
    assert client.execute("SET time_zone = 'UTC'") == 0
    assert client.execute("SELECT 1") == -1
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "$1"):
        client.execute(f"INSERT INTO {scratch} VALUES ($1)")
    insert = client.prepare(f"INSERT INTO {scratch} VALUES ($1)").one(1)
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "$1"):
        client.update(prepared_update(insert))
    # No rows of parameters: nothing to do.
    assert client.update(prepared_update(insert), [pyarrow.record_batch({"a": pyarrow.array([], pyarrow.int64())})]) == 0
    assert client.value(f"SELECT count(*) FROM {scratch}") == 4


def test_a_batch_of_updates_that_fails_in_the_middle_says_so(client, scratch):
    client.execute(f"CREATE TABLE {scratch} (a BIGINT)")
    insert = client.prepare(f"INSERT INTO {scratch} SELECT 100 / CAST($1 AS BIGINT)").one(1)
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "division by zero"):
        client.update(prepared_update(insert), [pyarrow.record_batch({"a": [1, 0, 2]})])
    assert client.value(f"SELECT count(*) FROM {scratch}") in (0, 1)


def test_the_calls_of_odbc(flight):
    with Client(flight, basic("anybody", "anything")) as client:
        client.handshake()
        info = sql_info(client)
        assert info[531][1] and info[562] == (BIG, 0)
        assert all(info[code][0] == BIG for code in range(544, 549))
        assert client.table(command("CommandGetXdbcTypeInfo")).num_columns == 19
        # Only the first location is used, and one that is no address is not understood.
        info = client.info(command("CommandStatementQuery", {1: "SELECT id, name FROM orders"}))
        assert len(info.endpoints) == 1 and Message(info.endpoints[0]).all(2) == []
        client.headers["some-key-of-the-data-source"] = "x"
        assert client.get(info.tickets[0]).num_rows == 3
        statement = client.prepare("SELECT id FROM orders")
        assert client.table(prepared_query(statement.one(1))).num_rows == 3


def test_the_calls_of_grafana(client):
    assert client.query("select 1").to_pylist()[0].popitem()[1] == 1
    listed = client.table(command("CommandGetTables", {4: ["BASE TABLE", "table"]}))
    assert "orders" in listed.column("table_name").to_pylist()
    assert sql_info(client)[508]
    table = client.query("SELECT at AS time, amount FROM orders WHERE at IS NOT NULL ORDER BY time")
    assert pyarrow.types.is_timestamp(table.schema.field("time").type) and table.num_rows == 2
    for sql in ["SELECT * FROM orders", "SELECT id FROM orders UNION ALL SELECT value FROM generate_series(1, 100000) g(value)"]:
        assert len(client.info(command("CommandStatementQuery", {1: sql})).endpoints) == 1


def test_the_schema_of_commands(client, scratch):
    assert client.schema(command("CommandStatementQuery", {1: "SELECT id, name FROM orders"})).names == ["id", "name"]
    handle = client.prepare("SELECT $1 AS v").one(1)
    client.put(prepared_query(handle), [pyarrow.record_batch({"a": ["text"]})])
    assert client.schema(prepared_query(handle)).types == [pyarrow.string()]
    client.schema(command("CommandStatementQuery", {1: f"CREATE TABLE {scratch} AS SELECT 1 AS a"}))
    with refused(grpc.StatusCode.NOT_FOUND):
        client.query(f"SELECT * FROM {scratch}")


def test_the_list_of_actions(client):
    listed = [Message(answer).text(1) for answer in client.many("ListActions", b"")]
    assert set(ACTIONS) <= set(listed) and len(set(listed)) == len(listed)
    assert all(Message(answer).text(2) for answer in client.many("ListActions", b""))


def cancel(client, info, name: str) -> int:
    if name == "CancelFlightInfo":
        return Message(client.action(name, message({1: info}))).one(1)
    return unpack(client.action(name, command("ActionCancelQueryRequest", {1: info})), "ActionCancelQueryResult").one(1)


@pytest.mark.parametrize("action", ["CancelFlightInfo", "CancelQuery"])
def test_cancelling_from_another_connection(flight, client, action):
    marker, failures = f"emulated {action}", []
    info = client.one("GetFlightInfo", message({1: 2, 2: command("CommandStatementQuery", {1: f"{ENDLESS} AND '{marker}' <> ''"})}))
    (endpoint,) = Message(info).all(3)

    def fetch():
        try:
            client.get(Message(Message(endpoint).one(1)).one(1))
        except grpc.RpcError as error:
            failures.append(error)

    thread = threading.Thread(target=fetch)
    thread.start()
    wait_until(lambda: [state for state, _ in history(flight, f"sql LIKE '%{marker}%'")] == ["running"], 20, "the query running")
    with Client(flight) as other:
        assert cancel(other, info, action) == CANCELLED
    thread.join(20)
    assert failures[0].code() == grpc.StatusCode.CANCELLED
    ended(flight, marker)
    assert cancel(client, info, action) == NOT_CANCELLABLE


def test_cancelling_before_and_after(client, scratch):
    client.execute(f"CREATE TABLE {scratch} (a BIGINT)")
    request = message({1: 2, 2: command("CommandStatementQuery", {1: f"INSERT INTO {scratch} VALUES (1)"})})
    info = client.one("GetFlightInfo", request)
    assert cancel(client, info, "CancelFlightInfo") == CANCELLED
    (ticket,) = [Message(Message(endpoint).one(1)).one(1) for endpoint in Message(info).all(3)]
    with refused(grpc.StatusCode.CANCELLED):
        client.get(ticket)
    assert client.value(f"SELECT count(*) FROM {scratch}") == 0
    info = client.one("GetFlightInfo", request)
    (ticket,) = [Message(Message(endpoint).one(1)).one(1) for endpoint in Message(info).all(3)]
    assert client.get(ticket).num_rows == 1
    assert cancel(client, info, "CancelFlightInfo") == NOT_CANCELLABLE
    assert client.value(f"SELECT count(*) FROM {scratch}") == 1


def test_what_is_told_of_a_result_before_it_runs(client):
    info = client.info(command("CommandStatementQuery", {1: "SELECT id FROM orders ORDER BY id"}))
    # How many rows and bytes there will be is not known, and rows are in the order of the endpoints.
    assert (info.signed(4), info.signed(5), info.one(6)) == (-1, -1, 1)
    (endpoint,) = info.endpoints
    assert expiry(endpoint) > time.time()


def test_a_renewed_endpoint_is_the_same_share(client):
    client.query("SET result_partitions = 3")
    endpoints = client.info(command("CommandStatementQuery", {1: "SELECT value FROM generate_series(1, 9) g(value) ORDER BY value"})).endpoints
    assert len(endpoints) == 3
    for number, endpoint in enumerate(endpoints):
        renewed = client.action("RenewFlightEndpoint", message({1: endpoint}))
        rows = client.get(Message(Message(renewed).one(1)).one(1)).column("value").to_pylist()
        assert rows == [3 * number + 1, 3 * number + 2, 3 * number + 3]


def expiry(endpoint: bytes) -> float:
    stamp = Message(Message(endpoint).one(3))
    return stamp.one(1) + stamp.one(2, 0) / 1e9


def test_renewing_an_endpoint(serve):
    with serve(*settings(flight_sql__ticket_ttl="2s")) as server, Client(server) as client:
        (endpoint,) = client.info(command("CommandStatementQuery", {1: "SELECT 42 AS a"})).endpoints
        first, renewed = endpoint, endpoint

        def ended():
            nonlocal renewed
            renewed = client.action("RenewFlightEndpoint", message({1: renewed}))
            try:
                client.get(Message(Message(first).one(1)).one(1))
            except grpc.RpcError as error:
                return error.code() == grpc.StatusCode.NOT_FOUND
            return False

        wait_until(ended, 20, "the end of the first ticket")
        assert expiry(renewed) > expiry(first)
        assert client.get(Message(Message(renewed).one(1)).one(1)).column("a").to_pylist() == [42]
        with refused(grpc.StatusCode.NOT_FOUND, "expired"):
            client.action("RenewFlightEndpoint", message({1: first}))
