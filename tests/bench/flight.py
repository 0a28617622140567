"""Measures the Flight SQL door of a release build: throughput beside bare Flight servers and DuckDB, latency beside HTTP and PostgreSQL.

A bare server is a process that hands out the same batches from memory: one by Arrow's C++ implementation, and one by the Rust
one that the door is made of (`make bench` builds it). What is lost against them is what
the door and the engine cost. Machines are noisy: look at medians and ratios of one run.
"""

import argparse
import contextlib
import http.client
import multiprocessing
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

import adbc_driver_flightsql.dbapi
import pyarrow as pa
import pyarrow.flight
import pyarrow.parquet

from bench import BINARY, Process, at

BARE_RUST = BINARY.parent / "examples" / "bare_flight"
POINT_ROWS = 1_000_000
WARM_UP = 50
WIDE = (
    "SELECT value AS i, CAST(value AS DOUBLE) / 3 AS d, concat('row number ', CAST(value AS VARCHAR)) AS s "
    "FROM generate_series(1, {rows}) AS t(value)"
)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=10_000_000, help="rows that are streamed")
    arguments.add_argument("--repeats", type=int, default=5, help="how often they are")
    arguments.add_argument("--queries", type=int, default=2000, help="small queries of each kind")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        # The user that PostgreSQL runs as goes through it.
        folder.chmod(0o755)
        server = Tidemill(folder)
        try:
            throughput(server, folder, options)
            latency(server, folder, options)
        finally:
            server.stop()


class Tidemill(Process):
    def __init__(self, folder: pathlib.Path) -> None:
        super().__init__("serve", "--http", "127.0.0.1:0", "--data-dir", folder / "data", "--set", "settings.result_cache=off")
        self.place = self.address("flight_sql")
        warnings.simplefilter("ignore")
        self.connection = adbc_driver_flightsql.dbapi.connect(f"grpc://{self.place}")
        self.http = http.client.HTTPConnection(self.place, timeout=600)

    def execute(self, sql: str, parameters: tuple | None = None) -> list:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []

    def over_http(self, sql: str) -> bytes:
        headers = {"Content-Type": "application/sql", "Accept": "application/vnd.apache.arrow.stream"}
        self.http.request("POST", "/v1/query", sql.encode(), headers)
        response = self.http.getresponse()
        body = response.read()
        if response.status != 200:
            sys.exit(f"{sql}: {response.status} {body.decode()}")
        return body

    def stop(self) -> None:
        self.connection.close()
        super().stop()


class Bare(pa.flight.FlightServerBase):
    """Hands out batches that are there."""

    def __init__(self, batches: list) -> None:
        super().__init__("grpc://127.0.0.1:0")
        self.batches = batches

    def do_get(self, context, ticket):
        return pa.flight.RecordBatchStream(pa.RecordBatchReader.from_batches(self.batches[0].schema, self.batches))


def serve_bare(path: pathlib.Path, port) -> None:
    with pa.memory_map(str(path)) as source:
        reader = pa.ipc.open_file(source)
        server = Bare([reader.get_batch(number) for number in range(reader.num_record_batches)])
        port.send(server.port)
        server.serve()


@contextlib.contextmanager
def bare_cpp(path: pathlib.Path):
    """A client of a bare server of these batches, by Arrow's C++ implementation."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve_bare, args=(path, theirs), daemon=True)
    process.start()
    try:
        with pa.flight.FlightClient(f"grpc://127.0.0.1:{ours.recv()}") as client:
            yield client
    finally:
        process.terminate()
        process.join()


@contextlib.contextmanager
def bare_rust(path: pathlib.Path):
    """The same by the Rust implementation."""
    if not BARE_RUST.exists():
        sys.exit(f"{BARE_RUST} is not there: build it beside the server, by --example bare_flight")
    process = subprocess.Popen([BARE_RUST, path], stdout=subprocess.PIPE, text=True)
    try:
        with pa.flight.FlightClient(f"grpc://127.0.0.1:{process.stdout.readline().strip()}") as client:
            yield client
    finally:
        process.terminate()
        process.wait()


def fetch(client: pa.flight.FlightClient, ticket: pa.flight.Ticket) -> tuple[float, float, list]:
    """Seconds to the first batch and to the end, and the batches."""
    began = time.perf_counter()
    reader = client.do_get(ticket)
    batches = [reader.read_chunk().data]
    first = time.perf_counter() - began
    while True:
        try:
            batches.append(reader.read_chunk().data)
        except StopIteration:
            return first, time.perf_counter() - began, batches


def ticket_of(server: Tidemill, sql: str) -> pa.flight.Ticket:
    """The ticket that GetFlightInfo gives, by ADBC's way to hand it out."""
    with server.connection.cursor() as cursor:
        partitions, _ = cursor.adbc_execute_partitions(sql)
    return pa.flight.FlightInfo.deserialize(partitions[0]).endpoints[0].ticket


def throughput(server: Tidemill, folder: pathlib.Path, options: argparse.Namespace) -> None:
    import duckdb

    server.execute(f"CREATE TABLE wide AS {WIDE.format(rows=options.rows)}")
    client = pa.flight.FlightClient(f"grpc://{server.place}")
    _, _, batches = fetch(client, ticket_of(server, "SELECT * FROM wide"))
    bytes_ = sum(batch.nbytes for batch in batches)
    path = folder / "batches.arrow"
    with pa.ipc.new_file(str(path), batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    database = duckdb.connect()
    database.register("source", pa.Table.from_batches(batches))
    database.execute("CREATE TABLE wide AS SELECT * FROM source")
    times: dict[str, list[float]] = {"tidemill": [], "bare C++": [], "bare Rust": [], "duckdb": []}
    firsts = []
    with bare_cpp(path) as cpp, bare_rust(path) as rust:
        bares = {"bare C++": cpp, "bare Rust": rust}
        for bare in bares.values():
            fetch(bare, pa.flight.Ticket(b""))
        for _ in range(options.repeats):
            first, all_, _ = fetch(client, ticket_of(server, "SELECT * FROM wide"))
            firsts.append(first)
            times["tidemill"].append(all_)
            for name, bare in bares.items():
                times[name].append(fetch(bare, pa.flight.Ticket(b""))[1])
            times["duckdb"].append(seconds(lambda: database.execute("SELECT * FROM wide").to_arrow_table()))
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    print(f"{options.rows} rows, {bytes_ / 1e6:.0f} MB as Arrow, {len(batches)} batches; medians of {options.repeats}")
    for name, median in medians.items():
        rates = f"{options.rows / median / 1e6:8.1f} million rows/s {bytes_ / median / 1e6:8.0f} MB/s"
        print(f"  {name:12}{median:8.3f} s {rates} {medians['tidemill'] / median:8.2f} times as long for tidemill")
    for name in bares:
        print(f"  rate of tidemill / rate of the {name} server: {medians[name] / medians['tidemill']:.0%}")
    print(f"  first batch of a table in memory: {statistics.median(firsts) * 1e3:.1f} ms after DoGet, which plans")
    server.execute("DROP TABLE wide")


def latency(server: Tidemill, folder: pathlib.Path, options: argparse.Namespace) -> None:
    parquet = folder / "point.parquet"
    keys = pa.array(range(POINT_ROWS), pa.int64())
    table = pa.table({"id": keys, "name": [f"name {key}" for key in range(POINT_ROWS)]})
    pyarrow.parquet.write_table(table, parquet, row_group_size=100_000)
    server.execute(f"CREATE EXTERNAL TABLE point STORED AS PARQUET LOCATION '{parquet}'")
    client = pa.flight.FlightClient(f"grpc://{server.place}")
    firsts = [fetch(client, ticket_of(server, "SELECT * FROM point"))[0] for _ in range(options.repeats)]
    print(f"  first batch of a Parquet file: {statistics.median(firsts) * 1e3:.1f} ms after DoGet, which plans")
    count = options.queries
    point = "SELECT name FROM point WHERE id = {}"
    rows = [
        ("SELECT 1", "Flight SQL, prepared", prepared(server, "SELECT 1", lambda _: None, count)),
        ("SELECT 1", "HTTP", timed(lambda _: server.over_http("SELECT 1"), count)),
        ("point query", "Flight SQL, prepared", prepared(server, point.format("$1"), lambda number: (key(number),), count)),
        ("point query", "HTTP", timed(lambda number: server.over_http(point.format(key(number))), count)),
    ]
    rows += postgres(folder, count)
    print(f"\nlatency in ms of {count} on one connection           p50      p99")
    for what, how, times in sorted(rows, key=lambda row: row[0]):
        print(f"  {what:14}{how:28}{at(times, 50):10.2f}{at(times, 99):9.2f}")


def key(number: int) -> int:
    return number * 487 % POINT_ROWS


def timed(run, count: int) -> list[float]:
    times = [seconds(lambda: run(number)) for number in range(count + WARM_UP)]  # noqa: B023 - it runs at once
    return sorted(times[WARM_UP:])


def prepared(server: Tidemill, sql: str, parameters, count: int) -> list[float]:
    with server.connection.cursor() as cursor:
        cursor.adbc_prepare(sql)

        def run(number: int) -> None:
            cursor.execute(sql, parameters(number))
            cursor.fetchall()

        return timed(run, count)


def postgres(folder: pathlib.Path, count: int) -> list:
    """The same with a real PostgreSQL, whose table has an index."""
    import pgserver
    import psycopg

    database = pgserver.get_server(folder / "postgres", cleanup_mode="delete")
    try:
        with psycopg.connect(database.get_uri(), autocommit=True) as connection:
            connection.execute("CREATE TABLE point (id BIGINT PRIMARY KEY, name TEXT)")
            connection.execute("INSERT INTO point SELECT g, 'name ' || g FROM generate_series(0, %d) g" % (POINT_ROWS - 1))
            connection.execute("ANALYZE point")
            one = timed(lambda _: connection.execute("SELECT 1", prepare=True).fetchall(), count)
            sql = "SELECT name FROM point WHERE id = %s"
            point = timed(lambda number: connection.execute(sql, (key(number),), prepare=True).fetchall(), count)
            scan = "SELECT name FROM point WHERE id + 0 = %s"
            scanned = timed(lambda number: connection.execute(scan, (key(number),)).fetchall(), min(50, count))
    finally:
        database.cleanup()
    return [
        ("SELECT 1", "PostgreSQL, prepared", one),
        ("point query", "PostgreSQL, by index", point),
        ("point query", "PostgreSQL, by scan (of 50)", scanned),
    ]


def seconds(run) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
