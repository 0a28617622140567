"""Plans with something wrong, and bytes that are none: told by name, and the server goes on."""

import random
import re

import adbc_driver_flightsql.dbapi as dbapi
import pyarrow
import pyarrow.flight
import pytest
from google.protobuf.any_pb2 import Any
from substrait.gen.proto import algebra_pb2, plan_pb2

from substrait_plans import (  # noqa: F401 - fixtures among them
    NUMBERS,
    call,
    column,
    connection,
    frames,
    i64,
    literal,
    named,
    plan,
    planned,
    post,
    project,
    read,
    run,
    shop,
    string,
)
from test_substrait_frames import FRAMES


def nested(depth: int) -> bytes:
    relation = read("numbers")
    for _ in range(depth):
        relation = algebra_pb2.Rel(filter=algebra_pb2.FilterRel(input=relation, condition=literal(boolean=True)))
    return plan(relation)


def deeper(depth: int) -> bytes:
    """Messages within messages, deeper than Python's own encoder may go."""

    def message(tag: int, body: bytes) -> bytes:
        size, length = len(body), bytearray()
        while size > 0x7F:
            length.append(size & 0x7F | 0x80)
            size >>= 7
        return bytes([tag << 3 | 2]) + bytes([*length, size]) + body

    body = read("numbers").SerializeToString()
    for _ in range(depth):
        body = message(2, message(2, body))
    return message(3, message(1, body))


WRONG = {
    "an unknown table": (plan(read("number")), "NOT_FOUND", "table 'tidemill.public.number' not found"),
    "an unknown catalog": (plan(read("no", "public", "numbers")), "NOT_FOUND", "table 'no.public.numbers' not found"),
    "a name of four parts": (plan(read("a", "b", "c", "numbers")), "INVALID", "is not the name of a table"),
    "an unknown column": (plan(read("numbers", bigg=i64())), "NOT_FOUND", "column 'bigg' not found"),
    "a column of another type": (plan(read("numbers", big=string())), "INVALID", "Field 'big' in Substrait schema has a different type"),
    "an unknown function": (plan(project(read("numbers"), call(0, column(0))), "absolute:i64", names=["x"]), "NOT_FOUND", "function 'absolute' not found"),
    "a function that is not declared": (plan(project(read("numbers"), call(7, column(0))), names=["x"]), "INVALID", "function reference = 7"),
    "a column beyond the last": (plan(project(read("numbers"), column(9)), names=["x"]), "INVALID", "the len is 2 but the index is 9"),
    "an emitted column beyond the last": (plan(project(read("numbers"), column(0), emit=[99]), names=["x"]), "INVALID", "99"),
    "a negative emitted column": (plan(project(read("numbers"), column(0), emit=[-1]), names=["x"]), "INVALID", "output field -1"),
    "too few names": (plan(read("numbers"), names=["a"]), "INVALID", "must contain names for all fields"),
    "no relation": (plan_pb2.Plan().SerializeToString() or b"", "INVALID", "it has no relation"),
    "an empty relation": (plan(algebra_pb2.Rel()), "INVALID", "a relation is of no kind"),
    "a filter without input": (plan(algebra_pb2.Rel(filter=algebra_pb2.FilterRel(condition=literal(boolean=True)))), "INVALID", "FilterRel has no input"),
    "local files": (plan(algebra_pb2.Rel(read=algebra_pb2.ReadRel(base_schema=named(**NUMBERS), local_files={"items": [{"uri_file": "file:///etc/numbers"}]}))), "UNSUPPORTED", "LocalFiles"),
    "a physical join": (plan(algebra_pb2.Rel(hash_join=algebra_pb2.HashJoinRel(left=read("numbers"), right=read("numbers")))), "UNSUPPORTED", "HashJoinRel"),
    "a definition": (plan(algebra_pb2.Rel(ddl=algebra_pb2.DdlRel())), "UNSUPPORTED", "DdlRel"),
    "an update": (plan(algebra_pb2.Rel(update=algebra_pb2.UpdateRel())), "UNSUPPORTED", "UpdateRel"),
    "an extension": (plan(algebra_pb2.Rel(extension_leaf=algebra_pb2.ExtensionLeafRel(detail=Any(type_url="mine/rel")))), "UNSUPPORTED", "ExtensionLeafRel of type 'mine/rel'"),
    "an expression": (plan(project(read("numbers"), algebra_pb2.Expression(multi_or_list={})), names=["x"]), "UNSUPPORTED", "MultiOrList"),
    "a write below the root": (
        plan(algebra_pb2.Rel(filter=algebra_pb2.FilterRel(input=algebra_pb2.Rel(write=algebra_pb2.WriteRel(input=read("numbers"))), condition=literal(boolean=True)))),
        "UNSUPPORTED",
        "WriteRel",
    ),
    "local files in a subquery": (
        plan(
            project(
                read("numbers"),
                algebra_pb2.Expression(
                    subquery={"scalar": {"input": {"read": {"base_schema": named(big=i64()), "local_files": {"items": [{"uri_file": "file:///etc/numbers"}]}}}}}
                ),
            ),
            names=["x"],
        ),
        "UNSUPPORTED",
        "LocalFiles",
    ),
    "a thousand levels": (deeper(1000), "INVALID", "recursion limit"),
    "twenty thousand levels": (deeper(20_000), "INVALID", "recursion limit"),
    "SQL": (b"SELECT 1", "INVALID", "malformed"),
    "a megabyte of noise": (random.Random(1).randbytes(1_000_000), "INVALID", "malformed"),
    "a megabyte of zeros": (bytes(1_000_000), "INVALID", "malformed"),
    "more than a megabyte": (bytes(1_100_000), "INVALID", "limits.max_sql_bytes"),
    "a million columns": (plan(project(read("numbers"), column(0), emit=[2] * 400_000)), "INVALID", "400000 columns"),
    "a negative limit": (plan(algebra_pb2.Rel(fetch=algebra_pb2.FetchRel(input=read("numbers"), offset=-5, count=-7))), "INVALID", "'-7'"),
    "a billion partitions": (
        plan(algebra_pb2.Rel(exchange=algebra_pb2.ExchangeRel(input=read("numbers"), partition_count=1_000_000_000, round_robin={}))),
        "INVALID",
        "1000000000 partitions",
    ),
}
STATUS = {"NOT_FOUND": (400, pyarrow.flight.FlightServerError), "INVALID": (400, pyarrow.ArrowInvalid), "UNSUPPORTED": (501, NotImplementedError)}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_plans(shop, connection, name):
    bytes_, kind, words = WRONG[name]
    response = post(shop, bytes_)
    document = response.json()
    assert response.status_code == STATUS[kind][0], document
    assert words in document["detail"], document
    assert len(document["detail"]) < 500
    with pytest.raises(dbapi.Error, match=re.escape(words)):
        run(connection, bytes_)
    assert shop.value("SELECT 1") == 1


def test_names_that_were_meant(shop):
    assert post(shop, plan(read("number"))).json()["did_you_mean"] == ["numbers"]
    unknown = plan(project(read("numbers"), call(0, column(0))), "abss:i64", names=["x"])
    assert "abs" in post(shop, unknown).json()["did_you_mean"]


def test_plans_that_are_cut_or_altered(shop, frames):
    """Whatever the bytes are, the server refuses or answers, and goes on."""
    build, _ = FRAMES["SQL of the client"]
    whole = planned(build(frames), frames)
    chance = random.Random(7)
    cut = [whole[:length] for length in range(0, len(whole), 7)]
    altered = []
    for _ in range(150):
        copy = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            copy[chance.randrange(len(copy))] = chance.randrange(256)
        altered.append(bytes(copy))
    seen = set()
    for bytes_ in cut + altered:
        response = post(shop, bytes_)
        seen.add(response.status_code)
        assert response.status_code in (200, 400, 422, 501), (response.status_code, response.text, bytes_.hex())
    assert 400 in seen
    assert shop.value("SELECT 1") == 1


def test_nesting_that_decoders_allow_runs(connection):
    assert run(connection, nested(40)).num_rows == 2
