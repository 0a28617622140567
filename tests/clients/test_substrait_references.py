"""Plans that refer to columns that are not there, or name others than there are: which relation does it, and how many there are."""

import pytest
from substrait.gen.proto import algebra_pb2

from substrait_plans import (
    aggregate,
    call,
    column,
    computed,
    emitting,
    exchange,
    joined,
    literal,
    masked,
    measure,
    outer,
    plan,
    project,
    read,
    refused,
    relation,
    sorted_by,
    subquery,
    where,
)


BEYOND = {
    "a column beyond the last": (
        plan(project(read("numbers"), column(9)), names=["x"]),
        "INVALID",
        "a ProjectRel refers to column 9, counted from 0, but there are 2 columns",
    ),
    "an emitted column beyond the last": (
        plan(project(read("numbers"), column(0), emit=[99]), names=["x"]),
        "INVALID",
        "a ProjectRel emits its column 99, counted from 0, but it has 3 columns",
    ),
    "a negative emitted column": (plan(project(read("numbers"), column(0), emit=[-1]), names=["x"]), "INVALID", "emits its column -1"),
    "too few names": (plan(read("numbers"), names=["a"]), "INVALID", "its root has 1 names, but the columns of a ReadRel below it take 2"),
    "a column beyond the last in a filter": (
        where(call(0, column(5), literal(i64=1)), "equal"),
        "INVALID",
        "a FilterRel refers to column 5, counted from 0, but there are 2 columns",
    ),
    "a column beyond the last in an order": (sorted_by(column(2), direction=1), "INVALID", "a SortRel refers to column 2"),
    "a column beyond the last in a join": (
        plan(joined(call(0, column(0), column(3))), "equal"),
        "INVALID",
        "a JoinRel refers to column 3, counted from 0, but there are 3 columns",
    ),
    "a column beyond the last in a grouping": (
        plan(aggregate([{"expression_references": [0]}], by=[column(2)])),
        "INVALID",
        "an AggregateRel refers to column 2",
    ),
    "a column beyond the last in a measure": (plan(aggregate([{}], [measure(0, column(8))]), "sum"), "INVALID", "an AggregateRel refers to column 8"),
    "a column beyond the last in an exchange": (
        exchange(scatter_by_fields={"fields": [column(4).selection]}),
        "INVALID",
        "an ExchangeRel refers to column 4",
    ),
    "a column in a limit": (
        plan(relation(fetch=algebra_pb2.FetchRel(input=read("numbers"), count_expr=column(0)))),
        "INVALID",
        "a FetchRel refers to column 0, counted from 0, but there are 0 columns",
    ),
    "a negative column": (computed(column(-1)), "INVALID", "a ProjectRel refers to column -1"),
    "a column far below the relation it is in": (
        plan(
            project(relation(filter=algebra_pb2.FilterRel(input=project(read("numbers"), column(7)), condition=literal(boolean=True))), column(0)),
            names=["x"],
        ),
        "INVALID",
        "a ProjectRel refers to column 7",
    ),
    "a column of a query around it that is not there": (
        where(call(0, outer(0, 1), column(0)), "equal"),
        "INVALID",
        "a FilterRel refers to a query 1 steps out",
    ),
    "no steps out": (where(subquery(call(0, outer(0, 0), column(0))), "equal"), "INVALID", "a query 0 steps out"),
    "a chosen column beyond the last": (plan(masked(2)), "INVALID", "emits its column 2"),
    "a filter that emits beyond the last": (
        plan(emitting(relation(filter=algebra_pb2.FilterRel(input=read("numbers"), condition=literal(boolean=True))), 0, 2)),
        "INVALID",
        "a FilterRel emits its column 2, counted from 0, but it has 2 columns",
    ),
    "a join that emits beyond the last": (plan(emitting(joined(literal(boolean=True)), 3)), "INVALID", "a JoinRel emits its column 3"),
    "an aggregate that emits beyond the last": (
        plan(emitting(aggregate([{}], [measure(0)]), 1), "count"),
        "INVALID",
        "an AggregateRel emits its column 1",
    ),
    "too many names": (plan(read("numbers"), names=["a", "b", "c"]), "INVALID", "its root has 3 names, but the columns of a ReadRel below it take 2"),
    "names for a join that repeats its key": (
        plan(joined(call(0, column(0), column(2))), "equal", names=["big", "small"]),
        "INVALID",
        "its root has 2 names, but the columns of a JoinRel below it take 3",
    ),
}


@pytest.mark.parametrize("name", BEYOND)
def test_references_that_lead_nowhere(shop, driver, name):
    refused(shop, driver, *BEYOND[name])
