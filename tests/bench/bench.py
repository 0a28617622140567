"""Measures a release build: size, start-up, latency of SELECT 1, and TPC-H beside DataFusion and DuckDB in one run.

Each engine answers each query in turn, on the same Parquet files, with the same number of threads; the medians and their
ratios are what to look at, since machines are noisy. Results travel as Arrow: to Tidemill's client over HTTP, to the
others' caller in process.
"""

import argparse
import http.client
import json
import math
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path.home() / ".cache" / "tidemill" / "bench"
BINARY = pathlib.Path(os.environ["TIDEMILL_BIN"])
SMALL_QUERIES = 2000

sys.path.append(str(ROOT / "tests" / "clients"))
import oracle  # found by the line before


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--scale", type=float, default=1, help="the scale factor of TPC-H")
    arguments.add_argument("--repeats", type=int, default=3)
    options = arguments.parse_args()
    data = generate(options.scale)
    print(f"binary    {BINARY.stat().st_size / 1e6:.0f} MB")
    with tempfile.TemporaryDirectory() as folder:
        server = Tidemill(data, pathlib.Path(folder))
        try:
            print(f"start-up  {server.started * 1e3:.0f} ms to listening, {server.ready * 1e3:.0f} ms to the first answer")
            times = sorted(seconds(server, "SELECT 1") for _ in range(SMALL_QUERIES))
            print(f"SELECT 1  p50 {at(times, 50):.2f} ms, p99 {at(times, 99):.2f} ms, of {SMALL_QUERIES} on one connection")
            compare([server, DataFusion(data), DuckDB(data)], options)
        finally:
            server.stop()


def generate(scale: float) -> pathlib.Path:
    """The TPC-H tables as Parquet, made once."""
    data = CACHE / f"tpch-{scale:g}"
    if not (data / "complete").exists():
        data.mkdir(parents=True, exist_ok=True)
        tool = pathlib.Path(sys.executable).with_name("tpchgen-cli")
        subprocess.run([tool, "parquet", "-s", f"{scale:g}", "--output-dir", data], check=True)
        (data / "complete").touch()
    return data


def at(times: list[float], percent: int) -> float:
    return times[min(len(times) * percent // 100, len(times) - 1)] * 1e3


class Process:
    """The binary, and the addresses of the doors that it announces."""

    def __init__(self, *arguments: object) -> None:
        self.process = subprocess.Popen([BINARY, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
        self.doors: dict[str, str] = {}

    def address(self, door: str) -> str:
        while door not in self.doors:
            line = self.process.stdout.readline()
            if not line:
                sys.exit(f"the process ended before its door '{door}' was open")
            if found := re.match(r"listening door=(\S+) address=(\S+)", line):
                self.doors[found[1]] = found[2]
        return self.doors[door]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=60)


class Tidemill(Process):
    """A server, and one connection to it."""

    name = "tidemill"

    def __init__(self, data: pathlib.Path, folder: pathlib.Path, *arguments: object) -> None:
        config = folder / "bench.toml"
        # Each query is to be computed each time.
        settings = '[settings]\ncatalog = "tpch"\nresult_cache = "off"\n'
        config.write_text(f'[catalogs.tpch.schemas.public]\nlocation = "{data}"\n{settings}')
        began = time.perf_counter()
        super().__init__("serve", "--config", config, "--http", "127.0.0.1:0", "--data-dir", folder / "data", *arguments)
        self.connection = http.client.HTTPConnection(self.address("http"), timeout=3600)
        self.started = time.perf_counter() - began
        self.run("SELECT 1")
        self.ready = time.perf_counter() - began

    def run(self, sql: str) -> None:
        self.ask("POST", "/v1/query", {"sql": sql}, "application/vnd.apache.arrow.stream")

    def ask(self, method: str, path: str, body: object, accept: str = "application/json") -> bytes:
        headers = {"Content-Type": "application/json", "Accept": accept}
        self.connection.request(method, path, json.dumps(body), headers)
        response = self.connection.getresponse()
        answer = response.read()
        if not 200 <= response.status < 300:
            sys.exit(f"{body}: {response.status} {answer.decode()}")
        return answer


class DataFusion:
    name = "datafusion"

    def __init__(self, data: pathlib.Path) -> None:
        import datafusion

        self.context = datafusion.SessionContext()
        for table in oracle.TABLES:
            self.context.register_parquet(table, str(data / f"{table}.parquet"))

    def run(self, sql: str) -> None:
        self.context.sql(sql).collect()


class DuckDB:
    name = "duckdb"

    def __init__(self, data: pathlib.Path) -> None:
        import duckdb

        self.connection = duckdb.connect()
        self.connection.execute(f"SET threads = {os.cpu_count()}")
        for table in oracle.TABLES:
            self.connection.execute(f"CREATE VIEW {table} AS SELECT * FROM '{data}/{table}.parquet'")

    def run(self, sql: str) -> None:
        self.connection.execute(sql).to_arrow_table()


def seconds(engine, sql: str) -> float:
    began = time.perf_counter()
    engine.run(sql)
    return time.perf_counter() - began


def compare(engines: list, options: argparse.Namespace) -> None:
    """The queries by each engine in turn, and the ratios of the first engine to each of the others."""
    print(f"\nTPC-H, scale {options.scale:g}, seconds, median of {options.repeats}")
    print("query" + "".join(f"{engine.name:>12}" for engine in engines) + "".join(f"{'vs ' + engine.name:>16}" for engine in engines[1:]))
    totals = [0.0] * len(engines)
    ratios: list[list[float]] = []
    for path in oracle.QUERIES:
        sql = oracle.text(path)
        times: list[list[float]] = [[] for _ in engines]
        for engine in engines:
            engine.run(sql)
        for _ in range(options.repeats):
            for engine, taken in zip(engines, times):
                taken.append(seconds(engine, sql))
        medians = [statistics.median(taken) for taken in times]
        totals = [total + median for total, median in zip(totals, medians)]
        ratios.append([medians[0] / median for median in medians[1:]])
        line(path.stem, medians)
    line("all", totals)
    means = [math.exp(statistics.fmean(math.log(row[at]) for row in ratios)) for at in range(len(engines) - 1)]
    told = ", ".join(f"{mean:.2f} to {engine.name}" for mean, engine in zip(means, engines[1:]))
    print(f"geometric mean of the ratios: {told}")


def line(name: str, values: list[float]) -> None:
    cells = "".join(f"{value:12.3f}" for value in values)
    ratios = "".join(f"{values[0] / value:16.2f}" for value in values[1:])
    print(f"{name:5}{cells}{ratios}", flush=True)


if __name__ == "__main__":
    main()
