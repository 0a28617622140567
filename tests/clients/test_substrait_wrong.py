"""Plans with something wrong, and bytes that are none: each is refused in words that say what is wrong, and the server goes on."""

import random

import pytest
from google.protobuf.any_pb2 import Any
from substrait.gen.proto import algebra_pb2, plan_pb2

from substrait_plans import (
    NUMBERS,
    aggregate,
    call,
    column,
    computed,
    declaring,
    enhanced,
    exchange,
    function,
    i64,
    joined,
    literal,
    measure,
    named,
    outer,
    plan,
    planned,
    post,
    project,
    read,
    refused,
    relation,
    rows_of,
    run,
    set_of,
    sorted_by,
    string,
    subquery,
    where,
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
    "no relation": (plan_pb2.Plan().SerializeToString() or b"", "INVALID", "it has no relation"),
    "an empty relation": (plan(algebra_pb2.Rel()), "INVALID", "a relation is of no kind"),
    "a filter without input": (
        plan(algebra_pb2.Rel(filter=algebra_pb2.FilterRel(condition=literal(boolean=True)))),
        "INVALID",
        "FilterRel has no input",
    ),
    "local files": (
        plan(algebra_pb2.Rel(read=algebra_pb2.ReadRel(base_schema=named(**NUMBERS), local_files={"items": [{"uri_file": "file:///etc/numbers"}]}))),
        "UNSUPPORTED",
        "LocalFiles",
    ),
    "a physical join": (
        plan(algebra_pb2.Rel(hash_join=algebra_pb2.HashJoinRel(left=read("numbers"), right=read("numbers")))),
        "UNSUPPORTED",
        "HashJoinRel",
    ),
    "a definition": (plan(algebra_pb2.Rel(ddl=algebra_pb2.DdlRel())), "UNSUPPORTED", "DdlRel"),
    "an update": (plan(algebra_pb2.Rel(update=algebra_pb2.UpdateRel())), "UNSUPPORTED", "UpdateRel"),
    "an extension": (
        plan(algebra_pb2.Rel(extension_leaf=algebra_pb2.ExtensionLeafRel(detail=Any(type_url="mine/rel")))),
        "UNSUPPORTED",
        "ExtensionLeafRel of type 'mine/rel'",
    ),
    "a write below the root": (
        plan(
            algebra_pb2.Rel(
                filter=algebra_pb2.FilterRel(
                    input=algebra_pb2.Rel(write=algebra_pb2.WriteRel(input=read("numbers"))), condition=literal(boolean=True)
                )
            )
        ),
        "UNSUPPORTED",
        "WriteRel",
    ),
    "local files in a subquery": (
        plan(
            project(
                read("numbers"),
                algebra_pb2.Expression(
                    subquery={
                        "scalar": {
                            "input": {"read": {"base_schema": named(big=i64()), "local_files": {"items": [{"uri_file": "file:///etc/numbers"}]}}}
                        }
                    }
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
    "two functions of one anchor": (declaring(function(3, "add"), function(3, "subtract")), "INVALID", "two functions with the anchor 3"),
    "an extension of nothing": (declaring({}), "INVALID", "declares nothing"),
    "a type variation": (
        declaring({"extension_type_variation": {"type_variation_anchor": 1, "name": "mine"}}),
        "UNSUPPORTED",
        "type variation 'mine'",
    ),
    "a column of the query around it beyond the last": (
        where(subquery(call(0, outer(6, 1), column(0))), "equal"),
        "INVALID",
        "refers to column 6 of the query around it, counted from 0, but there are 2 columns",
    ),
    "a filter by a number": (where(column(0)), "INVALID", "filter with non-boolean predicate 'numbers.big' returning Int64"),
    "a filter without a condition": (
        plan(relation(filter=algebra_pb2.FilterRel(input=read("numbers")))),
        "INVALID",
        "a part of a FilterRel is missing",
    ),
    "a join of no kind": (plan(joined(literal(boolean=True), kind=0)), "INVALID", "a JoinRel is of no kind that there is"),
    "a join of an unknown kind": (plan(joined(literal(boolean=True), kind=99)), "INVALID", "a JoinRel is of no kind that there is"),
    "a join by a number": (plan(joined(column(0))), "INVALID", "Join condition must be boolean type, but got Int64"),
    "a join that is filtered": (plan(joined(literal(boolean=True), post_join_filter=literal(boolean=True))), "UNSUPPORTED", "post_join_filter"),
    "an order of no direction": (sorted_by(column(0), direction=0), "INVALID", "a sort field has no direction"),
    "an order of an unknown direction": (sorted_by(column(0), direction=99), "INVALID", "a sort field has no direction"),
    "a clustered order": (sorted_by(column(0), direction=5), "UNSUPPORTED", "clustered"),
    "an order by a function of the client": (sorted_by(column(0), comparison_function_reference=1), "UNSUPPORTED", "comparison function"),
    "a set of no kind": (set_of(0, read("numbers"), read("numbers")), "INVALID", "a SetRel is of no kind that there is"),
    "a set of one": (set_of(6, read("numbers")), "INVALID", "a SetRel has 1 inputs, and takes two or more"),
    "a set of none": (set_of(6), "INVALID", "a SetRel has 0 inputs, and takes two or more"),
    "a set of different widths": (
        set_of(6, read("numbers"), read("numbers", big=i64())),
        "INVALID",
        "left has 2 columns whereas right has 1 columns",
    ),
    "a difference of different widths": (
        set_of(1, read("numbers"), read("numbers", big=i64())),
        "INVALID",
        "must have the same number of columns. Left is 2 and right is 1",
    ),
    "a column of an older time": (
        plan(read("numbers", big={"timestamp": {}})),
        "INVALID",
        "Field 'big' in Substrait schema has a different type (Timestamp(µs)) than the corresponding field in the table schema (Int64)",
    ),
    "an aggregate of nothing": (plan(aggregate()), "INVALID", "an AggregateRel has neither groupings nor measures"),
    "a grouping that is not there": (
        plan(aggregate([{"expression_references": [3]}], by=[column(0)])),
        "INVALID",
        "there is no grouping expression 3, only 1",
    ),
    "several groupings": (
        plan(aggregate([{"expression_references": [0]}, {}], [measure(0)], by=[column(0)]), "count"),
        "UNSUPPORTED",
        "an AggregateRel of several groupings",
    ),
    "a measure of nothing": (plan(aggregate([{}], [{}])), "INVALID", "a measure of an AggregateRel has no function"),
    "rows of different widths": (
        rows_of(named(a=i64(), b=i64()), [literal(i64=1), literal(i64=2)], [literal(i64=1)]),
        "INVALID",
        "a row of a VirtualTable has 1 values for 2 columns",
    ),
    "rows of other types than they say": (
        rows_of(named(a=i64()), [literal(string="x")]),
        "INVALID",
        "a row of a VirtualTable has a VARCHAR for the column 'a' of the type BIGINT",
    ),
    "rows that refer to columns": (rows_of(named(a=i64()), [column(0)]), "INVALID", "a row of a VirtualTable refers to a column"),
    "a read without columns": (
        plan(relation(read=algebra_pb2.ReadRel(named_table={"names": ["numbers"]}))),
        "INVALID",
        "a ReadRel has no base_schema",
    ),
    "more types than names": (
        plan(
            relation(
                read=algebra_pb2.ReadRel(base_schema={"names": ["big"], "struct": {"types": [i64(), i64()]}}, named_table={"names": ["numbers"]})
            )
        ),
        "INVALID",
        "a base_schema has 1 names, but its types take 2",
    ),
    "more names than types": (
        plan(
            relation(
                read=algebra_pb2.ReadRel(
                    base_schema={"names": ["big", "small", "x"], "struct": {"types": [i64()]}}, named_table={"names": ["numbers"]}
                )
            )
        ),
        "INVALID",
        "a base_schema has 3 names, but its types take 1",
    ),
    "a table without a name": (
        plan(relation(read=algebra_pb2.ReadRel(base_schema=named(**NUMBERS), named_table={}))),
        "INVALID",
        "is not the name of a table",
    ),
    "a column of a type of the client": (
        plan(read("numbers", big={"user_defined": {"type_reference": 4}})),
        "INVALID",
        "it uses the type with the anchor 4, which it does not declare",
    ),
    "a broadcast": (exchange(broadcast={}), "UNSUPPORTED", "an ExchangeRel of kind Broadcast"),
    "an exchange of no kind": (exchange(), "INVALID", "an ExchangeRel is of no kind"),
    "a limit that is a text": (
        plan(relation(fetch=algebra_pb2.FetchRel(input=read("numbers"), count_expr=literal(string="x")))),
        "INVALID",
        "Expected LIMIT to be an integer or null, but got Utf8",
    ),
    "two relations": (plan_pb2.Plan(relations=[plan_pb2.PlanRel(rel=read("numbers"))] * 2).SerializeToString(), "UNSUPPORTED", "2 relations"),
    "an empty relation of the plan": (plan_pb2.Plan(relations=[plan_pb2.PlanRel()]).SerializeToString(), "INVALID", "its relation is empty"),
    "a root of nothing": (
        plan_pb2.Plan(relations=[plan_pb2.PlanRel(root=algebra_pb2.RelRoot(names=["a"]))]).SerializeToString(),
        "INVALID",
        "its root has no input",
    ),
    "a relation that refers to itself": (plan(relation(reference={"subtree_ordinal": 0})), "UNSUPPORTED", "ReferenceRel"),
    "an enhancement of a relation": (plan(enhanced(read("numbers"))), "UNSUPPORTED", "an enhancement of type 'mine/enhancement'"),
    "five thousand columns": (computed(*[column(0)] * 5000), "INVALID", "5000 columns"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_plans(shop, driver, name):
    refused(shop, driver, *WRONG[name])


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


def test_nesting_that_decoders_allow_runs(driver):
    assert run(driver, nested(40)).num_rows == 2
