"""Expressions of plans: calls, literals, types and subqueries that can not be, or that nothing here reads, told by name."""

import datetime
import decimal

import pytest
from substrait.gen.proto import algebra_pb2

from substrait_plans import (
    aggregate,
    call,
    column,
    computed,
    expression,
    i64,
    literal,
    measure,
    plan,
    project,
    read,
    refused,
    run,
    where,
    window,
)


FUNCTION = "it calls the function with the anchor 7, which it does not declare"
WRONG = {
    "an unknown function": (
        plan(project(read("numbers"), call(0, column(0))), "absolute:i64", names=["x"]),
        "NOT_FOUND",
        "function 'absolute' not found",
    ),
    "a function that is not declared": (plan(project(read("numbers"), call(7, column(0))), names=["x"]), "INVALID", FUNCTION),
    "an expression": (plan(project(read("numbers"), algebra_pb2.Expression(multi_or_list={})), names=["x"]), "UNSUPPORTED", "MultiOrList"),
    "an aggregate function that is not declared": (plan(aggregate([{}], [measure(7)])), "INVALID", FUNCTION),
    "a window function that is not declared": (computed(window()), "INVALID", "the function with the anchor 0"),
    "an unknown aggregate function": (plan(aggregate([{}], [measure(0, column(0))]), "summ"), "NOT_FOUND", "function 'summ' not found"),
    "an unknown window function": (computed(window(), functions=["rank_it"]), "NOT_FOUND", "function 'rank_it' not found"),
    "an aggregate function for each row": (computed(call(0, column(0)), functions=["sum:i64"]), "NOT_FOUND", "function 'sum' not found"),
    "a function of a row over many": (plan(aggregate([{}], [measure(0, column(0))]), "abs"), "NOT_FOUND", "function 'abs' not found"),
    "too few arguments of an operator": (
        computed(call(0, column(0)), functions=["add"]),
        "INVALID",
        "it calls 'add' with 1 arguments, which takes 2 or more",
    ),
    "too many arguments of NOT": (
        computed(call(0, column(0), column(1)), functions=["not"]),
        "INVALID",
        "it calls 'not' with 2 arguments, which takes 1",
    ),
    "no arguments": (computed(call(0), functions=["abs"]), "INVALID", "function abs does not accept ()"),
    "too many arguments": (
        computed(call(0, column(0), column(1), column(1)), functions=["abs"]),
        "INVALID",
        "function abs does not accept (BIGINT, INTEGER, INTEGER)",
    ),
    "arguments of other types": (
        computed(call(0, literal(string="x"), literal(boolean=True)), functions=["add"]),
        "INVALID",
        "Cannot coerce arithmetic expression Utf8 + Boolean to valid types",
    ),
    "one bound of BETWEEN": (
        computed(call(0, column(0), column(1)), functions=["between"]),
        "INVALID",
        "it calls 'between' with 2 arguments, which takes 3",
    ),
    "no pattern of LIKE": (computed(call(0, literal(string="x")), functions=["like"]), "INVALID", "it calls 'like' with 1 arguments, which takes 2"),
    "an empty argument": (
        computed(expression(scalar_function={"function_reference": 0, "arguments": [{}]}), functions=["abs"]),
        "INVALID",
        "an argument of a function is empty",
    ),
    "an option that is not known": (
        computed(
            expression(
                scalar_function={
                    "function_reference": 0,
                    "arguments": [{"value": column(0)}],
                    "options": [{"name": "rounding", "preference": ["UP"]}],
                }
            ),
            functions=["abs"],
        ),
        "UNSUPPORTED",
        "the option 'rounding' of a function, as UP",
    ),
    "silent overflow": (
        plan(aggregate([{}], [measure(0, column(0), options=[{"name": "overflow", "preference": ["SILENT", "SATURATE"]}])]), "sum"),
        "UNSUPPORTED",
        "the option 'overflow' of a function, as SILENT or SATURATE",
    ),
    "a literal of nothing": (computed(literal()), "INVALID", "a literal is of no kind"),
    "a decimal of three bytes": (
        computed(literal(decimal={"value": b"abc", "precision": 5, "scale": 2})),
        "INVALID",
        "a decimal literal has 3 bytes in the place of 16",
    ),
    "a decimal of a thousand digits": (
        computed(literal(decimal={"value": bytes(16), "precision": 1000, "scale": 2})),
        "INVALID",
        "it has a decimal(1000, 2): the precision is 1 to 38",
    ),
    "a decimal with more scale than precision": (
        computed(literal(decimal={"value": bytes(16), "precision": 2, "scale": 30})),
        "INVALID",
        "it has a decimal(2, 30): the precision is 1 to 38, and the scale 0 to the precision",
    ),
    "a UUID of three bytes": (computed(literal(uuid=b"abc")), "UNSUPPORTED", "a literal of the type uuid"),
    "a timestamp of precision 99": (
        computed(literal(precision_timestamp={"precision": 99, "value": 1})),
        "UNSUPPORTED",
        "the precision 99 of a precision_timestamp",
    ),
    "an interval of precision 99": (
        computed(literal(interval_day_to_second={"days": 1, "precision": 99})),
        "UNSUPPORTED",
        "the precision 99 of an interval_day_to_second",
    ),
    "a list of nothing": (computed(literal(list={})), "INVALID", "a list literal is empty"),
    "an empty list without a type": (computed(literal(empty_list={})), "INVALID", "the item of a list has no type"),
    "NULL without a type": (computed(literal(null={})), "INVALID", "a type is of no kind"),
    "NULL of a type of the client": (
        computed(literal(null={"user_defined": {"type_reference": 4}})),
        "INVALID",
        "it uses the type with the anchor 4, which it does not declare",
    ),
    "a literal of the client": (
        computed(literal(user_defined={"type_reference": 4})),
        "INVALID",
        "it uses the type with the anchor 4, which it does not declare",
    ),
    "a literal of a variation": (
        computed(literal(i64=1, type_variation_reference=77)),
        "UNSUPPORTED",
        "the variation 77 of a literal of the type i64",
    ),
    "a map whose key is nothing": (computed(literal(map={"key_values": [{}]})), "INVALID", "an entry of a map has no key"),
    "a cast to nothing": (computed(expression(cast={"input": column(0)})), "INVALID", "a Cast has no type"),
    "a cast of nothing": (computed(expression(cast={"type": i64()})), "INVALID", "a part of a Cast is missing"),
    "a cast to a type of the client": (
        computed(expression(cast={"input": column(0), "type": {"user_defined": {"type_reference": 4}}})),
        "INVALID",
        "it uses the type with the anchor 4, which it does not declare",
    ),
    "a cast to an impossible decimal": (
        computed(expression(cast={"input": column(0), "type": {"decimal": {"precision": 99, "scale": 99}}})),
        "INVALID",
        "it has a decimal(99, 99)",
    ),
    "a choice of nothing": (computed(expression(if_then={})), "INVALID", "an IfThen has no clause with a result"),
    "a choice without a result": (
        computed(expression(if_then={"ifs": [{"if": literal(boolean=True), "then": literal(i64=1)}, {"if": literal(boolean=True)}]})),
        "INVALID",
        "a part of an IfThen is missing",
    ),
    "one of a list of nothing": (
        computed(expression(singular_or_list={"options": [literal(i64=1)]})),
        "INVALID",
        "a part of a SingularOrList is missing",
    ),
    "a subquery of nothing": (computed(expression(subquery={"scalar": {}})), "INVALID", "scalar Subquery has no input"),
    "a subquery of no kind": (computed(expression(subquery={})), "INVALID", "a Subquery is of no kind"),
    "a subquery as a value with two columns": (
        computed(expression(subquery={"scalar": {"input": read("numbers")}})),
        "INVALID",
        "should only return one column, but found 2: numbers.big, numbers.small",
    ),
    "IN of two values": (
        where(expression(subquery={"in_predicate": {"needles": [column(0), column(1)], "haystack": read("numbers")}})),
        "UNSUPPORTED",
        "a Subquery of IN for 2 values",
    ),
    "a predicate of no kind": (where(expression(subquery={"set_predicate": {"tuples": read("numbers")}})), "INVALID", "a SetPredicate is of no kind"),
    "a comparison of no kind": (
        where(expression(subquery={"set_comparison": {"left": column(0), "right": read("numbers", big=i64())}})),
        "INVALID",
        "a SetComparison does not say how it compares",
    ),
    "a nested expression of no kind": (computed(expression(nested={})), "INVALID", "a Nested expression is of no kind"),
    "an expression of no kind": (computed(expression()), "INVALID", "an expression is of no kind"),
    "a reference to nothing": (computed(expression(selection={})), "INVALID", "a reference is to nothing"),
    "a masked reference": (computed(expression(selection={"masked_reference": {}, "root_reference": {}})), "UNSUPPORTED", "a MaskedReference"),
    "half an aggregate": (
        plan(aggregate([{}], [measure(0, column(0), phase="AGGREGATION_PHASE_INITIAL_TO_INTERMEDIATE")]), "sum"),
        "UNSUPPORTED",
        "AGGREGATION_PHASE_INITIAL_TO_INTERMEDIATE",
    ),
    "a window of distinct values": (
        computed(window(invocation="AGGREGATION_INVOCATION_DISTINCT"), functions=["count"]),
        "UNSUPPORTED",
        "a WindowFunction of distinct values",
    ),
    "a window before its row by -5": (
        computed(window(bounds_type=1, lower_bound={"preceding": {"offset": -5}}), functions=["sum"]),
        "INVALID",
        "the lower bound of a WindowFunction is -5 preceding, which is not positive",
    ),
    "a window with bounds of an unknown type": (
        computed(window(bounds_type=99), functions=["sum"]),
        "INVALID",
        "bounds of the type 99, which there is not",
    ),
    "a window with a bound of no kind": (
        computed(window(lower_bound={}), functions=["sum"]),
        "INVALID",
        "the lower bound of a WindowFunction is of no kind",
    ),
    "a parameter beyond any": (
        computed(expression(dynamic_parameter={"type": i64(), "parameter_reference": 4_294_967_295})),
        "INVALID",
        "it has no parameter 4294967295",
    ),
    "an i8 of 300": (computed(literal(i8=300)), "INVALID", "a literal of the type i8 is 300"),
    "an i16 of -40000": (computed(literal(i16=-40_000)), "INVALID", "a literal of the type i16 is -40000"),
    "a decimal of more digits than its type": (
        computed(literal(decimal={"value": (12345).to_bytes(16, "little"), "precision": 3, "scale": 1})),
        "INVALID",
        "a decimal literal has more digits than its type, decimal(3, 1)",
    ),
    "a time after midnight": (computed(literal(precision_time={"precision": 3, "value": 86_400_000})), "INVALID", "which is not within a day"),
    "an interval finer than it is held": (
        computed(literal(interval_day_to_second={"precision": 6, "subseconds": 1})),
        "UNSUPPORTED",
        "an interval_day_to_second finer than milliseconds",
    ),
    "an interval of 70 years in seconds": (
        computed(literal(interval_day_to_second={"precision": 0, "seconds": 2_147_483_647})),
        "INVALID",
        "an interval of 2147483647 seconds is too long",
    ),
    "an interval of two billion years": (
        computed(literal(interval_year_to_month={"years": 2_000_000_000})),
        "INVALID",
        "an interval of 2000000000 years is too long",
    ),
    "half a compound interval": (computed(literal(interval_compound={"interval_year_to_month": {"years": 1}})), "INVALID", "needs both of its parts"),
    "a list of several types": (
        computed(literal(list={"values": [{"i64": 1}, {"string": "x"}]})),
        "INVALID",
        "the items of a list literal are of several types",
    ),
    "a map with the key NULL": (
        computed(literal(map={"key_values": [{"key": {"null": i64()}, "value": {"i64": 1}}]})),
        "INVALID",
        "a key of a map is NULL",
    ),
    "a field within a column": (
        computed(
            expression(selection={"direct_reference": {"struct_field": {"field": 0, "child": {"struct_field": {"field": 0}}}}, "root_reference": {}})
        ),
        "UNSUPPORTED",
        "a reference to a field within a column",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_expressions(shop, driver, name):
    refused(shop, driver, *WRONG[name])


# Literals in forms of their own, and what they are.
RIGHT = {
    "the least i8": (literal(i8=-128), -128),
    "a text of bounded length": (literal(var_char={"value": "x", "length": 1}), "x"),
    "a decimal": (literal(decimal={"value": (-12345).to_bytes(16, "little", signed=True), "precision": 5, "scale": 2}), decimal.Decimal("-123.45")),
    "a list with NULL": (literal(list={"values": [{"null": i64()}, {"i64": 2}]}), [None, 2]),
    "an older timestamp": (literal(timestamp=1_704_067_200_000_001), datetime.datetime(2024, 1, 1, microsecond=1)),
    "an older timestamp of a zone": (literal(timestamp_tz=1_704_067_200_000_001), datetime.datetime(2024, 1, 1, microsecond=1, tzinfo=datetime.UTC)),
    "an older time": (literal(time=3_600_000_001), datetime.time(1, microsecond=1)),
    "a time in milliseconds": (literal(precision_time={"precision": 3, "value": 3_600_001}), datetime.time(1, microsecond=1000)),
    "a time in microseconds": (literal(precision_time={"precision": 6, "value": 3_600_000_001}), datetime.time(1, microsecond=1)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_literals(driver, name):
    value, expected = RIGHT[name]
    assert run(driver, computed(value)).column(0).to_pylist() == [expected] * 2
