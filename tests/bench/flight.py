"""Measures the Flight SQL door of a release build: throughput beside a bare Flight server and DuckDB, latency beside HTTP and PostgreSQL.

The bare server hands out the same batches from memory, by Arrow's own C++ implementation: what is lost against it is what the
door and the engine cost. Machines are noisy: look at medians and ratios of one run.
"""

import argparse
import http.client
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings

import adbc_driver_flightsql.dbapi
import pyarrow as pa
import pyarrow.flight
import pyarrow.parquet

from bench import BINARY, at

ROWS = 10_000_000
POINT_ROWS = 1_000_000
SMALL_QUERIES = 2000
WIDE = (
    "SELECT value AS i, CAST(value AS DOUBLE) / 3 AS d, concat('row number ', CAST(value AS VARCHAR)) AS s "
    f"FROM generate_series(1, {ROWS}) AS t(value)"
)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--repeats", type=int, default=5)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Tidemill(pathlib.Path(folder))
        try:
            throughput(server, options.repeats)
            latency(server, pathlib.Path(folder))
        finally:
            server.stop()


class Tidemill:
    def __init__(self, folder: pathlib.Path) -> None:
        command = [BINARY, "serve", "--http", "127.0.0.1:0", "--data-dir", folder / "data", "--set", "settings.result_cache=off"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            if line.startswith("listening door=flight_sql"):
                break
        else:
            sys.exit("the server ended before it listened")
        self.address = line.split("address=")[1].strip()
        warnings.simplefilter("ignore")
        self.connection = adbc_driver_flightsql.dbapi.connect(f"grpc://{self.address}")
        self.http = http.client.HTTPConnection(self.address, timeout=600)

    def execute(self, sql: str, parameters: tuple = ()) -> list:
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
        self.process.terminate()
        self.process.wait(timeout=60)


class Bare(pa.flight.FlightServerBase):
    """Hands out batches that are there."""

    def __init__(self, batches: list) -> None:
        super().__init__("grpc://127.0.0.1:0")
        self.batches = batches

    def do_get(self, context, ticket):
        return pa.flight.RecordBatchStream(pa.RecordBatchReader.from_batches(self.batches[0].schema, self.batches))


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


def throughput(server: Tidemill, repeats: int) -> None:
    import duckdb

    server.execute(f"CREATE TABLE wide AS {WIDE}")
    client = pa.flight.FlightClient(f"grpc://{server.address}")
    _, _, batches = fetch(client, ticket_of(server, "SELECT * FROM wide"))
    bytes_ = sum(batch.nbytes for batch in batches)
    bare = Bare(batches)
    threading.Thread(target=bare.serve, daemon=True).start()
    bare_client = pa.flight.FlightClient(f"grpc://127.0.0.1:{bare.port}")
    database = duckdb.connect()
    database.register("source", pa.Table.from_batches(batches))
    database.execute("CREATE TABLE wide AS SELECT * FROM source")
    times: dict[str, list[float]] = {"tidemill": [], "bare flight": [], "duckdb": []}
    firsts = []
    for _ in range(repeats):
        first, all_, _ = fetch(client, ticket_of(server, "SELECT * FROM wide"))
        firsts.append(first)
        times["tidemill"].append(all_)
        times["bare flight"].append(fetch(bare_client, pa.flight.Ticket(b""))[1])
        began = time.perf_counter()
        database.execute("SELECT * FROM wide").to_arrow_table()
        times["duckdb"].append(time.perf_counter() - began)
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    print(f"{ROWS} rows, {bytes_ / 1e6:.0f} MB as Arrow, {len(batches)} batches; medians of {repeats}")
    for name, median in medians.items():
        print(f"  {name:12}{median:8.3f} s {bytes_ / median / 1e6:9.0f} MB/s {medians['tidemill'] / median:8.2f} times as long for tidemill")
    print(f"  rate of tidemill / rate of the bare server: {medians['bare flight'] / medians['tidemill']:.0%}")
    print(f"  first batch after {statistics.median(firsts) * 1e3:.1f} ms (planning included)")
    bare.shutdown()
    server.execute("DROP TABLE wide")


def latency(server: Tidemill, folder: pathlib.Path) -> None:
    parquet = folder / "point.parquet"
    keys = pa.array(range(POINT_ROWS), pa.int64())
    table = pa.table({"id": keys, "name": [f"name {key}" for key in range(POINT_ROWS)]})
    pyarrow.parquet.write_table(table, parquet, row_group_size=100_000)
    server.execute(f"CREATE EXTERNAL TABLE point STORED AS PARQUET LOCATION '{parquet}'")
    point = "SELECT name FROM point WHERE id = {}"
    rows = [
        ("SELECT 1", "Flight SQL, prepared", prepared(server, "SELECT 1", lambda _: ())),
        ("SELECT 1", "HTTP", timed(lambda _: server.over_http("SELECT 1"))),
        ("point query", "Flight SQL, prepared", prepared(server, point.format("$1"), lambda at: (at * 487 % POINT_ROWS,))),
        ("point query", "HTTP", timed(lambda at: server.over_http(point.format(at * 487 % POINT_ROWS)))),
    ]
    rows += postgres(folder, table)
    print(f"\nlatency in ms of {SMALL_QUERIES} on one connection        p50      p99")
    for what, how, times in sorted(rows, key=lambda row: row[0]):
        print(f"  {what:14}{how:28}{at(times, 50):10.2f}{at(times, 99):9.2f}")


def timed(run) -> list[float]:
    times = []
    for number in range(SMALL_QUERIES + 50):
        began = time.perf_counter()
        run(number)
        times.append(time.perf_counter() - began)
    return sorted(times[50:])


def prepared(server: Tidemill, sql: str, parameters) -> list[float]:
    with server.connection.cursor() as cursor:
        cursor.adbc_prepare(sql)

        def run(number: int) -> None:
            cursor.execute(sql, parameters(number))
            cursor.fetchall()

        return timed(run)


def postgres(folder: pathlib.Path, table: pa.Table) -> list:
    """The same with a real PostgreSQL, whose table has an index."""
    import pgserver
    import psycopg

    database = pgserver.get_server(folder / "postgres", cleanup_mode="delete")
    try:
        with psycopg.connect(database.get_uri(), autocommit=True) as connection:
            connection.execute("CREATE TABLE point (id BIGINT PRIMARY KEY, name TEXT)")
            connection.execute("INSERT INTO point SELECT g, 'name ' || g FROM generate_series(0, %d) g" % (POINT_ROWS - 1))
            connection.execute("ANALYZE point")
            one = timed(lambda _: connection.execute("SELECT 1", prepare=True).fetchall())
            sql = "SELECT name FROM point WHERE id = %s"
            point = timed(lambda number: connection.execute(sql, (number * 487 % POINT_ROWS,), prepare=True).fetchall())
            scan = "SELECT name FROM point WHERE id + 0 = %s"
            scanned = sorted(
                seconds(lambda: connection.execute(scan, (number * 487 % POINT_ROWS,)).fetchall()) for number in range(50)
            )
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
