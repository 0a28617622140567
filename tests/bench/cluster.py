"""Measures the cluster of a release build: two workers with one slot each beside the same server alone with two threads.

Both answer each query in turn, over the same files, and each answer is compared with DuckDB's before anything is measured.
Machines are noisy: look at medians and ratios of one run.
"""

import argparse
import contextlib
import io
import json
import pathlib
import re
import shutil
import statistics
import sys
import tempfile
import time

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from bench import CACHE, Process, Tidemill, at, compare, generate, oracle

WORKERS = 2
SMALL_QUERIES = 200
PARTITIONS = 10_000
# What a scale factor takes: the files, and the largest shuffle of the 22 queries.
FILE_BYTES, SHUFFLE_BYTES = 400e6, 1.5e9
TOKEN = "a-join-token-of-the-benchmark"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--scales", type=float, nargs="+", default=[1, 10], help="scale factors of TPC-H")
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--work-dir", type=pathlib.Path, default="/dev/shm", help="where workers keep shuffle files: tmpfs or a disk")
    options = arguments.parse_args()
    for scale in options.scales:
        if room(scale, options):
            options.scale = scale
            with cluster(generate(scale), options) as runners:
                verify(runners, scale)
                compare(list(runners), options)
    with cluster(generate(min(options.scales)), options) as runners:
        latency(*runners)
    overhead(options)


def room(scale: float, options: argparse.Namespace) -> bool:
    """Whether the disks hold this scale; says so if not."""
    CACHE.mkdir(parents=True, exist_ok=True)
    made = (CACHE / f"tpch-{scale:g}" / "complete").exists()
    wanted = {CACHE: 0 if made else FILE_BYTES * scale, options.work_dir: SHUFFLE_BYTES * scale}
    for folder, size in wanted.items():
        free = shutil.disk_usage(folder).free
        if free < size:
            print(f"scale {scale:g} is left out: {folder} has {free / 1e9:.0f} GB free of the {size / 1e9:.0f} GB it may take")
            return False
    return True


class Through:
    """One of the runners of a server, on a connection that both share: they take turns."""

    def __init__(self, server: Tidemill, name: str) -> None:
        self.server, self.name = server, name

    def run(self, sql: str) -> bytes:
        """The answer in Arrow."""
        body = {"sql": sql, "session": {"runner": self.name}}
        return self.server.ask("POST", "/v1/query", body, "application/vnd.apache.arrow.stream")

    def rows(self, sql: str) -> list[tuple]:
        table = pa.ipc.open_stream(io.BytesIO(self.run(sql))).read_all()
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


@contextlib.contextmanager
def cluster(data: pathlib.Path, options: argparse.Namespace, *more: str):
    """A coordinator with its workers, and with more keys of the configuration: its cluster runner and its local one."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory(dir=options.work_dir) as work, contextlib.ExitStack() as stack:
        keys = ["runtime.cpu_threads=2", f"cluster.join_token={TOKEN}", *more]
        flags = [flag for key in keys for flag in ("--set", key)]
        server = Tidemill(data, pathlib.Path(folder), "--cluster", "--scheduler", "127.0.0.1:0", *flags)
        stack.callback(server.stop)
        for number in range(WORKERS):
            place = ["--coordinator", server.address("scheduler"), "--listen", "127.0.0.1:0", "--slots", 1, "--work-dir", f"{work}/{number}"]
            worker = Process("worker", *place, "--set", f"cluster.join_token={TOKEN}")
            stack.callback(worker.stop)
            worker.address("worker")
        runners = Through(server, "cluster"), Through(server, "local")
        wait_for_slots(server)
        yield runners


def wait_for_slots(server: Tidemill, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while True:
        answer = server.ask("POST", "/v1/query", {"sql": "SELECT coalesce(sum(slots), 0) FROM system.workers WHERE state = 'active'"})
        if int(json.loads(answer)["rows"][0][0]) >= WORKERS:
            return
        if time.monotonic() > deadline:
            sys.exit("the workers did not join")
        time.sleep(0.05)


def verify(runners: tuple[Through, Through], scale: float) -> None:
    """All 22 answers of the cluster, and of the server alone, as DuckDB gives them."""
    judge = oracle.over(CACHE / f"tpch-{scale:g}")
    for path in oracle.QUERIES:
        sql = oracle.text(path)
        expected = judge.execute(sql).fetchall()
        for runner in runners:
            try:
                oracle.assert_same(runner.rows(sql), expected)
            except AssertionError as error:
                sys.exit(f"{path.stem} by {runner.name} at scale {scale:g} is wrong: {error}")
    print(f"\nscale {scale:g}: all {len(oracle.QUERIES)} answers are right")


def latency(cluster: Through, local: Through) -> None:
    """The floor: two stages over five rows."""
    sql = "SELECT r_regionkey % 2 AS g, count(*) FROM region GROUP BY r_regionkey % 2"
    for runner in (cluster, local):
        runner.run(sql)
        times = []
        for _ in range(SMALL_QUERIES):
            began = time.perf_counter()
            runner.run(sql)
            times.append(time.perf_counter() - began)
        times.sort()
        print(f"two stages by {runner.name:8} p50 {at(times, 50):.1f} ms, p99 {at(times, 99):.1f} ms, of {SMALL_QUERIES}")


def overhead(options: argparse.Namespace) -> None:
    """What a partition takes beside its work: files of one row each, each a partition, and the same read by the server alone."""
    data = CACHE / f"rows-{PARTITIONS}"
    if not (data / "complete").exists():
        (data / "numbers").mkdir(parents=True, exist_ok=True)
        for number in range(PARTITIONS):
            pq.write_table(pa.table({"n": [number]}), data / "numbers" / f"{number:05}.parquet")
        (data / "complete").touch()
    sql = "SELECT sum(n) FROM numbers"
    with cluster(data, options, f"cluster.partitions_per_slot={PARTITIONS // WORKERS}") as runners:
        times = []
        for runner in runners:
            answers = [timed(runner, sql) for _ in range(options.repeats + 1)][1:]
            assert all(rows == [(PARTITIONS * (PARTITIONS - 1) // 2,)] for rows, _ in answers), answers
            times.append(statistics.median(taken for _, taken in answers))
        partitions = partitions_of(runners[0], sql)
    by_cluster, alone = times
    beside = (by_cluster - alone) / partitions
    print(f"{partitions} partitions by cluster {by_cluster:.2f} s, alone {alone:.2f} s: {beside * 1e3:.2f} ms for each")


def timed(runner: Through, sql: str) -> tuple[list[tuple], float]:
    began = time.perf_counter()
    rows = runner.rows(sql)
    return rows, time.perf_counter() - began


def partitions_of(runner: Through, sql: str) -> int:
    """How many partitions the stages of a query have; not fewer than files."""
    plan = "\n".join(row[-1] for row in runner.rows(f"EXPLAIN {sql}"))
    partitions = sum(int(found) for found in re.findall(r"^Stage \d+: (\d+) partitions", plan, re.MULTILINE))
    assert partitions > PARTITIONS, f"{partitions} partitions are fewer than the {PARTITIONS} files"
    return partitions


if __name__ == "__main__":
    main()
