"""Plans of Substrait made by hand, servers to send them to, and what their answers are compared with."""

import adbc_driver_flightsql.dbapi as dbapi
import pyarrow
import pyarrow.dataset
import pytest
from datafusion import SessionContext
from datafusion.substrait import Producer
from substrait.gen.proto import algebra_pb2, plan_pb2, type_pb2
from substrait.gen.proto.extensions import extensions_pb2

from server import ARROW_STREAM, serving

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
    "CREATE VIEW large AS SELECT id, shop, amount FROM sales WHERE amount > 10",
]


def connect(server, **options):
    return dbapi.connect(f"grpc://{server.address}", autocommit=True, db_kwargs=options)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A server with tables of the tests' own, which they leave as they are."""
    with serving(tmp_path_factory.mktemp("substrait")) as server:
        for statement in SETUP:
            response = server.post(statement)
            assert response.status_code == 200, response.text
        yield server


@pytest.fixture(scope="module")
def connection(shop):
    with connect(shop) as connection:
        yield connection


@pytest.fixture(scope="module")
def frames(shop, connection):
    """A DataFusion of the client's own that knows the tables of the server, all of them empty."""
    context = SessionContext()
    for name in ["sales", "numbers", "large"]:
        context.register_dataset(name, pyarrow.dataset.dataset(connection.adbc_get_table_schema(name).empty_table()))
    return context


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
