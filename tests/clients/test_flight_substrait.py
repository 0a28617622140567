"""Substrait plans instead of SQL, by the messages of Flight SQL."""

import re

import grpc
import pytest

from flight_sql import adbc, command, message, refused, schema_of, unpack

NULLABLE = message({2: 1})
# SELECT id, name FROM orders, as a plan: a read of a named table with the schema that it must have.
STRUCT = message({1: [message({7: NULLABLE}), message({12: NULLABLE})], 3: 2})
READ = message({1: message({2: message({1: ["id", "name"], 2: STRUCT}), 7: message({1: ["orders"]})})})


def plan(read: bytes = READ) -> bytes:
    return message({3: message({2: message({1: read, 2: ["id", "name"]})}), 6: message({2: 80})})


def statement(bytes_of_plan: bytes, name: str = "CommandStatementSubstraitPlan") -> bytes:
    return command(name, {1: message({1: bytes_of_plan, 2: "0.80.0"})})


def test_the_server_says_which_plans_it_takes(client):
    # FLIGHT_SQL_SERVER_SUBSTRAIT, and the oldest and the newest version.
    takes, *versions = client.table(command("CommandGetSqlInfo", {1: [5, 6, 7]})).column("value").to_pylist()
    assert takes is True
    assert len(versions) == 2 and all(re.fullmatch(r"0\.\d+\.\d+", version) for version in versions)


def test_a_plan(client):
    expected = client.query("SELECT id, name FROM orders")
    assert client.table(statement(plan())).equals(expected)
    assert client.schema(statement(plan())) == expected.schema
    # The tickets of what only reads can be redeemed again.
    (ticket,) = client.info(statement(plan())).tickets
    assert client.get(ticket).equals(client.get(ticket))


def test_a_prepared_plan(client):
    body = client.action("CreatePreparedSubstraitPlan", statement(plan(), "ActionCreatePreparedSubstraitPlanRequest"))
    created = unpack(body, "ActionCreatePreparedStatementResult")
    assert schema_of(created.one(2)).names == ["id", "name"]
    for _ in range(2):
        assert client.table(command("CommandPreparedStatementQuery", {1: created.one(1)})).num_rows == 3
    client.close_prepared(created.one(1))


def test_adbc_sends_a_plan(flight):
    with adbc(flight) as connection, connection.cursor() as cursor:
        cursor.execute(plan())
        assert sorted(row[0] for row in cursor.fetchall()) == [1, 2, 3]


BAD_PLANS = {
    "nothing": b"",
    "no protobuf": b"\xff\xff\xff",
    "no relation": message({6: message({2: 80})}),
    "no read": plan(message({})),
}


@pytest.mark.parametrize("bad", BAD_PLANS.values(), ids=BAD_PLANS)
def test_plans_that_are_none(client, bad):
    with refused(grpc.StatusCode.INVALID_ARGUMENT):
        client.table(statement(bad))
    with refused(grpc.StatusCode.INVALID_ARGUMENT):
        client.schema(statement(bad))


def test_a_command_without_a_plan(client):
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "the command has no plan"):
        client.info(command("CommandStatementSubstraitPlan"))


def test_a_plan_over_a_table_that_is_not_there(client):
    read = message({1: message({2: message({1: ["id", "name"], 2: STRUCT}), 7: message({1: ["no_such_table"]})})})
    with refused(grpc.StatusCode.NOT_FOUND, "no_such_table"):
        client.table(statement(plan(read)))
