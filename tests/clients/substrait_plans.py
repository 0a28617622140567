"""Plans of Substrait made by hand, ways to send them, and what their answers are compared with."""

import re

import adbc_driver_flightsql.dbapi as dbapi
import pyarrow
import pytest
from datafusion.substrait import Producer
from substrait.gen.proto import algebra_pb2, plan_pb2, type_pb2
from substrait.gen.proto.extensions import extensions_pb2

from server import ARROW_STREAM

MEDIA_TYPE = "application/vnd.substrait.plan"
NULLABLE = type_pb2.Type.NULLABILITY_NULLABLE

SETUP = [
    "CREATE TABLE sales (id BIGINT, shop VARCHAR, amount DECIMAL(15, 2), day DATE, paid BOOLEAN, weight DOUBLE)",
    """INSERT INTO sales VALUES
        (1, 'north', 10.50, DATE '2024-01-01', true, 1.5), (2, 'south', 20.25, DATE '2024-02-01', false, NULL),
        (3, 'north', 5.00, DATE '2024-03-01', NULL, 0.0), (4, 'west', 7.75, DATE '2023-12-31', true, 'NaN'),
        (5, NULL, NULL, NULL, NULL, NULL), (6, 'south', 100.00, DATE '2024-06-15', false, 2.5)""",
    "CREATE TABLE numbers (big BIGINT, small INT)",
    "INSERT INTO numbers VALUES (9223372036854775807, 2147483647), (1, 1)",
    "CREATE TABLE visits (id BIGINT, at TIMESTAMP(6))",
    "INSERT INTO visits VALUES (1, TIMESTAMP '2024-01-01 10:00:00'), (2, TIMESTAMP '2024-03-01 10:00:00.000001'), (3, NULL)",
    "CREATE VIEW large AS SELECT id, shop, amount FROM sales WHERE amount > 10",
]


def connect(server, **options):
    return dbapi.connect(f"grpc://{server.address}", autocommit=True, db_kwargs=options)


def furnish(server):
    """Makes the tables of the tests, which they leave as they are."""
    for statement in SETUP:
        response = server.post(statement)
        assert response.status_code == 200, response.text


def planned(frame, context, optimized=False) -> bytes:
    plan = frame.optimized_logical_plan() if optimized else frame.logical_plan()
    return Producer.to_substrait_plan(plan, context).encode()


def run(connection, plan: bytes) -> pyarrow.Table:
    with connection.cursor() as cursor:
        cursor.execute(plan)
        return cursor.fetch_arrow_table()


def sql(connection, text: str) -> pyarrow.Table:
    with connection.cursor() as cursor:
        cursor.execute(text)
        return cursor.fetch_arrow_table()


def rows(table: pyarrow.Table) -> list[str]:
    # As text, because NaN is not equal to itself.
    return [repr(tuple(row.values())) for row in table.to_pylist()]


def same(connection, plan: bytes, text: str):
    """The plan answers as the SQL does: names, types and rows."""
    answer, expected = run(connection, plan), sql(connection, text)
    assert answer.schema.names == expected.schema.names
    assert answer.schema.types == expected.schema.types
    ordered = "ORDER BY" in text
    assert (rows(answer) if ordered else sorted(rows(answer))) == (rows(expected) if ordered else sorted(rows(expected)))
    return answer


def post(server, plan: bytes, query: str = "", **headers):
    headers = {"Content-Type": MEDIA_TYPE, "Accept": ARROW_STREAM} | headers
    return server.http.post(server.url(f"/v1/query{query}"), data=plan, headers=headers)


def i64() -> type_pb2.Type:
    return type_pb2.Type(i64=type_pb2.Type.I64(nullability=NULLABLE))


def i32() -> type_pb2.Type:
    return type_pb2.Type(i32=type_pb2.Type.I32(nullability=NULLABLE))


def string() -> type_pb2.Type:
    return type_pb2.Type(string=type_pb2.Type.String(nullability=NULLABLE))


def named(**types) -> type_pb2.NamedStruct:
    struct = type_pb2.Type.Struct(types=types.values(), nullability=type_pb2.Type.NULLABILITY_REQUIRED)
    return type_pb2.NamedStruct(names=types.keys(), struct=struct)


NUMBERS = {"big": i64(), "small": i32()}


def read(*names, **columns) -> algebra_pb2.Rel:
    table = algebra_pb2.ReadRel.NamedTable(names=names)
    return algebra_pb2.Rel(read=algebra_pb2.ReadRel(base_schema=named(**(columns or NUMBERS)), named_table=table))


def column(index: int) -> algebra_pb2.Expression:
    segment = algebra_pb2.Expression.ReferenceSegment(struct_field=algebra_pb2.Expression.ReferenceSegment.StructField(field=index))
    root = algebra_pb2.Expression.FieldReference.RootReference()
    return algebra_pb2.Expression(selection=algebra_pb2.Expression.FieldReference(direct_reference=segment, root_reference=root))


def literal(**value) -> algebra_pb2.Expression:
    return algebra_pb2.Expression(literal=algebra_pb2.Expression.Literal(**value))


def call(anchor: int, *arguments) -> algebra_pb2.Expression:
    arguments = [algebra_pb2.FunctionArgument(value=argument) for argument in arguments]
    return algebra_pb2.Expression(scalar_function=algebra_pb2.Expression.ScalarFunction(function_reference=anchor, arguments=arguments))


def project(source, *expressions, emit=None) -> algebra_pb2.Rel:
    width = len(source.read.base_schema.struct.types) if source.HasField("read") else 2
    mapping = range(width, width + len(expressions)) if emit is None else emit
    common = algebra_pb2.RelCommon(emit=algebra_pb2.RelCommon.Emit(output_mapping=mapping))
    return algebra_pb2.Rel(project=algebra_pb2.ProjectRel(common=common, input=source, expressions=expressions))


def plan(relation, *functions, names=()) -> bytes:
    declared = [
        extensions_pb2.SimpleExtensionDeclaration(
            extension_function=extensions_pb2.SimpleExtensionDeclaration.ExtensionFunction(function_anchor=anchor, name=name)
        )
        for anchor, name in enumerate(functions)
    ]
    root = algebra_pb2.RelRoot(input=relation, names=names)
    relations = [plan_pb2.PlanRel(root=root)] if names else [plan_pb2.PlanRel(rel=relation)]
    return plan_pb2.Plan(extensions=declared, relations=relations).SerializeToString()


def parameter(index: int) -> algebra_pb2.Expression:
    return algebra_pb2.Expression(dynamic_parameter=algebra_pb2.DynamicParameter(type=i64(), parameter_reference=index))


def insert(source, *names, op=algebra_pb2.WriteRel.WRITE_OP_INSERT, **columns) -> bytes:
    write = algebra_pb2.WriteRel(table_schema=named(**columns), op=op, input=source)
    write.named_table.names.extend(names)
    return plan(algebra_pb2.Rel(write=write), names=list(columns))


# Parts of plans that say what is wrong with them


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


STATUS = {"NOT_FOUND": 400, "INVALID": 400, "UNSUPPORTED": 501}


def refused(server, connection, plan: bytes, kind: str, words: str):
    """Both doors refuse the plan in these words, and the server goes on."""
    response = post(server, plan)
    document = response.json()
    assert response.status_code == STATUS[kind], document
    assert words in document["detail"], document
    assert len(document["detail"]) < 500
    with pytest.raises(dbapi.Error, match=re.escape(words)):
        run(connection, plan)
    assert server.value("SELECT 1") == 1
