"""Clients of Flight SQL that send what they should not, go away, or want too much: each is told, and the server stays well."""

import concurrent.futures
import random

import grpc
import pyarrow
import pyarrow.flight
import pytest
import requests

from flight_sql import (
    NOT_CANCELLABLE,
    SQL,
    Client,
    Message,
    basic,
    command,
    descriptor,
    details,
    flight_data,
    history,
    message,
    refused,
    table_of,
    uri,
)
from server import serving, wait_until
from test_flight_adbc import WIDE
from test_lifecycle import TOKEN
from test_limits import settings

Code = grpc.StatusCode


def query(sql: str) -> bytes:
    return command("CommandStatementQuery", {1: sql})


def ticket_of(client, sql: str) -> bytes:
    (ticket,) = client.info(query(sql)).tickets
    return ticket


def sealed(ticket: bytes) -> bytes:
    """What the server sealed in a ticket."""
    return Message(Message(ticket).one(2)).one(1)


def as_ticket(sealed_bytes: bytes) -> bytes:
    return command("TicketStatementQuery", {1: sealed_bytes})


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    """One server that takes and sends small things only."""
    flags = settings(
        flight_sql__max_bound_bytes="256KiB",
        flight_sql__target_message_bytes="64KiB",
        flight_sql__max_sent_message_bytes="1MiB",
        flight_sql__max_received_message_bytes="1MiB",
        limits__max_sql_bytes="2KiB",
    )
    with serving(tmp_path_factory.mktemp("narrow"), *flags) as server:
        yield server


@pytest.fixture
def small(narrow):
    """A client of that server."""
    with Client(narrow) as client:
        yield client


@pytest.fixture
def scarce(serve):
    """A client of a server of its own that keeps few statements."""
    flags = settings(flight_sql__max_statements_per_principal=3, flight_sql__max_prepared_per_principal=3)
    with serve(*flags) as server, Client(server) as client:
        yield client


def test_a_forged_ticket(client):
    genuine = sealed(ticket_of(client, "SELECT 1"))
    for at in [0, 15, 16, 20, 24, 31, 32, len(genuine) - 1]:
        forged = bytearray(genuine)
        forged[at] ^= 1
        with refused(Code.PERMISSION_DENIED, "ticket"):
            client.get(as_ticket(bytes(forged)))


@pytest.mark.parametrize("length", [0, 1, 16, 31, 32, 33, 63])
def test_a_ticket_that_was_cut_or_made_longer(client, length):
    genuine = sealed(ticket_of(client, "SELECT 1"))
    for bad in [genuine[:length], genuine + bytes(length + 1)]:
        with refused(Code.PERMISSION_DENIED, "ticket"):
            client.get(as_ticket(bad))


def test_tickets_of_random_bytes(flight, client):
    generator = random.Random(7)
    for length in [0, 1, 2, 8, 50, 5000]:
        with pytest.raises(grpc.RpcError) as caught:
            client.get(generator.randbytes(length))
        assert caught.value.code() in (Code.INVALID_ARGUMENT, Code.UNIMPLEMENTED), caught.value.details()
    with pyarrow.flight.connect(uri(flight)) as other, pytest.raises((pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError)):
        other.do_get(pyarrow.flight.Ticket(b"not a ticket")).read_all()


def test_a_ticket_of_another_user(guarded):
    with Client(guarded, basic("ann", "secret")) as ann, Client(guarded, f"Bearer {TOKEN}") as loader:
        ann.handshake()
        info = ann.info(query("SELECT 'for ann' AS s"))
        (ticket,) = info.tickets
        with refused(Code.PERMISSION_DENIED, "ticket"):
            loader.get(ticket)
        with refused(Code.PERMISSION_DENIED, "ticket"):
            loader.action("CancelFlightInfo", message({1: message({3: info.endpoints[0]})}))
        with refused(Code.PERMISSION_DENIED, "ticket"):
            loader.action("RenewFlightEndpoint", message({1: info.endpoints[0]}))
        assert ann.get(ticket).num_rows == 1
        prepared = ann.prepare("SELECT 1").one(1)
        for call in [lambda: loader.table(command("CommandPreparedStatementQuery", {1: prepared})), lambda: loader.close_prepared(prepared)]:
            with refused(Code.NOT_FOUND, "prepared statement"):
                call()
        assert ann.table(command("CommandPreparedStatementQuery", {1: prepared})).num_rows == 1


def test_a_reader_changes_nothing(guarded):
    with Client(guarded, f"Bearer {TOKEN}") as loader:
        sql = "CREATE TABLE forbidden AS SELECT 1 AS a"
        for call in [lambda: loader.execute(sql), lambda: loader.query(sql)]:
            with refused(Code.PERMISSION_DENIED):
                call()


def test_a_ticket_ends(serve):
    with serve(*settings(flight_sql__ticket_ttl="1s")) as server, Client(server) as client:
        ticket = ticket_of(client, "SELECT 1")

        def expired():
            try:
                return client.get(ticket).num_rows != 1
            except grpc.RpcError as error:
                assert error.code() == Code.NOT_FOUND and "GetFlightInfo" in error.details()
                return True

        wait_until(expired, 20, "the end of the ticket")


def test_a_ticket_of_a_server_that_ended(serve, flight):
    with serve() as server, Client(server) as client:
        ticket = ticket_of(client, "SELECT 1")
    with Client(flight) as client, refused(Code.PERMISSION_DENIED):
        client.get(ticket)


BAD_COMMANDS = {
    "nothing": (b"", Code.UNIMPLEMENTED),
    "no protobuf": (b"\xff\xff\xff", Code.INVALID_ARGUMENT),
    "no Flight SQL": (message({1: "type.googleapis.com/google.protobuf.Empty"}), Code.UNIMPLEMENTED),
    "an unknown command": (command("CommandNoSuchThing"), Code.UNIMPLEMENTED),
    "a command that is none": (command("DoPutUpdateResult"), Code.UNIMPLEMENTED),
    "a broken command": (message({1: SQL + "CommandStatementQuery", 2: b"\xff\xff"}), Code.INVALID_ARGUMENT),
    "a text that is not UTF-8": (command("CommandStatementQuery", {1: b"SELECT '\xff'"}), Code.INVALID_ARGUMENT),
    "no statement": (command("CommandStatementQuery"), Code.INVALID_ARGUMENT),
    "a transaction": (command("CommandStatementQuery", {1: "SELECT 1", 2: b"tx"}), Code.UNIMPLEMENTED),
    "an unknown handle": (command("CommandPreparedStatementQuery", {1: b"x" * 16}), Code.NOT_FOUND),
    "no handle": (command("CommandPreparedStatementQuery"), Code.NOT_FOUND),
    "a forged ticket": (as_ticket(b"x" * 64), Code.PERMISSION_DENIED),
    "an update": (command("CommandStatementUpdate", {1: "SELECT 1"}), Code.UNIMPLEMENTED),
}


@pytest.mark.parametrize("name", BAD_COMMANDS)
def test_commands_that_are_none(client, name):
    cmd, code = BAD_COMMANDS[name]
    for method in ["GetFlightInfo", "PollFlightInfo", "GetSchema"]:
        with pytest.raises(grpc.RpcError) as caught:
            client.one(method, descriptor(cmd))
        expected = {code, Code.UNIMPLEMENTED} if method == "GetSchema" else {code}
        assert caught.value.code() in expected, (method, caught.value.details())
        assert details(caught.value)[1]["sqlstate"]


def test_descriptors_that_are_none(flight, client):
    for bad in [message({1: 1, 3: ["demo", "orders"]}), b"", message({1: 9}), b"\xff"]:
        for method in ["GetFlightInfo", "PollFlightInfo", "GetSchema"]:
            with pytest.raises(grpc.RpcError) as caught:
                client.one(method, bad)
            # What the framework cannot decode it calls internal itself.
            internal = Code.INTERNAL if bad == b"\xff" else None
            assert caught.value.code() in (Code.UNIMPLEMENTED, Code.INVALID_ARGUMENT, internal), caught.value.details()
    with pyarrow.flight.connect(uri(flight)) as other, pytest.raises(pyarrow.ArrowNotImplementedError, match="path"):
        other.get_flight_info(pyarrow.flight.FlightDescriptor.for_path("orders"))


def test_what_is_not_part_of_flight_sql(flight, client):
    with refused(Code.UNIMPLEMENTED, "ListFlights"):
        client.many("ListFlights", b"")
    with refused(Code.UNIMPLEMENTED, "DoExchange"):
        client.many("DoExchange", iter([message({1: descriptor(query("SELECT 1"))})]), "stream_stream")
    with refused(Code.UNIMPLEMENTED):
        client.one("NoSuchMethod", b"")
    with pyarrow.flight.connect(uri(flight)) as other:
        with pytest.raises(pyarrow.ArrowNotImplementedError):
            list(other.list_flights())
        with pytest.raises(pyarrow.ArrowNotImplementedError):
            writer, reader = other.do_exchange(pyarrow.flight.FlightDescriptor.for_command(b"x"))
            writer.begin(pyarrow.schema([("a", pyarrow.int64())]))
            reader.read_all()


BAD_ACTIONS = {
    "an unknown action": ("NoSuchAction", b"", Code.UNIMPLEMENTED),
    "no name": ("", b"", Code.UNIMPLEMENTED),
    "no body": ("CreatePreparedStatement", b"", Code.INVALID_ARGUMENT),
    "no protobuf": ("CreatePreparedStatement", b"\xff\xff", Code.INVALID_ARGUMENT),
    "another message": ("CreatePreparedStatement", query("SELECT 1"), Code.INVALID_ARGUMENT),
    "no statement": ("CreatePreparedStatement", command("ActionCreatePreparedStatementRequest"), Code.INVALID_ARGUMENT),
    "a transaction": ("CreatePreparedStatement", command("ActionCreatePreparedStatementRequest", {1: "SELECT 1", 2: b"tx"}), Code.UNIMPLEMENTED),
    "close what is not": ("ClosePreparedStatement", command("ActionClosePreparedStatementRequest", {1: b"x" * 16}), Code.NOT_FOUND),
    "begin": ("BeginTransaction", command("ActionBeginTransactionRequest"), Code.UNIMPLEMENTED),
    "end": ("EndTransaction", command("ActionEndTransactionRequest", {1: b"tx", 2: 1}), Code.UNIMPLEMENTED),
    "savepoint": ("BeginSavepoint", command("ActionBeginSavepointRequest", {1: b"tx", 2: "s"}), Code.UNIMPLEMENTED),
    "cancel with no protobuf": ("CancelFlightInfo", b"\xff\xff", Code.INVALID_ARGUMENT),
    "cancel a forged ticket": ("CancelFlightInfo", message({1: message({3: message({1: message({1: as_ticket(b"x" * 64)})})})}), Code.PERMISSION_DENIED),
    "renew nothing": ("RenewFlightEndpoint", b"", Code.INVALID_ARGUMENT),
    "renew a forged ticket": ("RenewFlightEndpoint", message({1: message({1: message({1: as_ticket(b"x" * 64)})})}), Code.PERMISSION_DENIED),
    "options with no protobuf": ("SetSessionOptions", b"\xff\xff", Code.INVALID_ARGUMENT),
}


@pytest.mark.parametrize("name", BAD_ACTIONS)
def test_actions_that_are_none(client, name):
    action, body, code = BAD_ACTIONS[name]
    with refused(code) as caught:
        client.action(action, body)
    assert details(caught.value)[1]["sqlstate"]


def test_cancelling_what_is_nothing(client):
    for body in [b"", message({1: b""}), message({1: message({3: message({1: message({1: command("CommandGetCatalogs")})})})})]:
        assert Message(client.action("CancelFlightInfo", body)).one(1) == NOT_CANCELLABLE


def test_puts_that_are_none(client):
    batch = pyarrow.record_batch({"a": [1, 2]})
    schema, rows = flight_data([batch], descriptor(command("CommandStatementUpdate", {1: "SELECT 1"})))
    prepared = descriptor(command("CommandPreparedStatementQuery", {1: client.prepare("SELECT $1 AS a").one(1)}))
    for messages, code in [
        ([], Code.INVALID_ARGUMENT),
        ([b""], Code.INVALID_ARGUMENT),
        ([rows], Code.INVALID_ARGUMENT),
        ([message({1: message({1: 1, 3: ["orders"]})})], Code.UNIMPLEMENTED),
        ([message({1: descriptor(command("CommandGetCatalogs"))})], Code.UNIMPLEMENTED),
        ([message({1: descriptor(command("CommandStatementUpdate"))})], Code.INVALID_ARGUMENT),
        ([message({1: descriptor(command("CommandPreparedStatementUpdate", {1: b"x" * 16}))})], Code.NOT_FOUND),
        # Parameters that are no Arrow: garbage, rows before their schema, a body that is cut.
        ([message({1: prepared, 2: b"garbage!" * 4})], Code.INVALID_ARGUMENT),
        ([message({1: prepared}), rows], Code.INVALID_ARGUMENT),
        ([message({1: prepared, 2: Message(schema).one(2)}), message({2: Message(rows).one(2), 1000: b"x"})], Code.INVALID_ARGUMENT),
    ]:
        with pytest.raises(grpc.RpcError) as caught:
            client.many("DoPut", iter(messages), "stream_stream")
        assert caught.value.code() == code, caught.value.details()


def test_a_client_that_stops_sending(flight, client):
    prepared = client.prepare("SELECT $1 AS a").one(1)
    schema, rows = flight_data([pyarrow.record_batch({"a": [1]})], descriptor(command("CommandPreparedStatementQuery", {1: prepared})))

    def messages():
        yield schema
        yield rows
        raise RuntimeError("no more")

    with pytest.raises(grpc.RpcError):
        client.many("DoPut", messages(), "stream_stream")
    assert client.value("SELECT 1") == 1


def test_the_path_over_plain_http(flight):
    address = flight.url("/arrow.flight.protocol.FlightService/GetFlightInfo")
    for response in [requests.get(address, timeout=30), requests.post(address, data="{}", timeout=30)]:
        assert 400 <= response.status_code < 500 or response.headers.get("grpc-status") not in (None, "0")
    assert flight.value("SELECT 1") == 1


def test_fifty_streams_at_once(flight, client):
    sql = "SELECT value, repeat('z', 100) AS pad FROM generate_series(1, 20000) g(value)"
    ticket = ticket_of(client, sql)

    def fetch(number):
        # Half on one connection with one ticket, half on connections of their own.
        if number % 2:
            return client.get(ticket).num_rows
        with Client(flight) as other:
            return other.query(sql).num_rows

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        assert set(pool.map(fetch, range(50))) == {20000}
    flight.at_rest(20)


def test_a_statement_that_changes_something_runs_once_however_often_its_ticket_is_redeemed(flight, client, scratch):
    client.execute(f"CREATE TABLE {scratch} (a BIGINT)")
    sql = f"INSERT INTO {scratch} VALUES (1), (2)"
    cmd = query(sql)
    with pyarrow.flight.connect(uri(flight)) as one, pyarrow.flight.connect(uri(flight)) as other:
        info = one.get_flight_info(pyarrow.flight.FlightDescriptor.for_command(cmd))
        ticket = info.endpoints[0].ticket
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda number: (one if number % 2 else other).do_get(ticket).read_all(), range(8)))
    assert all(answer.equals(answers[0]) for answer in answers)
    assert answers[0].column(0).to_pylist() == [2]
    assert client.value(f"SELECT count(*) FROM {scratch}") == 2
    assert len(history(flight, f"sql = '{sql}'")) == 1


def test_announcing_runs_nothing(client, scratch):
    client.execute(f"CREATE TABLE {scratch} (a BIGINT)")
    sql = f"INSERT INTO {scratch} VALUES (1)"
    client.schema(query(sql))
    client.info(query(sql))
    client.prepare(sql)
    assert client.value(f"SELECT count(*) FROM {scratch}") == 0


def test_a_failed_change_is_not_tried_again(client, scratch):
    ticket = ticket_of(client, f"CREATE TABLE {scratch} AS SELECT 1 / 0 AS a")
    for _ in range(2):
        with refused(Code.INVALID_ARGUMENT, "division by zero"):
            client.get(ticket)


def test_statements_that_wait_are_bounded(scarce):
    tickets = [ticket_of(scarce, f"SELECT {number} AS a") for number in range(3)]
    with refused(Code.UNAVAILABLE, "flight_sql.max_statements_per_principal") as caught:
        ticket_of(scarce, "SELECT 4")
    assert details(caught.value)[0]
    assert scarce.get(tickets[1]).num_rows == 1
    ticket_of(scarce, "SELECT 4")
    with refused(Code.NOT_FOUND, "GetFlightInfo"):
        scarce.get(tickets[1])
    assert scarce.get(tickets[0]).num_rows == 1


def gives_up(client, sql):
    call = client.call("DoGet", message({1: ticket_of(client, sql)}), "unary_stream")
    next(call)
    call.cancel()


def fails(client, sql):
    with pytest.raises(grpc.RpcError):
        client.query(sql)


def cancels(client, sql):
    info = client.info(query(sql))
    client.action("CancelFlightInfo", message({1: message({3: info.endpoints})}))


WAYS = {
    "read": (lambda client, sql: client.query(sql), "SELECT 1 AS a"),
    "read when empty": (lambda client, sql: client.query(sql), "SELECT 1 AS a WHERE 1 = 0"),
    "changed": (lambda client, sql: client.query(sql), "CREATE OR REPLACE VIEW v AS SELECT 1 AS a"),
    "failed": (fails, "SELECT 1 / 0 AS a"),
    "given up": (gives_up, WIDE),
    "cancelled": (cancels, "SELECT 1 AS a"),
}


@pytest.mark.parametrize("way", WAYS)
def test_statements_that_are_over_make_room(scarce, way):
    end, sql = WAYS[way]
    for _ in range(12):
        end(scarce, sql)
    assert scarce.value("SELECT 1") == 1


def test_prepared_statements_are_bounded(scarce):
    handles = [scarce.prepare("SELECT 1").one(1) for _ in range(3)]
    with refused(Code.UNAVAILABLE, "flight_sql.max_prepared_per_principal"):
        scarce.prepare("SELECT 1")
    scarce.close_prepared(handles[0])
    scarce.prepare("SELECT 1")


def test_prepared_statements_that_nobody_uses_are_closed(serve):
    flags = settings(flight_sql__max_prepared=1, flight_sql__prepared_idle_timeout="1s")
    with serve(*flags) as server, Client(server) as client:
        old = client.prepare("SELECT 1").one(1)

        def room():
            try:
                return client.prepare("SELECT 1")
            except grpc.RpcError as error:
                assert "flight_sql.max_prepared" in error.details()
                return None

        wait_until(room, 20, "room for another")
        with refused(Code.NOT_FOUND, "prepared statement"):
            client.table(command("CommandPreparedStatementQuery", {1: old}))


@pytest.mark.parametrize("method", ["info", "schema", "prepare", "execute"])
def test_a_statement_that_is_too_long(small, method):
    sql = "SELECT 1 --" + "x" * 3000
    with refused(Code.INVALID_ARGUMENT, "limits.max_sql_bytes"):
        getattr(small, method)(query(sql) if method in ("info", "schema") else sql)


def test_a_message_that_is_too_large(small):
    with refused(Code.RESOURCE_EXHAUSTED, "flight_sql.max_received_message_bytes allows, which is 1048576 bytes") as caught:
        small.info(query("SELECT 1 --" + "x" * 2_000_000))
    assert details(caught.value)[1]["sqlstate"].startswith("5")
    assert small.value("SELECT 1") == 1


def test_parameters_that_are_too_large(small):
    handle = small.prepare("SELECT count($1) AS n").one(1)
    batches = [pyarrow.record_batch({"a": ["x" * 1000] * 100})] * 4
    with refused(Code.RESOURCE_EXHAUSTED, "flight_sql.max_bound_bytes"):
        small.put(command("CommandPreparedStatementQuery", {1: handle}), batches)
    small.close_prepared(handle)


def test_parameters_larger_than_the_bodies_of_the_other_door(client):
    batch = pyarrow.record_batch({"a": ["x" * 10_000_000, "y" * 10_000_000]})
    handle = client.prepare("SELECT length($1) AS n").one(1)
    client.put(command("CommandPreparedStatementQuery", {1: handle}), [batch])
    assert client.table(command("CommandPreparedStatementQuery", {1: handle})).column("n").to_pylist() == [10_000_000] * 2
    client.close_prepared(handle)


def test_a_row_that_is_too_large(small):
    with refused(Code.RESOURCE_EXHAUSTED, "flight_sql.max_sent_message_bytes") as caught:
        small.query("SELECT repeat('x', 2000000) AS s")
    assert details(caught.value)[1]["hint"]
    assert small.query("SELECT repeat('x', 1000000) AS s").num_rows == 1


def test_large_rows_among_small_ones(small):
    # All large rows of the batch stand together.
    sql = "SELECT value, CASE WHEN value <= 20 THEN repeat('x', 100000) ELSE '' END AS s FROM generate_series(1, 8000) g(value) ORDER BY value"
    table = small.query(sql)
    assert [len(text) for text in table.column("s").to_pylist()[:21]] == [100000] * 20 + [0]


def test_messages_are_no_larger_than_they_should(small):
    ticket = ticket_of(small, "SELECT value, repeat('x', 500) AS s FROM generate_series(1, 10000) g(value)")
    messages = small.many("DoGet", message({1: ticket}))
    assert max(map(len, messages)) < 2 * 64 * 1024
    assert table_of(messages).num_rows == 10000


def test_a_client_that_takes_no_more_than_grpc_usually_does(flight):
    # 4 MiB, as Grafana does.
    with Client(flight) as client:
        client.channel.close()
        client.channel = grpc.insecure_channel(flight.address, [("grpc.enable_http_proxy", 0)])
        sql = "SELECT value, repeat('x', 1000) AS s, repeat('y', value % 3000) AS t FROM generate_series(1, 10000) g(value)"
        assert client.query(sql).num_rows == 10000


def test_headers_that_are_too_large(flight):
    with Client(flight) as client:
        client.headers = {"x-padding": "x" * 100_000}
        with pytest.raises(grpc.RpcError):
            client.query("SELECT 1")
        client.headers = {}
        assert client.value("SELECT 1") == 1


def test_messages_with_a_byte_changed(client):
    generator = random.Random(11)
    good = descriptor(command("CommandGetTables", {1: "tidemill", 2: "public", 3: "orders", 4: ["TABLE"], 5: True}))
    for _ in range(150):
        bad = bytearray(good)
        bad[generator.randrange(len(bad))] = generator.randrange(256)
        try:
            client.one("GetFlightInfo", bytes(bad))
        except grpc.RpcError as error:
            # What the framework cannot decode it calls internal itself.
            assert error.code() != Code.INTERNAL or "decode" in error.details(), error.details()
    assert client.value("SELECT 1") == 1
