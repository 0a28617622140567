"""Plans by the messages of Flight SQL, without a driver."""

import contextlib
import re

import pyarrow
import pyarrow.flight
import pytest
from google.protobuf.any_pb2 import Any

from substrait_plans import plan, read, shop  # noqa: F401 - fixtures among them
from test_substrait_wrong import WRONG


URL = "type.googleapis.com/arrow.flight.protocol.sql."


def varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def command(name: str, body: bytes) -> bytes:
    return Any(type_url=URL + name, value=body).SerializeToString()


def substrait(bytes_: bytes) -> bytes:
    # CommandStatementSubstraitPlan { plan: SubstraitPlan { plan, version } }
    return command("CommandStatementSubstraitPlan", field(1, field(1, bytes_) + field(2, b"0.85.0")))


@pytest.fixture
def raw(shop):
    with contextlib.closing(pyarrow.flight.connect(f"grpc://{shop.address}")) as client:
        yield client


def test_flight_info_schema_and_rows(raw):
    descriptor = pyarrow.flight.FlightDescriptor.for_command(substrait(plan(read("numbers"))))
    info = raw.get_flight_info(descriptor)
    assert info.schema.names == raw.get_schema(descriptor).schema.names == ["big", "small"]
    assert raw.do_get(info.endpoints[0].ticket).read_all().num_rows == 2
    # Tickets of what only reads can be redeemed again.
    assert raw.do_get(info.endpoints[0].ticket).read_all().num_rows == 2


def test_flight_errors(raw):
    for bytes_, kind, _ in [WRONG["an unknown table"], WRONG["SQL"], WRONG["local files"]]:
        descriptor = pyarrow.flight.FlightDescriptor.for_command(substrait(bytes_))
        for ask in [raw.get_flight_info, raw.get_schema]:
            with pytest.raises((pyarrow.ArrowException, KeyError, NotImplementedError)):
                ask(descriptor)
    missing = pyarrow.flight.FlightDescriptor.for_command(command("CommandStatementSubstraitPlan", b""))
    with pytest.raises(pyarrow.ArrowInvalid, match="no plan"):
        raw.get_flight_info(missing)


def test_prepared_plans(raw):
    # ActionCreatePreparedSubstraitPlanRequest { plan: SubstraitPlan }
    body = command("ActionCreatePreparedSubstraitPlanRequest", field(1, field(1, plan(read("numbers")))))
    (result,) = raw.do_action(pyarrow.flight.Action("CreatePreparedSubstraitPlan", body))
    created = Any.FromString(result.body.to_pybytes())
    assert created.type_url == URL + "ActionCreatePreparedStatementResult"
    handle = created.value[2 : 2 + created.value[1]]
    for _ in range(2):
        descriptor = pyarrow.flight.FlightDescriptor.for_command(command("CommandPreparedStatementQuery", field(1, handle)))
        info = raw.get_flight_info(descriptor)
        assert raw.do_get(info.endpoints[0].ticket).read_all().num_rows == 2
    raw.do_action(pyarrow.flight.Action("ClosePreparedStatement", command("ActionClosePreparedStatementRequest", field(1, handle))))


def test_the_server_says_what_it_reads(raw):
    # FLIGHT_SQL_SERVER_SUBSTRAIT and the oldest and newest version, as a packed list of codes.
    body = command("CommandGetSqlInfo", field(1, bytes([5, 6, 7])))
    info = raw.get_flight_info(pyarrow.flight.FlightDescriptor.for_command(body))
    table = raw.do_get(info.endpoints[0].ticket).read_all()
    found = dict(zip(table["info_name"].to_pylist(), table["value"].to_pylist(), strict=True))
    assert found[5] is True
    assert re.fullmatch(r"0\.\d+\.\d+", found[6]) and re.fullmatch(r"0\.\d+\.\d+", found[7])
