"""`tidemill sql`: embedded and against a server, formats, pipes, exit codes."""

import contextlib
import io
import json
import os
import pty
import select
import signal
import subprocess
import termios
import time

import pandas
import pyarrow.ipc
import pyarrow.parquet
import pytest

from server import binary, clean_environment, run, serving, wait_until
from test_lifecycle import TOKEN, auth_config, certificate
from test_limits import ENDLESS

SQL = "SELECT 1 AS a, 'x, y' AS b"


def sql(tmp_path, *arguments, **options):
    own = [] if "--url" in arguments else ["--data-dir", str(tmp_path / "cli")]
    return run("sql", *own, *arguments, **options)


@pytest.fixture(params=["http", "grpc"])
def door(request):
    """The URL of a server in each of the protocols that the command line speaks."""
    return lambda server: f"{request.param}://{server.address}"


def test_formats(tmp_path):
    output = lambda form: sql(tmp_path, "-c", SQL, "--format", form).stdout  # noqa: E731
    assert pandas.read_csv(io.BytesIO(output("csv"))).to_dict("records") == [{"a": 1, "b": "x, y"}]
    assert json.loads(output("ndjson")) == {"a": 1, "b": "x, y"}
    assert "x, y" in output("json").decode() and json.loads(output("json"))
    assert output("markdown").decode().startswith("|")
    assert "x, y" in output("table").decode()
    assert pyarrow.parquet.read_table(io.BytesIO(output("parquet"))).to_pylist() == [{"a": 1, "b": "x, y"}]
    arrow = output("arrow")
    reader = pyarrow.ipc.open_file(arrow) if arrow.startswith(b"ARROW1") else pyarrow.ipc.open_stream(arrow)
    assert reader.read_all().to_pylist() == [{"a": 1, "b": "x, y"}]


def test_output_to_a_pipe_is_clean(tmp_path):
    ended = sql(tmp_path, "-c", SQL, "--format", "csv")
    assert ended.returncode == 0 and ended.stdout == b'a,b\n1,"x, y"\n'
    assert b"\x1b" not in ended.stdout + ended.stderr


def test_script_from_file_and_standard_input(tmp_path):
    script = tmp_path / "script.sql"
    script.write_text("CREATE TABLE t AS SELECT 7 AS x;\n-- a comment; with a semicolon\nSELECT x FROM t;\n")
    from_file = sql(tmp_path, "-f", str(script), "--format", "csv")
    from_pipe = sql(tmp_path, "--format", "csv", stdin=script.read_text())
    assert from_file.stdout == from_pipe.stdout == b"x\n7\n"


def test_commands_add_up(tmp_path):
    ended = sql(tmp_path, "-c", "SELECT 1 AS a", "-c", "SELECT 2 AS a; SELECT 3 AS a", "--format", "csv")
    assert ended.stdout == b"a\n1\n\na\n2\n\na\n3\n", ended.stderr
    # The first that fails is the last.
    ended = sql(tmp_path, "-c", "SELECT 1 / 0", "-c", "SELECT 2 AS a", "--format", "csv")
    assert (ended.returncode, ended.stdout) == (1, b""), ended.stderr


def test_files_of_the_machine_are_tables(tmp_path):
    (tmp_path / "in.csv").write_text("k,v\na,1\nb,2\n")
    ended = sql(tmp_path, "-c", f"SELECT sum(v) AS s FROM '{tmp_path}/in.csv'", "--format", "csv")
    assert ended.stdout == b"s\n3\n", ended.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["-c", "SELECT 1"], 0),
        (["-c", "SELEC 1"], 1),
        (["-c", "SELECT 1 / 0"], 1),
        (["--no-such-flag"], 2),
        (["-c", "SELECT 1", "-f", "x.sql"], 2),
        (["-f", "/no/such/script.sql"], 2),
        (["--url", "http://127.0.0.1:1", "-c", "SELECT 1"], 3),
        (["--url", "grpc://127.0.0.1:1", "-c", "SELECT 1"], 3),
        (["--url", "grpc+tls://127.0.0.1:1", "-c", "SELECT 1"], 3),
        (["--url", "grpc://127.0.0.1", "-c", "SELECT 1"], 2),
        (["--url", "ftp://127.0.0.1:1", "-c", "SELECT 1"], 2),
    ],
)
def test_exit_codes(tmp_path, arguments, code):
    ended = sql(tmp_path, *arguments)
    assert ended.returncode == code, ended.stderr
    assert code == 0 or ended.stderr


@pytest.mark.parametrize("form", ["json", "ndjson", "csv", "markdown"])
def test_several_results_can_be_read_one_by_one(tmp_path, form):
    script = "SELECT 1 AS a, 'x' AS s UNION ALL SELECT 2, 'y\ny' ORDER BY 1; CREATE TABLE t AS SELECT 1 AS b; SELECT b FROM t; SELECT b FROM t WHERE b > 1"
    ended = sql(tmp_path, "-c", script, "--format", form)
    assert ended.returncode == 0, ended.stderr
    text = ended.stdout.decode()
    if form == "json":
        assert [json.loads(line) for line in text.splitlines()] == [[{"a": 1, "s": "x"}, {"a": 2, "s": "y\ny"}], [{"b": 1}], []]
        return
    results = text.split("\n\n")
    alone = [sql(tmp_path, "-c", script.split("; ")[0], "--format", form).stdout.decode().rstrip("\n")]
    assert results[:1] == alone
    if form == "ndjson":
        assert [json.loads(line) for line in text.splitlines() if line] == [{"a": 1, "s": "x"}, {"a": 2, "s": "y\ny"}, {"b": 1}]
    else:
        assert len(results) == 3 and "b" in results[1] and "b" in results[2]


def test_the_first_failure_stops_the_script(tmp_path):
    ended = sql(tmp_path, "-c", "SELECT 1 AS one; SELECT nope; SELECT 2 AS two", "--format", "csv")
    assert ended.returncode == 1 and b"one" in ended.stdout and b"two" not in ended.stdout


def test_against_a_server(demo, door):
    ended = run("sql", "--url", door(demo), "-c", "SELECT count(*) AS n FROM demo.public.region", "--format", "csv")
    assert ended.returncode == 0 and ended.stdout == b"n\n5\n", ended.stderr
    # One session for all statements of a run.
    ended = run("sql", "--url", door(demo), "-c", "SET time_zone = 'Asia/Tokyo'; SHOW time_zone", "--format", "csv")
    assert b"Asia/Tokyo" in ended.stdout
    failed = run("sql", "--url", door(demo), "-c", "SELECT n_nme FROM demo.public.nation")
    assert failed.returncode == 1 and b"n_name" in failed.stderr


def test_an_error_is_told_alike_through_every_door(demo, door, tmp_path):
    for statement in ["SELECT 1;\nSELECT\n  nope", "SELEC 1", "SELECT 1 / 0", "SELECT * FROM no.such.table", "SET no_such = 1"]:
        here, there = sql(tmp_path, "-c", statement), run("sql", "--url", door(demo), "-c", statement)
        assert (there.returncode, there.stderr) == (here.returncode, here.stderr)
    # One that comes after the first rows.
    late = "SELECT 1 / (2000000 - value) AS x FROM generate_series(1, 3000000) g(value)"
    broken = run("sql", "--url", door(demo), "-c", late, "--format", "csv")
    assert broken.returncode == 1 and b"division by zero" in broken.stderr.lower() and broken.stdout


def test_results_are_alike_through_every_door(demo, door):
    statement = "SELECT * FROM demo.public.orders ORDER BY o_orderkey LIMIT 1000"
    for form in ["table", "csv", "json", "ndjson", "markdown", "parquet", "arrow"]:
        grown = [run("sql", "--url", url, "-c", statement, "--format", form) for url in (demo.url(), door(demo))]
        assert grown[0].returncode == grown[1].returncode == 0, grown[1].stderr
        assert grown[0].stdout == grown[1].stdout, form


def test_changes_are_counted_and_take_effect_once(fresh, door):
    script = "CREATE TABLE t (x INT); INSERT INTO t VALUES (1), (2), (3); DELETE FROM t WHERE x > 1; SELECT x FROM t"
    ended = run("sql", "--url", door(fresh), "-c", script, "--format", "csv")
    assert ended.returncode == 0 and ended.stdout == b"count\n3\n\ncount\n2\n\nx\n1\n", ended.stderr
    nothing = run("sql", "--url", door(fresh), "-c", "SELECT x FROM t WHERE x > 1", "--format", "csv")
    assert nothing.returncode == 0 and nothing.stdout == b"x\n"


@pytest.mark.parametrize(("asked", "right"), [("https", "http"), ("grpc+tls", "grpc")])
def test_tls_where_there_is_none(demo, asked, right):
    ended = run("sql", "--url", f"{asked}://{demo.address}", "-c", "SELECT 1")
    assert ended.returncode == 3 and f"without TLS; try {right}://{demo.address}".encode() in ended.stderr, ended.stderr


@pytest.mark.parametrize("scheme", ["https", "grpc+tls"])
def test_credentials_and_tls(tmp_path, scheme):
    cert, key = certificate(tmp_path, "one")
    settings = ["--config", str(auth_config(tmp_path)), "--set", f"http.tls.cert={cert}", "--set", f"http.tls.key={key}"]
    with serving(tmp_path / "data", *settings) as server:

        def ask(*arguments, trusted=True, **environment):
            roots = {"SSL_CERT_FILE": str(cert)} if trusted else {}
            url = f"{scheme}://{server.address}"
            return run("sql", "--url", url, *arguments, "-c", "SELECT 1 AS a", "--format", "csv", **roots, **environment)

        for let_in in [
            ask("--user", "ann", TIDEMILL_PASSWORD="secret"),
            ask("--token-env", "MY_TOKEN", MY_TOKEN=TOKEN),
        ]:
            assert let_in.returncode == 0 and let_in.stdout == b"a\n1\n", let_in.stderr
        for refused in [
            ask(),
            ask("--user", "ann", TIDEMILL_PASSWORD="wrong"),
            ask("--token-env", "MY_TOKEN", MY_TOKEN="wrong"),
        ]:
            assert refused.returncode == 3 and b"refuses" in refused.stderr, refused.stderr
        assert b"--user" in ask().stderr
        stranger = ask("--user", "ann", trusted=False, TIDEMILL_PASSWORD="secret")
        assert stranger.returncode == 3 and b"self-signed" in stranger.stderr and b"SSL_CERT_FILE" in stranger.stderr, stranger.stderr
        plain = {"https": "http", "grpc+tls": "grpc"}[scheme]
        unencrypted = run("sql", "--url", f"{plain}://{server.address}", "-c", "SELECT 1")
        assert unencrypted.returncode == 3 and f"try {scheme}://{server.address}".encode() in unencrypted.stderr, unencrypted.stderr
        assert "secret" not in server.log_text()


def test_output_file_appears_only_when_whole(tmp_path):
    target = tmp_path / "out.parquet"
    assert sql(tmp_path, "-c", "SELECT 1 / 0 AS x", "--format", "parquet", "-o", str(target)).returncode == 1
    assert not target.exists()
    assert sql(tmp_path, "-c", SQL, "--format", "parquet", "-o", str(target)).returncode == 0
    assert pyarrow.parquet.read_table(target).num_rows == 1


def test_help_and_version():
    for arguments in [["--help"], ["serve", "--help"], ["sql", "--help"], ["config", "--help"], ["--version"]]:
        ended = run(*arguments)
        assert ended.returncode == 0 and b"tidemill" in ended.stdout.lower()


def test_config_commands():
    assert run("config", "check").returncode == 0
    explained = run("config", "explain", "memory.limit")
    assert explained.returncode == 0 and b"70%" in explained.stdout
    unknown = run("config", "explain", "memory.limt")
    assert unknown.returncode == 2 and b"memory.limit" in unknown.stdout + unknown.stderr
    assert run("config", "show", TIDEMILL__ADMISSION__MAX_RUNNING="3").stdout.count(b"TIDEMILL__ADMISSION__MAX_RUNNING") == 1
    unset = run("config", "check", TIDEMILL__STORAGE__S3__ACCESS_KEY_ID="env:NO_SUCH_VARIABLE")
    assert unset.returncode == 2 and unset.stdout.count(b"NO_SUCH_VARIABLE") == 1, unset.stdout


@contextlib.contextmanager
def started(*arguments, **options):
    """`tidemill sql` that goes on by itself; killed at the end if it is still there."""
    environment = clean_environment(**options.pop("environment", {}))
    process = subprocess.Popen([binary(), "sql", *arguments], env=environment, stderr=subprocess.PIPE, **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def folders(parent):
    return sorted(parent.glob("tidemill-sql-*"))


def working_in(parent):
    """Whether an engine has begun to work in the only folder of `parent`."""
    return [folder for folder in folders(parent) if (folder / "data" / "history.sqlite").exists()]


def queries_of(server, text, **filters):
    listed = server.http.get(server.url("/v1/queries"), params=filters).json()["queries"]
    return [query for query in listed if text in query["sql"]]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_cancels_the_query_at_the_server(fresh, door, number):
    with started("--url", door(fresh), "-c", ENDLESS) as process:
        (query,) = wait_until(lambda: queries_of(fresh, ENDLESS, state="running"), what="the query")
        process.send_signal(number)
        assert process.wait(30) == 128 + number, process.stderr.read()
    ended = fresh.wait_for_state(query["id"], "cancelled")
    assert "by anonymous" in ended["error"]["message"], ended["error"]
    assert fresh.http.get(fresh.url("/v1/sessions")).json()["sessions"] == []


def test_rows_that_nobody_reads_cancel_the_query_at_the_server(fresh, door):
    sql = "SELECT value FROM generate_series(1, 100000000) g(value)"
    with started("--url", door(fresh), "-c", sql, stdout=subprocess.PIPE) as process:
        process.stdout.read(1000)
        process.stdout.close()
        assert process.wait(30) == 0
    (query,) = queries_of(fresh, sql)
    assert "by anonymous" in fresh.wait_for_state(query["id"], "cancelled")["error"]["message"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_nothing_behind(tmp_path, number):
    target = tmp_path / "out.csv"
    arguments = ["-c", f"SELECT 1 AS one; {ENDLESS}", "-o", str(target)]
    with started(*arguments, environment={"TMPDIR": str(tmp_path)}) as process:
        wait_until(lambda: any(part.read_bytes() for part in tmp_path.glob("out.csv.part-*")), 30, "the first result")
        assert working_in(tmp_path)
        process.send_signal(number)
        assert process.wait(30) == 128 + number, process.stderr.read()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path):
    environment = {"TMPDIR": str(tmp_path)}
    with started("-c", ENDLESS, environment=environment) as killed:
        (left,) = wait_until(lambda: working_in(tmp_path), 30, "the folder")
        killed.kill()
        killed.wait()
    assert left.exists()
    other = tmp_path / "tidemill-sql-notes"
    (other / "data").mkdir(parents=True)
    with started("-c", ENDLESS, environment=environment):
        wait_until(lambda: not left.exists(), 30, "the sweep")
        (alive,) = wait_until(lambda: working_in(tmp_path), 30, "the folder of the next")
        assert run("sql", "-c", "SELECT 1", **environment).returncode == 0
        assert folders(tmp_path) == sorted([alive, other])


class Terminal:
    """`tidemill sql` at a terminal."""

    def __init__(self, *arguments, **environment):
        self.keys, terminal = pty.openpty()
        self.process = subprocess.Popen(
            [binary(), "sql", *arguments],
            stdin=terminal, stdout=terminal, stderr=terminal, close_fds=True, start_new_session=True,
            env=clean_environment(TERM="xterm", **environment),
        )
        self.terminal = terminal
        self.mode = termios.tcgetattr(terminal)
        self.seen = ""

    def type(self, text):
        os.write(self.keys, text.encode())

    def expect(self, text, seconds=30):
        """Reads on until this text appears, and forgets what came before it."""
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            ready, _, _ = select.select([self.keys], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"{text!r} did not appear in {self.seen!r}"
            self.seen += os.read(self.keys, 65536).decode(errors="replace")
        self.seen = self.seen.split(text, 1)[1]

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.keys)
        os.close(self.terminal)


@pytest.fixture
def terminal(tmp_path):
    """Opens terminals that are closed at the end."""
    opened = []

    def opens(*arguments, **environment):
        opened.append(Terminal(*arguments, HOME=str(tmp_path), XDG_STATE_HOME="", **environment))
        opened[-1].expect("tidemill> ")
        return opened[-1]

    yield opens
    for shell in opened:
        shell.close()


def test_completion_is_no_query(fresh, door, terminal):
    shell = terminal("--url", door(fresh))
    shell.type("SELECT query_id FROM system.quer\t")
    shell.expect("system.queries")
    shell.type("\x03")
    shell.expect("tidemill> ")
    shell.type("CREATE TABLE harvest (bushels INT);\n")
    shell.expect("(ok")
    shell.type("SELECT 1 FROM harv\t WHERE bush\t > 0;\n")
    shell.expect("(0 rows")
    shell.expect("tidemill> ")
    shell.type("\x04")
    assert shell.process.wait(30) == 0
    statements = [query["sql"] for query in queries_of(fresh, "")]
    assert statements == ["SELECT 1 FROM harvest WHERE bushels > 0", "CREATE TABLE harvest (bushels INT)"]


def test_a_query_that_takes_its_time_shows_how_far_it_is(fresh, door, terminal):
    shell = terminal("--url", door(fresh))
    shell.type("SELECT count(*) FROM generate_series(1, 100000000) a(x) CROSS JOIN generate_series(1, 100) b(y) WHERE x % 7 = y % 11;\n")
    shell.expect(" rows, ")
    shell.process.send_signal(signal.SIGINT)
    shell.expect("cancelled")


def test_a_session_that_was_closed_is_replaced(fresh, door, terminal):
    shell = terminal("--url", door(fresh))
    (session,) = fresh.http.get(fresh.url("/v1/sessions")).json()["sessions"]
    assert fresh.http.delete(fresh.url(f"/v1/sessions/{session['id']}")).ok
    shell.type("SELECT 1;\n")
    shell.expect("the session expired")
    shell.type("SELECT 40 + 2 AS answer;\n")
    shell.expect("42")


def test_ctrl_c_at_a_terminal_ends_the_query_and_not_the_shell(fresh, door, terminal):
    shell = terminal("--url", door(fresh))
    shell.type(f"{ENDLESS};\n")
    (query,) = wait_until(lambda: queries_of(fresh, ENDLESS, state="running"), what="the query")
    shell.process.send_signal(signal.SIGINT)
    shell.expect("cancelled")
    assert "by anonymous" in fresh.wait_for_state(query["id"], "cancelled")["error"]["message"]
    shell.type("\\c nowhere\n")
    shell.expect("catalog 'nowhere' not found")
    shell.type("SELECT 40 + 2 AS answer;\n")
    shell.expect("42")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_shell_that_is_told_to_end_leaves_nothing_behind(tmp_path, terminal, number):
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    shell = terminal(TMPDIR=str(scratch))
    (folder,) = folders(scratch)
    assert folder.stat().st_mode & 0o077 == 0
    shell.process.send_signal(number)
    assert shell.process.wait(30) == 128 + number
    assert folders(scratch) == []
    assert termios.tcgetattr(shell.terminal) == shell.mode, "the terminal is as it was"
