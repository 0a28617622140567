"""Substrait plans that are wrong or odd: each is refused in words that say what is wrong, by either door, and the server goes on."""

import random
import re

import adbc_driver_flightsql.dbapi as dbapi
import pytest
from google.protobuf.any_pb2 import Any
from substrait.gen.proto import algebra_pb2, plan_pb2

from server import serving
from substrait_plans import NUMBERS, call, column, connect, furnish, i64, literal, named, plan, post, project, read, run, string


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A server with tables of the tests' own, which they leave as they are."""
    with serving(tmp_path_factory.mktemp("substrait")) as server:
        furnish(server)
        yield server


@pytest.fixture(scope="module")
def connection(shop):
    with connect(shop) as connection:
        yield connection


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
    "a function that is not declared": (plan(project(read("numbers"), call(7, column(0))), names=["x"]), "INVALID", "it calls the function with the anchor 7, which it does not declare"),
    "a column beyond the last": (plan(project(read("numbers"), column(9)), names=["x"]), "INVALID", "a ProjectRel refers to column 9, counted from 0, but there are 2 columns"),
    "an emitted column beyond the last": (plan(project(read("numbers"), column(0), emit=[99]), names=["x"]), "INVALID", "a ProjectRel emits its column 99, counted from 0, but it has 3 columns"),
    "a negative emitted column": (plan(project(read("numbers"), column(0), emit=[-1]), names=["x"]), "INVALID", "emits its column -1"),
    "too few names": (plan(read("numbers"), names=["a"]), "INVALID", "its root has 1 names, but the columns of a ReadRel below it take 2"),
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
def relation(**kind) -> algebra_pb2.Rel:
    return algebra_pb2.Rel(**kind)


def expression(**kind) -> algebra_pb2.Expression:
    return algebra_pb2.Expression(**kind)


def computed(*expressions, functions=(), source=None) -> bytes:
    """A plan that computes these from `numbers`."""
    return plan(project(source or read("numbers"), *expressions), *functions, names=[f"x{number}" for number in range(len(expressions))])


def where(condition, *functions) -> bytes:
    return plan(relation(filter=algebra_pb2.FilterRel(input=read("numbers"), condition=condition)), *functions)


def aggregate(groupings=(), measures=(), by=()) -> algebra_pb2.Rel:
    return relation(aggregate=algebra_pb2.AggregateRel(input=read("numbers"), groupings=groupings, measures=measures, grouping_expressions=by))


def measure(anchor: int, *arguments, **more) -> algebra_pb2.AggregateRel.Measure:
    arguments = [algebra_pb2.FunctionArgument(value=argument) for argument in arguments]
    return algebra_pb2.AggregateRel.Measure(measure=algebra_pb2.AggregateFunction(function_reference=anchor, arguments=arguments, **more))


def window(**more) -> algebra_pb2.Expression:
    arguments = [algebra_pb2.FunctionArgument(value=column(0))]
    return expression(window_function=algebra_pb2.Expression.WindowFunction(function_reference=0, arguments=arguments, **more))


def sorted_by(key, **how) -> bytes:
    return plan(relation(sort=algebra_pb2.SortRel(input=read("numbers"), sorts=[algebra_pb2.SortField(expr=key, **how)])))


def joined(condition=None, kind=algebra_pb2.JoinRel.JOIN_TYPE_INNER, **more) -> algebra_pb2.Rel:
    return relation(join=algebra_pb2.JoinRel(left=read("numbers"), right=read("sales", id=i64()), expression=condition, type=kind, **more))


def outer(index: int, steps: int) -> algebra_pb2.Expression:
    reference = column(index)
    reference.selection.outer_reference.steps_out = steps
    return reference


def subquery(condition) -> algebra_pb2.Expression:
    inner = relation(filter=algebra_pb2.FilterRel(input=read("numbers"), condition=condition))
    return expression(subquery={"set_predicate": {"predicate_op": "PREDICATE_OP_EXISTS", "tuples": inner}})


def emitting(source, *columns) -> algebra_pb2.Rel:
    kind = getattr(source, source.WhichOneof("rel_type"))
    kind.common.emit.output_mapping.extend(columns)
    return source


def masked(index: int) -> algebra_pb2.Rel:
    source = read("numbers")
    source.read.projection.select.struct_items.add(field=index)
    return source


def exchange(**kind) -> bytes:
    return plan(relation(exchange=algebra_pb2.ExchangeRel(input=read("numbers"), partition_count=2, **kind)))


def declaring(*declarations) -> bytes:
    return plan_pb2.Plan(extensions=declarations, relations=[plan_pb2.PlanRel(rel=read("numbers"))]).SerializeToString()


def function(anchor: int, name: str) -> dict:
    return {"extension_function": {"function_anchor": anchor, "name": name}}


def rows_of(columns, *rows) -> bytes:
    """A plan of rows that are written in it."""
    table = algebra_pb2.ReadRel.VirtualTable(expressions=[algebra_pb2.Expression.Nested.Struct(fields=fields) for fields in rows])
    return plan(relation(read=algebra_pb2.ReadRel(base_schema=columns, virtual_table=table)))


def set_of(op, *inputs) -> bytes:
    return plan(relation(set=algebra_pb2.SetRel(inputs=inputs, op=op)))


def enhanced(source) -> algebra_pb2.Rel:
    kind = getattr(source, source.WhichOneof("rel_type"))
    kind.advanced_extension.enhancement.type_url = "mine/enhancement"
    return source


FUNCTION = "the function with the anchor 7"
ODD = {
    "two functions of one anchor": (declaring(function(3, "add"), function(3, "subtract")), "INVALID", "two functions with the anchor 3"),
    "an extension of nothing": (declaring({}), "INVALID", "declares nothing"),
    "a type variation": (declaring({"extension_type_variation": {"type_variation_anchor": 1, "name": "mine"}}), "UNSUPPORTED", "type variation 'mine'"),
    "an aggregate function that is not declared": (plan(aggregate([{}], [measure(7)])), "INVALID", FUNCTION),
    "a window function that is not declared": (computed(window()), "INVALID", "the function with the anchor 0"),
    "an unknown aggregate function": (plan(aggregate([{}], [measure(0, column(0))]), "summ"), "NOT_FOUND", "function 'summ' not found"),
    "an unknown window function": (computed(window(), functions=["rank_it"]), "NOT_FOUND", "function 'rank_it' not found"),
    "an aggregate function for each row": (computed(call(0, column(0)), functions=["sum:i64"]), "NOT_FOUND", "function 'sum' not found"),
    "a function of a row over many": (plan(aggregate([{}], [measure(0, column(0))]), "abs"), "NOT_FOUND", "function 'abs' not found"),
    "too few arguments of an operator": (computed(call(0, column(0)), functions=["add"]), "INVALID", "?"),
    "too many arguments of NOT": (computed(call(0, column(0), column(1)), functions=["not"]), "INVALID", "?"),
    "no arguments": (computed(call(0), functions=["abs"]), "INVALID", "?"),
    "too many arguments": (computed(call(0, column(0), column(1), column(1)), functions=["abs"]), "INVALID", "?"),
    "arguments of other types": (computed(call(0, literal(string="x"), literal(boolean=True)), functions=["add"]), "INVALID", "?"),
    "one bound of BETWEEN": (computed(call(0, column(0), column(1)), functions=["between"]), "INVALID", "?"),
    "no pattern of LIKE": (computed(call(0, literal(string="x")), functions=["like"]), "INVALID", "?"),
    "an empty argument": (
        computed(expression(scalar_function={"function_reference": 0, "arguments": [{}]}), functions=["abs"]),
        "INVALID",
        "an argument of a function is empty",
    ),
    "an option that is not known": (
        computed(expression(scalar_function={"function_reference": 0, "arguments": [{"value": column(0)}], "options": [{"name": "rounding", "preference": ["UP"]}]}), functions=["abs"]),
        "UNSUPPORTED",
        "the option 'rounding' of a function, as UP",
    ),
    "silent overflow": (
        plan(aggregate([{}], [measure(0, column(0), options=[{"name": "overflow", "preference": ["SILENT", "SATURATE"]}])]), "sum"),
        "UNSUPPORTED",
        "the option 'overflow' of a function, as SILENT or SATURATE",
    ),
    "a column beyond the last in a filter": (where(call(0, column(5), literal(i64=1)), "equal"), "INVALID", "a FilterRel refers to column 5, counted from 0, but there are 2 columns"),
    "a column beyond the last in an order": (sorted_by(column(2), direction=1), "INVALID", "a SortRel refers to column 2"),
    "a column beyond the last in a join": (plan(joined(call(0, column(0), column(3))), "equal"), "INVALID", "a JoinRel refers to column 3, counted from 0, but there are 3 columns"),
    "a column beyond the last in a grouping": (plan(aggregate([{"expression_references": [0]}], by=[column(2)])), "INVALID", "an AggregateRel refers to column 2"),
    "a column beyond the last in a measure": (plan(aggregate([{}], [measure(0, column(8))]), "sum"), "INVALID", "an AggregateRel refers to column 8"),
    "a column beyond the last in an exchange": (exchange(scatter_by_fields={"fields": [column(4).selection]}), "INVALID", "an ExchangeRel refers to column 4"),
    "a column in a limit": (plan(relation(fetch=algebra_pb2.FetchRel(input=read("numbers"), count_expr=column(0)))), "INVALID", "a FetchRel refers to column 0, counted from 0, but there are 0 columns"),
    "a negative column": (computed(column(-1)), "INVALID", "a ProjectRel refers to column -1"),
    "a column far below the relation it is in": (
        plan(project(relation(filter=algebra_pb2.FilterRel(input=project(read("numbers"), column(7)), condition=literal(boolean=True))), column(0)), names=["x"]),
        "INVALID",
        "a ProjectRel refers to column 7",
    ),
    "a column of a query around it that is not there": (where(call(0, outer(0, 1), column(0)), "equal"), "INVALID", "a FilterRel refers to a query 1 steps out"),
    "a column of the query around it beyond the last": (where(subquery(call(0, outer(6, 1), column(0))), "equal"), "INVALID", "refers to column 6 of the query around it, counted from 0, but there are 2 columns"),
    "no steps out": (where(subquery(call(0, outer(0, 0), column(0))), "equal"), "INVALID", "a query 0 steps out"),
    "a chosen column beyond the last": (plan(masked(2)), "INVALID", "emits its column 2"),
    "a filter that emits beyond the last": (plan(emitting(relation(filter=algebra_pb2.FilterRel(input=read("numbers"), condition=literal(boolean=True))), 0, 2)), "INVALID", "a FilterRel emits its column 2, counted from 0, but it has 2 columns"),
    "a join that emits beyond the last": (plan(emitting(joined(literal(boolean=True)), 3)), "INVALID", "a JoinRel emits its column 3"),
    "an aggregate that emits beyond the last": (plan(emitting(aggregate([{}], [measure(0)]), 1), "count"), "INVALID", "an AggregateRel emits its column 1"),
    "a literal of nothing": (computed(literal()), "INVALID", "?"),
    "a decimal of three bytes": (computed(literal(decimal={"value": b"abc", "precision": 5, "scale": 2})), "INVALID", "?"),
    "a decimal of a thousand digits": (computed(literal(decimal={"value": bytes(16), "precision": 1000, "scale": 2})), "INVALID", "?"),
    "a decimal with more scale than precision": (computed(literal(decimal={"value": bytes(16), "precision": 2, "scale": 30})), "INVALID", "?"),
    "a UUID of three bytes": (computed(literal(uuid=b"abc")), "UNSUPPORTED", "?"),
    "a timestamp of precision 99": (computed(literal(precision_timestamp={"precision": 99, "value": 1})), "INVALID", "?"),
    "an interval of precision 99": (computed(literal(interval_day_to_second={"days": 1, "precision": 99})), "INVALID", "?"),
    "a list of nothing": (computed(literal(list={})), "INVALID", "?"),
    "an empty list without a type": (computed(literal(empty_list={})), "INVALID", "?"),
    "NULL without a type": (computed(literal(null={})), "INVALID", "?"),
    "NULL of a type of the client": (computed(literal(null={"user_defined": {"type_reference": 4}})), "INVALID", "?"),
    "a literal of the client": (computed(literal(user_defined={"type_reference": 4})), "INVALID", "?"),
    "a literal of a variation": (computed(literal(i64=1, type_variation_reference=77)), "INVALID", "?"),
    "a map whose key is nothing": (computed(literal(map={"key_values": [{}]})), "INVALID", "?"),
    "a cast to nothing": (computed(expression(cast={"input": column(0)})), "INVALID", "?"),
    "a cast of nothing": (computed(expression(cast={"type": i64()})), "INVALID", "a part of a Cast is missing"),
    "a cast to a type of the client": (computed(expression(cast={"input": column(0), "type": {"user_defined": {"type_reference": 4}}})), "INVALID", "?"),
    "a cast to an impossible decimal": (computed(expression(cast={"input": column(0), "type": {"decimal": {"precision": 99, "scale": 99}}})), "INVALID", "?"),
    "a choice of nothing": (computed(expression(if_then={})), "INVALID", "?"),
    "a choice without a result": (computed(expression(if_then={"ifs": [{"if": literal(boolean=True), "then": literal(i64=1)}, {"if": literal(boolean=True)}]})), "INVALID", "a part of an IfThen is missing"),
    "one of a list of nothing": (computed(expression(singular_or_list={"options": [literal(i64=1)]})), "INVALID", "a part of a SingularOrList is missing"),
    "a subquery of nothing": (computed(expression(subquery={"scalar": {}})), "INVALID", "scalar Subquery has no input"),
    "a subquery of no kind": (computed(expression(subquery={})), "INVALID", "a Subquery is of no kind"),
    "a subquery as a value with two columns": (computed(expression(subquery={"scalar": {"input": read("numbers")}})), "INVALID", "?"),
    "IN of two values": (where(expression(subquery={"in_predicate": {"needles": [column(0), column(1)], "haystack": read("numbers")}})), "INVALID", "?"),
    "a predicate of no kind": (where(expression(subquery={"set_predicate": {"tuples": read("numbers")}})), "INVALID", "?"),
    "a comparison of no kind": (where(expression(subquery={"set_comparison": {"left": column(0), "right": read("numbers", big=i64())}})), "INVALID", "?"),
    "a nested expression of no kind": (computed(expression(nested={})), "INVALID", "a Nested expression is of no kind"),
    "an expression of no kind": (computed(expression()), "INVALID", "an expression is of no kind"),
    "a reference to nothing": (computed(expression(selection={})), "UNSUPPORTED", "?"),
    "a masked reference": (computed(expression(selection={"masked_reference": {}, "root_reference": {}})), "UNSUPPORTED", "?"),
    "a filter by a number": (where(column(0)), "INVALID", "?"),
    "a filter without a condition": (plan(relation(filter=algebra_pb2.FilterRel(input=read("numbers")))), "INVALID", "?"),
    "a join of no kind": (plan(joined(literal(boolean=True), kind=0)), "INVALID", "?"),
    "a join of an unknown kind": (plan(joined(literal(boolean=True), kind=99)), "INVALID", "?"),
    "a join by a number": (plan(joined(column(0))), "INVALID", "?"),
    "a join that is filtered": (plan(joined(literal(boolean=True), post_join_filter=literal(boolean=True))), "UNSUPPORTED", "post_join_filter"),
    "an order of no direction": (sorted_by(column(0), direction=0), "INVALID", "a sort field has no direction"),
    "an order of an unknown direction": (sorted_by(column(0), direction=99), "INVALID", "a sort field has no direction"),
    "a clustered order": (sorted_by(column(0), direction=5), "UNSUPPORTED", "clustered"),
    "an order by a function of the client": (sorted_by(column(0), comparison_function_reference=1), "UNSUPPORTED", "comparison function"),
    "a set of no kind": (set_of(0, read("numbers"), read("numbers")), "UNSUPPORTED", "?"),
    "a set of one": (set_of(6, read("numbers")), "INVALID", "?"),
    "a set of none": (set_of(6), "INVALID", "?"),
    "a set of different widths": (set_of(6, read("numbers"), read("numbers", big=i64())), "INVALID", "?"),
    "an aggregate of nothing": (plan(aggregate()), "INVALID", "?"),
    "a grouping that is not there": (plan(aggregate([{"expression_references": [3]}], by=[column(0)])), "INVALID", "there is no grouping expression 3, only 1"),
    "several groupings": (
        plan(aggregate([{"expression_references": [0]}, {}], [measure(0)], by=[column(0)]), "count"),
        "UNSUPPORTED",
        "an AggregateRel of several groupings",
    ),
    "a measure of nothing": (plan(aggregate([{}], [{}])), "INVALID", "a measure of an AggregateRel has no function"),
    "half an aggregate": (plan(aggregate([{}], [measure(0, column(0), phase="AGGREGATION_PHASE_INITIAL_TO_INTERMEDIATE")]), "sum"), "UNSUPPORTED", "AGGREGATION_PHASE_INITIAL_TO_INTERMEDIATE"),
    "a window of distinct values": (computed(window(invocation="AGGREGATION_INVOCATION_DISTINCT"), functions=["count"]), "UNSUPPORTED", "a WindowFunction of distinct values"),
    "a window before its row by -5": (computed(window(bounds_type=1, lower_bound={"preceding": {"offset": -5}}), functions=["sum"]), "INVALID", "?"),
    "a window with bounds of an unknown type": (computed(window(bounds_type=99), functions=["sum"]), "INVALID", "?"),
    "a window with a bound of no kind": (computed(window(lower_bound={}), functions=["sum"]), "INVALID", "?"),
    "rows of different widths": (rows_of(named(a=i64(), b=i64()), [literal(i64=1), literal(i64=2)], [literal(i64=1)]), "INVALID", "?"),
    "rows of other types than they say": (rows_of(named(a=i64()), [literal(string="x")]), "INVALID", "?"),
    "rows that refer to columns": (rows_of(named(a=i64()), [column(0)]), "INVALID", "?"),
    "a read without columns": (plan(relation(read=algebra_pb2.ReadRel(named_table={"names": ["numbers"]}))), "INVALID", "?"),
    "more types than names": (plan(relation(read=algebra_pb2.ReadRel(base_schema={"names": ["big"], "struct": {"types": [i64(), i64()]}}, named_table={"names": ["numbers"]}))), "INVALID", "?"),
    "more names than types": (plan(relation(read=algebra_pb2.ReadRel(base_schema={"names": ["big", "small", "x"], "struct": {"types": [i64()]}}, named_table={"names": ["numbers"]}))), "INVALID", "?"),
    "a table without a name": (plan(relation(read=algebra_pb2.ReadRel(base_schema=named(**NUMBERS), named_table={}))), "INVALID", "is not the name of a table"),
    "a column of a type of the client": (plan(read("numbers", big={"user_defined": {"type_reference": 4}})), "INVALID", "?"),
    "a broadcast": (exchange(broadcast={}), "UNSUPPORTED", "an ExchangeRel of kind Broadcast"),
    "an exchange of no kind": (exchange(), "INVALID", "an ExchangeRel is of no kind"),
    "a limit that is a text": (plan(relation(fetch=algebra_pb2.FetchRel(input=read("numbers"), count_expr=literal(string="x")))), "INVALID", "?"),
    "a parameter beyond any": (computed(expression(dynamic_parameter={"type": i64(), "parameter_reference": 4_294_967_295})), "INVALID", "?"),
    "too many names": (plan(read("numbers"), names=["a", "b", "c"]), "INVALID", "its root has 3 names, but the columns of a ReadRel below it take 2"),
    "names for a join that repeats its key": (plan(joined(call(0, column(0), column(2))), "equal", names=["big", "small"]), "INVALID", "its root has 2 names, but the columns of a JoinRel below it take 3"),
    "two relations": (plan_pb2.Plan(relations=[plan_pb2.PlanRel(rel=read("numbers"))] * 2).SerializeToString(), "UNSUPPORTED", "2 relations"),
    "an empty relation of the plan": (plan_pb2.Plan(relations=[plan_pb2.PlanRel()]).SerializeToString(), "INVALID", "its relation is empty"),
    "a root of nothing": (plan_pb2.Plan(relations=[plan_pb2.PlanRel(root=algebra_pb2.RelRoot(names=["a"]))]).SerializeToString(), "INVALID", "its root has no input"),
    "a relation that refers to itself": (plan(relation(reference={"subtree_ordinal": 0})), "UNSUPPORTED", "ReferenceRel"),
    "an enhancement of a relation": (plan(enhanced(read("numbers"))), "UNSUPPORTED", "an enhancement of type 'mine/enhancement'"),
    "five thousand columns": (computed(*[column(0)] * 5000), "INVALID", "5000 columns"),
}
STATUS = {"NOT_FOUND": 400, "INVALID": 400, "UNSUPPORTED": 501}


@pytest.mark.parametrize("name", WRONG | ODD)
def test_wrong_plans(shop, connection, name):
    bytes_, kind, words = (WRONG | ODD)[name]
    response = post(shop, bytes_)
    document = response.json()
    assert response.status_code == STATUS[kind], document
    assert words in document["detail"], document
    assert len(document["detail"]) < 500
    with pytest.raises(dbapi.Error, match=re.escape(words)):
        run(connection, bytes_)
    assert shop.value("SELECT 1") == 1


def test_names_that_were_meant(shop):
    assert post(shop, plan(read("number"))).json()["did_you_mean"] == ["numbers"]
    unknown = plan(project(read("numbers"), call(0, column(0))), "abss:i64", names=["x"])
    assert "abs" in post(shop, unknown).json()["did_you_mean"]


def test_nesting_that_decoders_allow_runs(connection):
    assert run(connection, nested(40)).num_rows == 2
