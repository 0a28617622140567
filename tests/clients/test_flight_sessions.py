"""Sessions of Flight SQL: what a client sets stays with it and reaches nobody else; logging in."""

import base64
import functools
import uuid

import adbc_driver_flightsql.dbapi as dbapi
import grpc
import pyarrow.flight
import pytest

from flight_sql import Client, adbc, basic, command, descriptor, details, message, refused, rows, uri, value
from server import serving, wait_until
from test_lifecycle import TOKEN, auth_config
from test_limits import settings

UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
INVALID_NAME, INVALID_VALUE = 1, 2
CLOSED = 1
# The field of an ActionCreatePreparedStatementResult that asks for an update.
IS_UPDATE = 4


def sessions(server) -> set[str]:
    return {session["id"] for session in server.http.get(server.url("/v1/sessions")).json()["sessions"]}


def whoami(ask) -> str:
    """For whom a statement runs; `ask` runs it and gives its only value."""
    marker = uuid.uuid4().hex
    return ask(f"SELECT principal FROM system.queries WHERE sql LIKE '%{marker}%'")


def test_what_is_set_stays_with_the_connection(flight, connection):
    with adbc(flight) as other:
        rows(connection, "SET time_zone = 'Europe/Paris'")
        rows(other, "SET time_zone = 'Asia/Tokyo'")
        with adbc(flight) as third:
            found = [value(each, "SHOW time_zone") for each in (connection, other, third)]
    assert found == ["Europe/Paris", "Asia/Tokyo", "UTC"]
    assert flight.value("SHOW time_zone") == "UTC"


def test_the_first_statement_of_a_connection_may_set(flight):
    for sql in ["SET time_zone = 'Europe/Paris'", "SET SESSION time_zone = 'Europe/Paris'", "SET TIME ZONE 'Europe/Paris'"]:
        with adbc(flight) as connection:
            rows(connection, sql)
            assert value(connection, "SHOW time_zone") == "Europe/Paris", sql
            rows(connection, "RESET time_zone")
            assert value(connection, "SHOW time_zone") == "UTC"


def test_executescript_may_set(flight):
    # The driver does not look at what headers say after an update, so that the session has to be there before.
    with adbc(flight, username="anybody", password="") as connection:
        with connection.cursor() as cursor:
            cursor.executescript("SET time_zone = 'Europe/Paris'")
        assert value(connection, "SHOW time_zone") == "Europe/Paris"


def test_an_update_may_set(client):
    client.execute("SET time_zone = 'Europe/Paris'")
    assert client.value("SHOW time_zone") == "Europe/Paris"


def test_a_setting_takes_effect(connection):
    rows(connection, "SET time_zone = 'Asia/Tokyo'")
    with connection.cursor() as cursor:
        cursor.execute("SELECT now() AS n")
        assert cursor.fetch_arrow_table().schema.field("n").type.tz == "Asia/Tokyo"


@pytest.fixture
def logged_in(flight):
    """An ADBC connection that logged in: it has its session from the start, by an answer that the driver does not lose."""
    with adbc(flight, username="anybody", password="") as connection:
        yield connection


def test_catalog_and_schema(flight, logged_in, scratch):
    connection = logged_in
    assert (connection.adbc_current_catalog, connection.adbc_current_db_schema) == ("tidemill", "public")
    rows(connection, f"CREATE SCHEMA {scratch}_schema")
    try:
        connection.adbc_current_db_schema = f"{scratch}_schema"
        rows(connection, "CREATE TABLE here AS SELECT 7 AS a")
        assert connection.adbc_current_db_schema == f"{scratch}_schema"
        assert value(connection, "SELECT a FROM here") == 7
        with adbc(flight) as other:
            assert other.adbc_current_db_schema == "public"
            with pytest.raises(dbapi.ProgrammingError):
                rows(other, "SELECT a FROM here")
            rows(other, f"SET schema = '{scratch}_schema'")
            assert value(other, "SELECT a FROM here") == 7
    finally:
        flight.post(f"DROP SCHEMA {scratch}_schema CASCADE")


def test_temporary_views_and_prepared_statements_are_the_sessions(flight, connection):
    rows(connection, "CREATE TEMPORARY VIEW mine AS SELECT 1 AS a")
    rows(connection, "PREPARE twice AS SELECT $1 * 2 AS d")
    assert value(connection, "SELECT a FROM mine") == 1
    assert value(connection, "EXECUTE twice(21)") == 42
    with adbc(flight) as other:
        for sql in ["SELECT a FROM mine", "EXECUTE twice(21)"]:
            with pytest.raises(dbapi.ProgrammingError):
                rows(other, sql)


def test_closing_the_connection_closes_the_session(flight):
    before = sessions(flight)
    with adbc(flight) as connection:
        value(connection, "SELECT 1")
        assert sessions(flight) == before, "a session was opened for nothing"
        rows(connection, "SET time_zone = 'Europe/Paris'")
        assert len(sessions(flight) - before) == 1
    assert sessions(flight) == before


def test_a_connection_may_begin_with_options(flight):
    login, options = {"username": "anybody", "password": ""}, {"adbc.flight.sql.session.option.time_zone": "Europe/Paris"}
    with dbapi.connect(uri(flight), db_kwargs=login, conn_kwargs=options, autocommit=True) as connection:
        assert value(connection, "SHOW time_zone") == "Europe/Paris"


def test_cookies(flight):
    with adbc(flight, **{"adbc.flight.sql.rpc.with_cookie_middleware": "true"}) as connection:
        rows(connection, "SET time_zone = 'Europe/Paris'")
        assert value(connection, "SHOW time_zone") == "Europe/Paris"


@pytest.mark.parametrize("kept", ["authorization", "cookie"])
def test_either_the_token_or_the_cookie_names_the_session(client, kept):
    client.query("SET time_zone = 'Europe/Paris'")
    assert set(client.headers) == {"authorization", "cookie"}
    client.headers = {kept: client.headers[kept]}
    assert client.value("SHOW time_zone") == "Europe/Paris"


def test_a_session_whose_token_was_lost_is_told_again(client):
    # Drivers may lose the headers of a stream, which is how preparing answers; those of a single answer they keep.
    handle = client.prepare("SET time_zone = 'Europe/Paris'").one(1)
    client.headers = {}
    client.table(command("CommandPreparedStatementQuery", {1: handle}))
    assert set(client.headers) == {"authorization", "cookie"}
    assert client.value("SHOW time_zone") == "Europe/Paris"
    assert client.action("CloseSession") == message({1: CLOSED})


@pytest.mark.parametrize("name", ["CommandPreparedStatementQuery", "CommandPreparedStatementUpdate"])
def test_other_answers_about_it_tell_it_too(client, name):
    handle = client.prepare("SET time_zone = 'Europe/Paris'").one(1)
    client.headers = {}
    if name == "CommandPreparedStatementQuery":
        client.schema(command(name, {1: handle}))
    else:
        client.update(command(name, {1: handle}))
    assert set(client.headers) == {"authorization", "cookie"}


def test_what_opens_a_session_is_run_as_a_query(client):
    # Drivers run an update by DoPut, whose answer is a stream.
    create = "CREATE TEMPORARY VIEW {} AS SELECT 1 AS a"
    opening = client.prepare(create.format("mine"))
    assert opening.one(IS_UPDATE) == 0
    client.table(command("CommandPreparedStatementQuery", {1: opening.one(1)}))
    assert client.value("SELECT a FROM mine") == 1
    assert client.prepare(create.format("more")).one(IS_UPDATE) == 1


def test_who_has_no_session_is_given_none_by_what_needs_none(flight, client):
    client.table(command("CommandPreparedStatementQuery", {1: client.prepare("SELECT 1 AS a").one(1)}))
    assert client.headers == {}
    # A ticket may be redeemed elsewhere, which is no reason to share the session.
    client.query("SET time_zone = 'Europe/Paris'")
    (ticket,) = client.info(command("CommandStatementQuery", {1: "SHOW time_zone"})).tickets
    with Client(flight) as other:
        assert other.get(ticket).column("time_zone").to_pylist() == ["Europe/Paris"]
        assert other.headers == {} and other.value("SHOW time_zone") == "UTC"


def test_a_session_that_nobody_used_is_gone(serve):
    with serve(*settings(sessions__idle_timeout="1s")) as server, Client(server) as client:
        client.query("SET time_zone = 'Europe/Paris'")
        wait_until(lambda: not sessions(server), 60, "the end of the session")
        with refused(UNAUTHENTICATED, "session", "connect again"):
            client.query("SELECT 1")


def test_session_options(client):
    assert client.set_options(time_zone="Europe/Paris", nonsense="x", priority="urgent") == {"nonsense": INVALID_NAME, "priority": INVALID_VALUE}
    assert client.value("SHOW time_zone") == "Europe/Paris"
    options = client.options()
    assert options["time_zone"] == "Europe/Paris"
    assert {"catalog", "schema", "statement_timeout"} <= set(options)
    # By other names too, since it can be set by them.
    assert client.set_options(timezone="Asia/Tokyo") == {}
    assert client.options()["timezone"] == client.options()["time_zone"] == "Asia/Tokyo"
    # Other kinds of values: a number, a truth, and nothing, which resets.
    one = (1).to_bytes(8, "little")
    assert client.set_options(row_limit=b"\x19" + one, read_only=message({2: True}), time_zone=b"") == {}
    options = client.options()
    assert (options["row_limit"], options["read_only"], options["time_zone"]) == ("1", "true", "UTC")
    assert client.query("SELECT * FROM orders").num_rows == 1


def test_a_closed_session_is_gone(client):
    client.query("SET time_zone = 'Europe/Paris'")
    prepared = client.prepare("SELECT 1").one(1)
    closed = client.action("CloseSession")
    assert closed == message({1: CLOSED})
    with refused(UNAUTHENTICATED, "session", "connect again"):
        client.query("SELECT 1")
    client.headers = {}
    with refused(grpc.StatusCode.NOT_FOUND, "prepared statement"):
        client.table(command("CommandPreparedStatementQuery", {1: prepared}))


def test_closing_a_session_that_never_was(client):
    assert client.action("CloseSession") == message({1: CLOSED})
    assert client.value("SELECT 1") == 1


def test_a_session_that_was_closed_elsewhere(flight, client):
    client.query("SET time_zone = 'Europe/Paris'")
    session = client.headers["cookie"].split("=", 1)[1]
    assert session in sessions(flight)
    assert flight.http.delete(flight.url(f"/v1/sessions/{session}")).status_code in (200, 204)
    with refused(UNAUTHENTICATED, "session"):
        client.query("SELECT 1")


def test_sessions_are_bounded(serve):
    with serve(*settings(sessions__max_per_principal=2)) as server:
        clients = [Client(server) for _ in range(3)]
        for client in clients[:2]:
            client.query("SET time_zone = 'Europe/Paris'")
        with refused(grpc.StatusCode.UNAVAILABLE, "sessions.max_per_principal"):
            clients[2].query("SET time_zone = 'Europe/Paris'")
        assert clients[2].value("SELECT 1") == 1
        clients[0].action("CloseSession")
        clients[2].query("SET time_zone = 'Europe/Paris'")
        for client in clients:
            client.channel.close()


def test_user_and_password(guarded):
    with adbc(guarded, username="ann", password="secret") as connection:
        assert whoami(functools.partial(value, connection)) == "ann"
        rows(connection, "SET time_zone = 'Europe/Paris'")
        assert value(connection, "SHOW time_zone") == "Europe/Paris"


def test_a_token(guarded):
    with adbc(guarded, **{"adbc.flight.sql.authorization_header": f"Bearer {TOKEN}"}) as connection:
        assert whoami(functools.partial(value, connection)) == "loader"
        with pytest.raises(dbapi.ProgrammingError) as caught:
            rows(connection, "CREATE TABLE t AS SELECT 1 AS a")
        assert "PermissionDenied" in str(caught.value)
        rows(connection, "SET time_zone = 'Europe/Paris'")
        assert value(connection, "SHOW time_zone") == "Europe/Paris"


def test_the_current_user_of_a_view_is_who_reads_it(guarded):
    with adbc(guarded, username="ann", password="secret") as ann:
        rows(ann, "CREATE VIEW reader_of_view AS SELECT current_user AS name")
        assert value(ann, "SELECT name FROM reader_of_view") == value(ann, "SELECT user") == "ann"
        with adbc(guarded, **{"adbc.flight.sql.authorization_header": f"Bearer {TOKEN}"}) as other:
            assert value(other, "SELECT name FROM reader_of_view") == "loader"
        rows(ann, "DROP VIEW reader_of_view")


def test_a_partition_is_read_by_who_asked_for_it_and_nobody_else(guarded):
    with adbc(guarded, username="ann", password="secret") as ann, ann.cursor() as cursor:
        rows(ann, "SET result_partitions = 2")
        partitions, _ = cursor.adbc_execute_partitions("SELECT value FROM generate_series(1, 10) g(value)")
        found = []
        with adbc(guarded, username="ann", password="secret") as again, again.cursor() as reader:
            for partition in partitions:
                reader.adbc_read_partition(partition)
                found += reader.fetchall()
        assert sorted(found) == [(number,) for number in range(1, 11)]
        with adbc(guarded, **{"adbc.flight.sql.authorization_header": f"Bearer {TOKEN}"}) as other, other.cursor() as reader:
            with pytest.raises(dbapi.ProgrammingError, match="PermissionDenied"):
                reader.adbc_read_partition(partitions[0])
                reader.fetchall()


STRANGERS = [
    {},
    {"username": "ann", "password": "wrong"},
    {"username": "nobody", "password": "secret"},
    {"adbc.flight.sql.authorization_header": "Bearer wrong"},
]


@pytest.mark.parametrize("options", STRANGERS, ids=["nobody", "wrong password", "unknown user", "wrong token"])
def test_who_may_not_in(guarded, options):
    with pytest.raises(dbapi.ProgrammingError, match="Unauthenticated"), adbc(guarded, **options) as connection:
        value(connection, "SELECT 1")


QUERY = command("CommandStatementQuery", {1: "SELECT 1"})
CALLS = {
    "Handshake": lambda client: client.handshake(),
    "GetFlightInfo": lambda client: client.info(QUERY),
    "GetSchema": lambda client: client.schema(command("CommandGetCatalogs")),
    "PollFlightInfo": lambda client: client.poll(descriptor(QUERY)),
    "DoGet": lambda client: client.get(command("CommandGetCatalogs")),
    "DoPut": lambda client: client.execute("CREATE TABLE t AS SELECT 1 AS a"),
    "CreatePreparedStatement": lambda client: client.prepare("SELECT 1"),
    "GetSessionOptions": lambda client: client.action("GetSessionOptions"),
    "CloseSession": lambda client: client.action("CloseSession"),
}


@pytest.mark.parametrize("call", CALLS)
def test_no_call_without_credentials(guarded, call):
    for header in [None, "Bearer wrong", "Bearer tms1.x.y"]:
        with Client(guarded, header) as client, refused(UNAUTHENTICATED) as caught:
            CALLS[call](client)
        code, more = details(caught.value)
        assert code == "UNAUTHENTICATED" and more["sqlstate"].startswith("28")


NO_COLON = "Basic " + base64.b64encode(b"ann").decode()
WRONG = [basic("ann", "wrong"), basic("ann", ""), basic("", ""), basic("nobody", "secret"), NO_COLON, "Basic !!!", "Basic", "Bearer", "Digest x", "x"]


@pytest.mark.parametrize("header", WRONG)
def test_credentials_that_are_wrong(guarded, header):
    with Client(guarded, header) as client:
        with refused(UNAUTHENTICATED) as caught:
            client.handshake()
        assert "secret" not in caught.value.details()


def test_handshake_by_header_and_by_payload(guarded):
    for header, payload in [(basic("ann", "secret"), b""), (None, message({2: "ann", 3: "secret"})), (f"Bearer {TOKEN}", b"")]:
        with Client(guarded, header) as client:
            client.handshake(payload)
            assert client.headers["authorization"].startswith("Bearer tms1.")
            client.headers = {"authorization": client.headers["authorization"]}
            assert whoami(client.value) == ("loader" if header and "Bearer" in header else "ann")


class ByPayload(pyarrow.flight.ClientAuthHandler):
    """Logs in as old clients do, and shows what the handshake answered."""

    def authenticate(self, outgoing, incoming):
        outgoing.write(pyarrow.flight.BasicAuth("ann", "secret").serialize())
        self.token = incoming.read()

    def get_token(self):
        return self.token


def test_the_token_of_a_handshake_by_payload_is_shown_as_its_client_does(guarded):
    with pyarrow.flight.FlightClient(uri(guarded)) as client:
        handler = ByPayload()
        client.authenticate(handler)
        assert handler.token.startswith(b"tms1.")
        ask = command("CommandStatementQuery", {1: "SELECT principal FROM system.sessions"})
        information = client.get_flight_info(pyarrow.flight.FlightDescriptor.for_command(ask))
        table = client.do_get(information.endpoints[0].ticket).read_all()
        assert "ann" in table.column("principal").to_pylist()


PAYLOADS = {
    "nothing": b"",
    "no protobuf": b"\xff\xff\xff",
    "wrong password": message({2: "ann", 3: "wrong"}),
    "no password": message({2: "ann"}),
    "no user": message({3: "secret"}),
    "large": b"x" * 100_000,
}


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_a_handshake_of_nonsense(guarded, payload):
    with Client(guarded) as client:
        with refused(UNAUTHENTICATED):
            client.handshake(payload)
        with refused(UNAUTHENTICATED):
            client.many("Handshake", iter([]), "stream_stream")


@pytest.mark.parametrize("header", [None, basic("anybody", ""), basic("anybody", "anything"), "Bearer anything"])
def test_without_authentication_every_handshake_is_welcome(flight, header):
    with Client(flight, header) as client:
        client.handshake()
        assert client.value("SELECT 1") == 1


def test_an_empty_password_is_written_either_way(flight):
    # Some drivers leave the colon out.
    for plain in [b"anybody:", b"anybody"]:
        with Client(flight, "Basic " + base64.b64encode(plain).decode()) as client:
            client.handshake()
            assert client.value("SELECT 1") == 1


def test_pyarrow_logs_in(guarded):
    with pyarrow.flight.connect(uri(guarded)) as client:
        with pytest.raises(pyarrow.flight.FlightUnauthenticatedError):
            client.authenticate_basic_token("ann", "wrong")
        header, token = client.authenticate_basic_token("ann", "secret")
        assert (header, token[:12]) == (b"authorization", b"Bearer tms1.")
        options = pyarrow.flight.FlightCallOptions(headers=[(header, token)])

        def ask(sql):
            cmd = command("CommandStatementQuery", {1: sql})
            info = client.get_flight_info(pyarrow.flight.FlightDescriptor.for_command(cmd), options)
            return client.do_get(info.endpoints[0].ticket, options).read_all().column(0)[0].as_py()

        assert whoami(ask) == "ann"


def test_the_session_of_another_user_is_not_mine(guarded):
    with Client(guarded, basic("ann", "secret")) as ann, Client(guarded, f"Bearer {TOKEN}") as loader:
        ann.handshake()
        loader.headers["cookie"] = ann.headers["cookie"]
        with refused(UNAUTHENTICATED, "session"):
            loader.query("SELECT 1")


def test_a_session_token_that_was_altered(guarded):
    with Client(guarded, basic("ann", "secret")) as client:
        client.handshake()
        token = client.headers["authorization"]
        for at in (15, 40, len(token) - 5):
            other = "A" if token[at] != "A" else "B"
            client.headers = {"authorization": token[:at] + other + token[at + 1 :]}
            with refused(UNAUTHENTICATED):
                client.query("SELECT 1")
        client.headers = {"authorization": token}
        assert whoami(client.value) == "ann"


def test_secrets_are_not_logged(guarded):
    log = guarded.log_text()
    assert "secret" not in log and TOKEN not in log and "tms1." not in log


def test_logins_that_fail_again_and_again(tmp_path):
    with serving(tmp_path / "data", "--config", str(auth_config(tmp_path)), *settings(http__max_failed_logins=2)) as server:
        codes = []
        for _ in range(4):
            with Client(server, basic("ann", "wrong")) as client, pytest.raises(grpc.RpcError) as caught:
                client.handshake()
            codes.append(caught.value.code())
        assert codes[0] == UNAUTHENTICATED and codes[-1] == grpc.StatusCode.UNAVAILABLE
