"""PollFlightInfo: statements that run in the background while the client asks how far they are."""

import grpc
import pyarrow
import pytest

from flight_sql import CANCELLED, Client, Info, Message, adbc, basic, command, descriptor, details, history, message, refused, rows
from server import serving, wait_until
from test_flight_adbc import ended
from test_lifecycle import TOKEN
from test_limits import ENDLESS, settings

INFO, DESCRIPTOR, PROGRESS, EXPIRATION = 1, 2, 3, 4


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    """A server whose polls come back soon."""
    with serving(tmp_path_factory.mktemp("poll"), *settings(flight_sql__poll_wait="100ms")) as server:
        yield server


@pytest.fixture
def poller(patient):
    with Client(patient) as client:
        yield client


def query(sql: str) -> bytes:
    return descriptor(command("CommandStatementQuery", {1: sql}))


def info_of(poll: Message) -> Info:
    return Info(poll.one(INFO))


def to_the_end(client, poll: Message) -> Info:
    """Polls until there is nothing to poll any more."""
    while poll.one(DESCRIPTOR):
        assert 0.0 <= poll.one(PROGRESS, 0.0) <= 1.0
        poll = client.poll(poll.one(DESCRIPTOR))
    return info_of(poll)


def cancel(client, info: bytes) -> int:
    return Message(client.action("CancelFlightInfo", message({1: info}))).one(1)


def fetched(client, info: Info):
    (ticket,) = info.tickets
    table = client.get(ticket)
    assert table.schema.equals(info.schema)
    return table


def test_a_statement_from_the_first_poll_to_the_last(poller):
    sql = "SELECT count(*) AS n FROM generate_series(1, 3000) a(x) CROSS JOIN generate_series(1, 3000) b(y) WHERE x % 7 = y % 11"
    info = to_the_end(poller, poller.poll(query(sql)))
    assert info.signed(4) == 1 and info.signed(5) > 0
    table = fetched(poller, info)
    assert table.equals(poller.query(sql))
    # The result is kept: again, and from elsewhere.
    assert poller.get(info.tickets[0]).equals(table)


def test_while_it_runs(patient, poller):
    marker = "poll while it runs"
    poll = poller.poll(query(f"{ENDLESS} AND '{marker}' <> ''"))
    for _ in range(3):
        assert poll.one(DESCRIPTOR) and poll.one(EXPIRATION)
        assert 0.0 <= poll.one(PROGRESS, 0.0) < 1.0
        info = info_of(poll)
        assert len(info.schema) == 1 and info.endpoints == []
        poll = poller.poll(poll.one(DESCRIPTOR))
    assert [state for state, _ in history(patient, f"sql LIKE '%{marker}%'")] == ["running"]
    # It can be cancelled by what a poll says, as drivers do.
    try:
        assert cancel(poller, poll.one(INFO)) == CANCELLED
    finally:
        cancel(poller, message({2: poll.one(DESCRIPTOR)}))
    ended(patient, marker)
    with refused(grpc.StatusCode.CANCELLED):
        to_the_end(poller, poll)


def test_progress_moves(poller):
    poll = poller.poll(query("SELECT count(*) FROM generate_series(1, 6000) a(x) CROSS JOIN generate_series(1, 6000) b(y) WHERE x % 7 = y % 11"))
    seen = [poll.one(PROGRESS, 0.0)]
    while poll.one(DESCRIPTOR):
        poll = poller.poll(poll.one(DESCRIPTOR))
        seen.append(poll.one(PROGRESS, 0.0))
    assert seen == sorted(seen) and seen[-1] == 1.0


def test_a_poll_of_a_result_that_is_there_answers_at_once_with_all(poller):
    poll = poller.poll(query("SELECT 1 AS a"))
    info = to_the_end(poller, poll)
    assert fetched(poller, info).column("a").to_pylist() == [1]
    assert fetched(poller, to_the_end(poller, poller.poll(query("SELECT 1 AS a WHERE 1 = 0")))).num_rows == 0


def test_polling_again_after_the_end(poller):
    poll = poller.poll(query("SELECT count(*) FROM generate_series(1, 2000) a(x) CROSS JOIN generate_series(1, 2000) b(y) WHERE x % 7 = y % 11"))
    last = poll.one(DESCRIPTOR)
    while poll.one(DESCRIPTOR):
        last, poll = poll.one(DESCRIPTOR), poller.poll(poll.one(DESCRIPTOR))
    if last:
        assert fetched(poller, to_the_end(poller, poller.poll(last))).equals(fetched(poller, info_of(poll)))


def test_get_flight_info_of_a_poll_waits_for_the_end(poller):
    poll = poller.poll(query("SELECT count(*) AS n FROM generate_series(1, 3000) a(x) CROSS JOIN generate_series(1, 3000) b(y) WHERE x % 7 = y % 11"))
    if poll.one(DESCRIPTOR):
        info = Info(poller.one("GetFlightInfo", poll.one(DESCRIPTOR)))
        assert fetched(poller, info).num_rows == 1


def test_a_failure_ends_the_polls(poller):
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "division by zero") as caught:
        to_the_end(poller, poller.poll(query("SELECT sum(1000 / (value - 900000)) AS x FROM generate_series(1, 1000000) g(value)")))
    code, more = details(caught.value)
    assert (code, more["sqlstate"]) == ("DIVISION_BY_ZERO", "22012") and more["query_id"]
    with refused(grpc.StatusCode.NOT_FOUND):
        poller.poll(query("SELECT * FROM nosuch"))


def test_a_change_runs_once_however_often_it_is_polled(patient, poller):
    poller.execute("CREATE TABLE polled (a BIGINT)")
    poll = poller.poll(query("INSERT INTO polled VALUES (1), (2)"))
    info = to_the_end(poller, poll)
    assert fetched(poller, info).column(0).to_pylist() == [2]
    poller.get(info.tickets[0])
    if poll.one(DESCRIPTOR):
        to_the_end(poller, poll)
    assert patient.value("SELECT count(*) FROM polled") == 2
    to_the_end(poller, poller.poll(query("DROP TABLE polled")))
    with refused(grpc.StatusCode.NOT_FOUND):
        poller.query("SELECT * FROM polled")


def test_listings_and_prepared_statements(poller):
    poll = poller.poll(descriptor(command("CommandGetCatalogs")))
    assert not poll.one(DESCRIPTOR) and fetched(poller, info_of(poll)).num_rows >= 1
    handle = poller.prepare("SELECT $1 * 2 AS d").one(1)
    for bound in [[21], [1, 2, 3]]:
        poller.put(command("CommandPreparedStatementQuery", {1: handle}), [pyarrow.record_batch({"a": bound})])
        info = to_the_end(poller, poller.poll(descriptor(command("CommandPreparedStatementQuery", {1: handle}))))
        assert fetched(poller, info).column("d").to_pylist() == [2 * number for number in bound]


def test_a_setting_made_by_a_poll_stays(poller):
    to_the_end(poller, poller.poll(query("SET time_zone = 'Europe/Paris'")))
    assert poller.value("SHOW time_zone") == "Europe/Paris"


def test_a_poll_of_another_user_or_of_nonsense(guarded):
    with Client(guarded, basic("ann", "secret")) as ann, Client(guarded, f"Bearer {TOKEN}") as loader:
        ann.handshake()
        poll = ann.poll(query(f"{ENDLESS} AND 'poll of ann' <> ''"))
        for method in ["PollFlightInfo", "GetFlightInfo"]:
            with refused(grpc.StatusCode.PERMISSION_DENIED, "ticket"):
                loader.one(method, poll.one(DESCRIPTOR))
        assert cancel(ann, message({2: poll.one(DESCRIPTOR)})) == CANCELLED
        with refused(grpc.StatusCode.CANCELLED):
            to_the_end(ann, poll)


def test_adbc_asks_step_by_step(patient):
    sql = "SELECT count(*) AS n FROM generate_series(1, 3000) a(x) CROSS JOIN generate_series(1, 3000) b(y) WHERE x % 7 = y % 11"
    with adbc(patient) as connection, connection.cursor() as cursor:
        cursor.adbc_statement.set_options(**{"adbc.statement.exec.incremental": "true"})
        found, steps = [], 0
        while True:
            partitions, schema = cursor.adbc_execute_partitions(sql)
            steps += 1
            assert steps < 1000
            if not partitions and steps > 1:
                break
            found.extend(partitions)
        with adbc(patient) as other, other.cursor() as reader:
            (partition,) = found
            reader.adbc_read_partition(partition)
            assert reader.fetchall() == rows(other, sql)


def test_closing_the_session_stops_what_it_polled(patient, poller):
    marker = "poll then close"
    poller.query("SET time_zone = 'Europe/Paris'")
    poller.poll(query(f"{ENDLESS} AND '{marker}' <> ''"))
    wait_until(lambda: history(patient, f"sql LIKE '%{marker}%'"), 20, "the query")
    poller.action("CloseSession")
    ended(patient, marker)
