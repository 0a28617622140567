"""`tidemill sql`: embedded and against a server, formats, pipes, exit codes."""

import io
import json

import pandas
import pyarrow.ipc
import pyarrow.parquet
import pytest

from server import run

SQL = "SELECT 1 AS a, 'x, y' AS b"


def sql(tmp_path, *arguments, **options):
    own = [] if "--url" in arguments else ["--data-dir", str(tmp_path / "cli")]
    return run("sql", *own, *arguments, **options)


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
    ],
)
def test_exit_codes(tmp_path, arguments, code):
    ended = sql(tmp_path, *arguments)
    assert ended.returncode == code, ended.stderr
    assert code == 0 or ended.stderr


def test_the_first_failure_stops_the_script(tmp_path):
    ended = sql(tmp_path, "-c", "SELECT 1 AS one; SELECT nope; SELECT 2 AS two", "--format", "csv")
    assert ended.returncode == 1 and b"one" in ended.stdout and b"two" not in ended.stdout


def test_against_a_server(demo, tmp_path):
    ended = run("sql", "--url", demo.url(), "-c", "SELECT count(*) AS n FROM demo.public.region", "--format", "csv")
    assert ended.returncode == 0 and ended.stdout == b"n\n5\n", ended.stderr
    # One session for all statements of a run.
    ended = run("sql", "--url", demo.url(), "-c", "SET time_zone = 'Asia/Tokyo'; SHOW time_zone", "--format", "csv")
    assert b"Asia/Tokyo" in ended.stdout
    failed = run("sql", "--url", demo.url(), "-c", "SELECT n_nme FROM demo.public.nation")
    assert failed.returncode == 1 and b"n_name" in failed.stderr


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
