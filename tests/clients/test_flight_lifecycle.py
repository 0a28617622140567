"""The Flight SQL door beside the other: one port, TLS, drain, killed queries, clients that go away or do not read."""

import socket
import ssl
import threading

import adbc_driver_flightsql.dbapi as dbapi
import grpc
import pyarrow
import pyarrow.flight
import pytest

from flight_sql import Client, adbc, command, descriptor, flight_data, history, message, refused, rows, table_of, uri, value
from server import Server, serving, wait_until
from test_flight_adbc import WIDE, ended
from test_lifecycle import certificate
from test_limits import ENDLESS, settings

Code = grpc.StatusCode


def stream(client, sql: str):
    """The messages of a statement's answer, as they come."""
    (ticket,) = client.info(command("CommandStatementQuery", {1: sql})).tickets
    return client.call("DoGet", message({1: ticket}), "unary_stream")


def running(server, marker: str) -> str:
    """The id of the marked statement, when it runs."""

    def found():
        states = history(server, f"sql LIKE '%{marker}%'")
        return states[0][1] if states and states[0][0] == "running" else None

    return wait_until(found, 20, f"{marker} running")


def test_tls(tmp_path):
    cert, key = certificate(tmp_path, "one")
    flags = settings(http__tls__cert=cert, http__tls__key=key)
    with serving(tmp_path / "data", *flags, scheme="https") as server:
        address, authority = f"grpc+tls://{server.address}", cert.read_text()
        roots = {"adbc.flight.sql.client_option.tls_root_certs": authority}
        with dbapi.connect(address, db_kwargs=roots, autocommit=True) as connection:
            rows(connection, "SET time_zone = 'Europe/Paris'")
            assert value(connection, "SHOW time_zone") == "Europe/Paris"
        with dbapi.connect(address, db_kwargs={"adbc.flight.sql.client_option.tls_skip_verify": "true"}, autocommit=True) as connection:
            assert value(connection, "SELECT 1") == 1
        for wrong in [address, uri(server)]:
            with pytest.raises(dbapi.OperationalError), dbapi.connect(wrong, autocommit=True) as connection:
                value(connection, "SELECT 1")
        with pyarrow.flight.connect(address, tls_root_certs=cert.read_bytes()) as client:
            assert list(client.list_actions())


def test_tls_offers_both_versions_of_http(tmp_path):
    # Drivers of gRPC refuse a connection on which h2 was not agreed.
    cert, key = certificate(tmp_path, "one")
    with serving(tmp_path / "data", *settings(http__tls__cert=cert, http__tls__key=key), scheme="https") as server:
        host, port = server.address.split(":")
        for offered, agreed in [(["h2"], "h2"), (["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1")]:
            context = ssl.create_default_context(cafile=cert)
            context.set_alpn_protocols(offered)
            with socket.create_connection((host, int(port)), 30) as plain, context.wrap_socket(plain, server_hostname=host) as secure:
                assert secure.selected_alpn_protocol() == agreed


def test_the_door_can_be_closed(serve):
    with serve(*settings(flight_sql__enabled="false")) as server:
        assert server.value("SELECT 1") == 1
        with Client(server) as client, refused(Code.UNIMPLEMENTED):
            client.query("SELECT 1")


def test_sigterm_lets_streams_end(tmp_path):
    server = Server(tmp_path / "data")
    with Client(server) as client:
        messages = stream(client, "SELECT value, repeat('x', 100) AS s FROM generate_series(1, 300000) g(value)")
        first = [next(messages) for _ in range(2)]
        server.process.terminate()
        assert table_of([*first, *messages]).num_rows == 300_000
    assert server.process.wait(60) == 0


def test_sigterm_cancels_streams_after_the_deadline(tmp_path):
    server = Server(tmp_path / "data", *settings(server__drain_timeout="1s"))
    with Client(server) as client:
        messages = stream(client, f"{ENDLESS} AND 'flight drain' <> ''")
        threading.Thread(target=lambda: running(server, "flight drain") and server.process.terminate()).start()
        with pytest.raises(grpc.RpcError) as caught:
            list(messages)
        assert caught.value.code() in (Code.CANCELLED, Code.UNAVAILABLE), caught.value.details()
    assert server.process.wait(60) == 0


@pytest.mark.parametrize("way", ["KILL QUERY", "DELETE"])
def test_a_query_that_is_killed_elsewhere(flight, client, way):
    marker, failures = f"flight killed by {way}", []

    def fetch():
        try:
            list(stream(client, f"{ENDLESS} AND '{marker}' <> ''"))
        except grpc.RpcError as error:
            failures.append(error)

    thread = threading.Thread(target=fetch)
    thread.start()
    query_id = running(flight, marker)
    if way == "DELETE":
        assert flight.http.delete(flight.url(f"/v1/queries/{query_id}")).status_code < 300
    else:
        assert flight.post(f"KILL QUERY '{query_id}'").status_code == 200
    thread.join(20)
    assert failures[0].code() == Code.CANCELLED, failures
    ended(flight, marker)


@pytest.mark.parametrize("goes", ["by cancel", "by closing the connection"])
def test_a_client_that_goes_away_in_mid_stream(flight, goes):
    marker = f"flight gone {goes}"
    with Client(flight) as client:
        call = stream(client, f"{WIDE} WHERE '{marker}' <> ''")
        assert all(len(next(call)) > 0 for _ in range(3))
        if goes == "by cancel":
            call.cancel()
        else:
            client.channel.close()
        ended(flight, marker)


def test_a_client_that_goes_away_before_the_first_row(flight):
    marker = "flight gone before the first row"
    with Client(flight) as client:
        call = stream(client, f"{ENDLESS} AND '{marker}' <> ''")
        running(flight, marker)
        call.cancel()
        ended(flight, marker)


def test_a_client_that_goes_away_during_an_update(flight, client, scratch):
    marker = "flight gone during an update"
    client.execute(f"CREATE TABLE {scratch} (a BIGINT)")
    sql = f"INSERT INTO {scratch} {ENDLESS} AND '{marker}' <> ''"
    put = client.call("DoPut", iter([message({1: descriptor(command("CommandStatementUpdate", {1: sql}))})]), "stream_stream")
    running(flight, marker)
    put.cancel()
    ended(flight, marker)
    assert client.value(f"SELECT count(*) FROM {scratch}") == 0


def test_a_client_that_does_not_read(serve):
    marker = "flight not read"
    with serve(*settings(http__write_timeout="1s")) as server, Client(server) as client:
        call = stream(client, f"{WIDE} WHERE '{marker}' <> ''")
        assert next(call)
        ended(server, marker)
        with pytest.raises(grpc.RpcError):
            list(call)
        assert client.value("SELECT 1") == 1


def test_a_client_that_sends_slowly_but_on_and_on(serve):
    with serve(*settings(http__body_read_timeout="1s")) as server, Client(server) as client:
        cmd = command("CommandPreparedStatementQuery", {1: client.prepare("SELECT $1 AS a").one(1)})
        batches = [pyarrow.record_batch({"a": [number]}) for number in range(3)]
        pause = threading.Event()

        def slowly():
            for part in flight_data(batches, descriptor(cmd)):
                yield part
                pause.wait(0.5)

        assert client.many("DoPut", slowly(), "stream_stream")
        assert client.table(cmd).column("a").to_pylist() == [0, 1, 2]


def test_an_idle_connection_is_closed_and_nobody_notices(serve):
    with serve(*settings(http__idle_timeout="300ms")) as server, adbc(server) as connection:
        rows(connection, "SET time_zone = 'Europe/Paris'")
        connected = lambda: any(f":{port_of(server)}" in line for line in established(server))  # noqa: E731
        wait_until(lambda: not connected(), 20, "the end of the connection")
        assert value(connection, "SHOW time_zone") == "Europe/Paris"


def port_of(server) -> str:
    return server.address.rsplit(":", 1)[1]


def established(server) -> list[str]:
    """The open connections to the server, as the kernel lists them."""
    port = f"{int(port_of(server)):04X}"
    with open(f"/proc/{server.process.pid}/net/tcp") as file:
        lines = [line.split() for line in file.readlines()[1:]]
    return [f"{remote}:{port_of(server)}" for _, local, remote, state, *_ in lines if local.endswith(f":{port}") and state == "01"]
