"""The real binary as a child process, and one way to talk to it."""

import contextlib
import io
import os
import pathlib
import queue
import re
import signal
import subprocess
import tempfile
import threading
import time

import pyarrow.ipc
import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
ARROW_STREAM = "application/vnd.apache.arrow.stream"
START_SECONDS = 120
STOP_SECONDS = 60


def binary() -> str:
    """The binary under test."""
    path = os.environ.get("TIDEMILL_BIN")
    if not path:
        raise RuntimeError("set TIDEMILL_BIN to the tidemill binary, for example target/debug/tidemill")
    return path


def clean_environment(**extra: str) -> dict[str, str]:
    """The environment of the tests without what would configure the server behind their back."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TIDEMILL_", "AWS_"))}
    return kept | extra


def run(*arguments: str, stdin: str | bytes | None = None, timeout: float = 120, **environment: str):
    """Runs the binary to its end; output is bytes."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    return subprocess.run(
        [binary(), *arguments], input=data, capture_output=True, timeout=timeout, env=clean_environment(**environment), check=False
    )


def wait_until(condition, seconds: float = 10.0, what: str = "the condition"):
    """Asks again until the answer is true; returns it."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {seconds} s")
        time.sleep(0.02)


class Program:
    """A command of the binary that goes on running, and says on standard output where its doors are."""

    def __init__(self, *arguments: str, within: tuple[str, ...] = (), **environment: str):
        """`within` is a command that runs another, such as `ip netns exec NAME`."""
        self.log = tempfile.NamedTemporaryFile(prefix="tidemill-", suffix=".log")  # noqa: SIM115 - lives as long as the process
        command = [*within, binary(), *arguments]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self.log, text=True, env=clean_environment(**environment)
        )
        self.lines: queue.Queue[str | None] = queue.Queue()
        self.seen: list[str] = []
        threading.Thread(target=self._read_stdout, daemon=True).start()

    def _read_stdout(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def said(self, pattern: str, seconds: float = START_SECONDS) -> re.Match:
        """The first line of standard output that matches, once it is there."""
        deadline = time.monotonic() + seconds
        for line in self.seen:
            if found := re.match(pattern, line):
                return found
        while True:
            try:
                line = self.lines.get(timeout=max(deadline - time.monotonic(), 0.01))
            except queue.Empty:
                raise RuntimeError(f"no line matched {pattern}\n{self.log_text()}") from None
            if line is None:
                raise RuntimeError(f"the process ended with {self.process.wait()}\n{self.log_text()}")
            self.seen.append(line)
            if found := re.match(pattern, line):
                return found

    def announced(self, door: str) -> str:
        """The address of a door; a process that does not announce it is ended."""
        try:
            return self.said(rf"listening door={door} address=(\S+)")[1]
        except BaseException:
            self.kill()
            raise

    def log_text(self) -> str:
        return pathlib.Path(self.log.name).read_text(errors="replace")[-4000:]

    def open_files(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def terminate(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait(STOP_SECONDS)


class Server(Program):
    """`tidemill serve` on a free port."""

    def __init__(self, data_dir: pathlib.Path, *arguments: str, scheme: str = "http", **options):
        self.data_dir = pathlib.Path(data_dir)
        self.scheme = scheme
        super().__init__("serve", "--http", "127.0.0.1:0", "--data-dir", str(data_dir), *arguments, **options)
        self.address = self.announced("http")
        self.http = requests.Session()
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=64)
        self.http.mount("http://", adapter)

    def url(self, path: str = "") -> str:
        return f"{self.scheme}://{self.address}{path}"

    def post(self, body: str | dict, accept: str = "application/json", headers: dict | None = None, **options):
        """POST /v1/query: SQL as text, or a JSON request. The caller judges the status."""
        headers = {"Accept": accept} | (headers or {})
        if isinstance(body, str):
            headers["Content-Type"] = "application/sql"
            return self.http.post(self.url("/v1/query"), data=body.encode(), headers=headers, **options)
        return self.http.post(self.url("/v1/query"), json=body, headers=headers, **options)

    def table(self, body: str | dict) -> "pyarrow.Table":
        """The answer as an Arrow table."""
        response = self.post(body, ARROW_STREAM)
        assert response.status_code == 200, response.text
        return pyarrow.ipc.open_stream(io.BytesIO(response.content)).read_all()

    def rows(self, body: str | dict) -> list[tuple]:
        """The answer as Python tuples."""
        table = self.table(body)
        columns = [column.to_pylist() for column in table.columns]
        return list(zip(*columns, strict=True))

    def value(self, body: str | dict):
        """The only value of the answer."""
        ((value,),) = self.rows(body)
        return value

    def submit(self, sql: str, **options) -> dict:
        """Starts a query asynchronously; the status document."""
        response = self.post({"sql": sql} | options, headers={"Prefer": "respond-async"})
        assert response.status_code == 202, response.text
        return response.json() | {"location": response.headers["Location"]}

    def status(self, query_id: str) -> dict:
        response = self.http.get(self.url(f"/v1/queries/{query_id}"))
        assert response.status_code == 200, response.text
        return response.json()

    def wait_for_state(self, query_id: str, *states: str, seconds: float = 30) -> dict:
        def reached():
            status = self.status(query_id)
            return status if status["state"] in states else None

        return wait_until(reached, seconds, f"state {'/'.join(states)} of {query_id}")

    def at_rest(self, seconds: float = 2.0):
        """Nothing of any query is left: none runs or waits, none holds memory or spill files."""

        def rest():
            others = "state IN ('received', 'planning', 'queued', 'running') AND sql NOT LIKE '%rest_marker%'"
            busy = self.value(f"SELECT count(*) AS rest_marker FROM system.queries WHERE {others}")
            asking = "SELECT id FROM system.queries WHERE sql LIKE '%rest_marker%'"
            of_others = f"scope = 'query' AND name NOT IN ({asking})"
            held = self.value(f"SELECT coalesce(sum(used_bytes), 0) AS rest_marker FROM system.memory WHERE {of_others}")
            return busy == 0 and held == 0

        wait_until(rest, seconds, "the server at rest")
        spilled = [path for path in self.data_dir.glob("spill/**/*") if path.is_file()]
        assert not spilled, spilled


@contextlib.contextmanager
def serving(data_dir: pathlib.Path, *arguments: str, **options):
    """A server for the length of the block; it must stop cleanly on SIGTERM."""
    server = Server(data_dir, *arguments, **options)
    try:
        yield server
    except BaseException:
        server.kill()
        print(server.log_text())
        raise
    if server.process.poll() is None:
        assert server.terminate() == 0, server.log_text()
