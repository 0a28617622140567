"""Flight SQL by hand: its messages byte by byte, and a client that sends what no library would."""

import base64
import contextlib
import io
import struct

import adbc_driver_flightsql.dbapi
import grpc
import pyarrow
import pyarrow.flight
import pyarrow.ipc
import pytest

SERVICE = "/arrow.flight.protocol.FlightService/"
SQL = "type.googleapis.com/arrow.flight.protocol.sql."
CONTINUATION = b"\xff\xff\xff\xff"
PATH_DESCRIPTOR, COMMAND_DESCRIPTOR = 1, 2
CANCELLED, NOT_CANCELLABLE = 1, 3


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def message(fields: dict) -> bytes:
    """A protobuf message: values by field number; a list is a repeated field, None is left out, nested messages are bytes."""
    parts = []
    for number, values in fields.items():
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, int):
                parts.append(varint(number << 3) + varint(value))
            elif isinstance(value, float):
                parts.append(varint(number << 3 | 1) + struct.pack("<d", value))
            elif value is not None:
                data = value.encode() if isinstance(value, str) else bytes(value)
                parts.append(varint(number << 3 | 2) + varint(len(data)) + data)
    return b"".join(parts)


class Message:
    """A protobuf message that was received: numbers, floats of 64 bits, and bytes, by field number."""

    def __init__(self, data: bytes):
        self.fields, at = {}, 0

        def number():
            nonlocal at
            value = shift = 0
            while True:
                byte = data[at]
                at += 1
                value |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    return value

        while at < len(data):
            tag = number()
            kind = tag & 7
            if kind == 0:
                value = number()
            else:
                length = {1: 8, 5: 4}.get(kind) or number()
                value = data[at : at + length]
                at += length
                value = struct.unpack("<d", value)[0] if kind == 1 else value
            self.fields.setdefault(tag >> 3, []).append(value)

    def one(self, number: int, default=None):
        return self.fields.get(number, [default])[-1]

    def all(self, number: int) -> list:
        return self.fields.get(number, [])

    def text(self, number: int) -> str:
        return self.one(number, b"").decode()

    def signed(self, number: int) -> int:
        value = self.one(number, 0)
        return value - (1 << 64) if value >> 63 else value


def command(name: str, fields: dict | None = None) -> bytes:
    """A message of Flight SQL in its envelope."""
    return message({1: SQL + name, 2: message(fields or {})})


def unpack(data: bytes, name: str) -> Message:
    any_message = Message(data)
    assert any_message.text(1) == SQL + name
    return Message(any_message.one(2, b""))


def error_info(any_messages: list[bytes]) -> tuple[str, dict[str, str]]:
    """The code of an error and what else is told of it, from the `google.rpc.ErrorInfo` among its details."""
    envelopes = [Message(any_message) for any_message in any_messages]
    (info,) = [Message(one.one(2)) for one in envelopes if one.text(1) == "type.googleapis.com/google.rpc.ErrorInfo"]
    pairs = [Message(pair) for pair in info.all(3)]
    return info.text(1), {pair.text(1): pair.text(2) for pair in pairs}


@contextlib.contextmanager
def refused(code: grpc.StatusCode, *words: str):
    """The call fails with this code, and the message says these words."""
    with pytest.raises(grpc.RpcError) as caught:
        yield caught
    assert caught.value.code() == code, caught.value.details()
    for word in words:
        assert word in caught.value.details()


def details(error: grpc.RpcError) -> tuple[str, dict[str, str]]:
    """What `error_info` says, of a failed call."""
    trailer = dict(error.trailing_metadata())["grpc-status-details-bin"]
    return error_info(Message(trailer).all(3))


def schema_of(data: bytes) -> pyarrow.Schema:
    """A schema from an encapsulated IPC message."""
    assert data.startswith(CONTINUATION)
    return pyarrow.ipc.read_schema(pyarrow.py_buffer(data))


def flight_data(batches: list, descriptor: bytes) -> list[bytes]:
    """Batches as the messages of DoPut."""
    sink = io.BytesIO()
    with pyarrow.ipc.new_stream(sink, batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    messages = list(pyarrow.ipc.MessageReader.open_stream(sink.getvalue()))
    parts = [{2: part.metadata.to_pybytes(), 1000: part.body.to_pybytes() if part.body else b""} for part in messages]
    parts[0] = {1: descriptor} | parts[0]
    return [message(part) for part in parts]


def table_of(messages) -> pyarrow.Table:
    """The table in the messages of DoGet."""
    stream = io.BytesIO()
    for data in messages:
        part = Message(data)
        header = part.one(2, b"")
        if header:
            header += bytes(-len(header) % 8)
            stream.write(CONTINUATION + struct.pack("<i", len(header)) + header + part.one(1000, b""))
    return pyarrow.ipc.open_stream(stream.getvalue()).read_all()


def descriptor(cmd: bytes) -> bytes:
    return message({1: COMMAND_DESCRIPTOR, 2: cmd})


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Info(Message):
    """A FlightInfo."""

    @property
    def schema(self) -> pyarrow.Schema:
        return schema_of(self.one(1))

    @property
    def endpoints(self) -> list[bytes]:
        return self.all(3)

    @property
    def tickets(self) -> list[bytes]:
        return [Message(Message(endpoint).one(1)).one(1) for endpoint in self.endpoints]


class Client:
    """A client over bare gRPC that keeps cookies and bearer tokens, as the JDBC driver does; `headers` go with each call."""

    def __init__(self, server, authorization: str | None = None):
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.enable_http_proxy", 0)]
        self.channel = grpc.insecure_channel(server.address, options)
        self.headers = {"authorization": authorization} if authorization else {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def call(self, method: str, request, kind: str):
        """The call, as gRPC gives it."""
        return getattr(self.channel, kind)(SERVICE + method)(request, metadata=tuple(self.headers.items()), timeout=60)

    def _keep(self, metadata):
        received = dict(metadata)
        if "authorization" in received:
            self.headers["authorization"] = received["authorization"]
        if "set-cookie" in received:
            self.headers["cookie"] = received["set-cookie"].split(";")[0]

    def one(self, method: str, request: bytes) -> bytes:
        """A call with one answer."""
        bare = self.channel.unary_unary(SERVICE + method)
        answer, call = bare.with_call(request, metadata=tuple(self.headers.items()), timeout=60)
        self._keep(call.initial_metadata())
        return answer

    def many(self, method: str, request, kind: str = "unary_stream") -> list[bytes]:
        """A call with a stream of answers."""
        call = self.call(method, request, kind)
        answers = list(call)
        self._keep(call.initial_metadata())
        return answers

    def handshake(self, payload: bytes = b"") -> list[bytes]:
        return self.many("Handshake", iter([message({2: payload})]), "stream_stream")

    def info(self, cmd: bytes) -> Info:
        return Info(self.one("GetFlightInfo", descriptor(cmd)))

    def poll(self, descriptor_message: bytes) -> Message:
        return Message(self.one("PollFlightInfo", descriptor_message))

    def schema(self, cmd: bytes) -> pyarrow.Schema:
        return schema_of(Message(self.one("GetSchema", descriptor(cmd))).one(1))

    def get(self, ticket: bytes) -> pyarrow.Table:
        return table_of(self.many("DoGet", message({1: ticket})))

    def table(self, cmd: bytes) -> pyarrow.Table:
        """Announces a command, fetches its only endpoint, and holds the result to the announced schema."""
        info = self.info(cmd)
        (ticket,) = info.tickets
        table = self.get(ticket)
        assert table.schema.equals(info.schema, check_metadata=True), f"{info.schema} was announced, {table.schema} came"
        return table

    def query(self, sql: str) -> pyarrow.Table:
        return self.table(command("CommandStatementQuery", {1: sql}))

    def value(self, sql: str):
        return self.query(sql).column(0)[0].as_py()

    def put(self, cmd: bytes, batches: list | None = None) -> bytes:
        """DoPut; the metadata of its answer."""
        messages = flight_data(batches, descriptor(cmd)) if batches else [message({1: descriptor(cmd)})]
        answers = self.many("DoPut", iter(messages), "stream_stream")
        return Message(answers[0]).one(1, b"")

    def update(self, cmd: bytes, batches: list | None = None) -> int:
        return Message(self.put(cmd, batches)).signed(1)

    def execute(self, sql: str) -> int:
        """CommandStatementUpdate; the number of changed rows."""
        return self.update(command("CommandStatementUpdate", {1: sql}))

    def action(self, name: str, body: bytes = b"") -> bytes | None:
        answers = self.many("DoAction", message({1: name, 2: body}))
        return Message(answers[0]).one(1, b"") if answers else None

    def prepare(self, sql: str) -> Message:
        body = self.action("CreatePreparedStatement", command("ActionCreatePreparedStatementRequest", {1: sql}))
        return unpack(body, "ActionCreatePreparedStatementResult")

    def close_prepared(self, handle: bytes):
        return self.action("ClosePreparedStatement", command("ActionClosePreparedStatementRequest", {1: handle}))

    def options(self) -> dict[str, str]:
        answer = Message(self.action("GetSessionOptions"))
        pairs = [Message(pair) for pair in answer.all(1)]
        return {pair.text(1): Message(pair.one(2)).text(1) for pair in pairs}

    def set_options(self, **values) -> dict[str, int]:
        """Sets session options; the errors by name. A value is bytes: a SessionOptionValue, or text."""
        values = {name: value if isinstance(value, bytes) else message({1: value}) for name, value in values.items()}
        pairs = [message({1: name, 2: value}) for name, value in values.items()]
        answer = Message(self.action("SetSessionOptions", message({1: pairs})))
        errors = [Message(pair) for pair in answer.all(1)]
        return {error.text(1): Message(error.one(2)).one(1) for error in errors}


def uri(server) -> str:
    return f"grpc://{server.address}"


def adbc(server, **options):
    """An ADBC connection."""
    return adbc_driver_flightsql.dbapi.connect(uri(server), db_kwargs=options or None, autocommit=True)


def rows(connection, sql: str, parameters=None) -> list[tuple]:
    """What a statement answers, through ADBC."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


def value(connection, sql: str, parameters=None):
    ((found,),) = rows(connection, sql, parameters)
    return found


def sqlstate(error) -> str:
    """The SQLSTATE of an ADBC error, which the driver leaves in its details."""
    return error_info([detail for name, detail in error.details if name == b"grpc-status-details-bin"])[1]["sqlstate"]


def history(server, condition: str) -> list[tuple[str, str]]:
    """State and id of the statements in history that fit, without this one."""
    return server.rows(f"SELECT state, id FROM system.queries WHERE {condition} AND sql NOT LIKE '%system.queries%'")
