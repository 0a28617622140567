"""Every file of examples/ runs against the demo server."""

import os
import subprocess
import sys

import pytest

from server import ROOT, clean_environment, run

EXAMPLES = ROOT / "examples"


def files(kind: str, extension: str):
    return sorted((EXAMPLES / kind).glob(f"*.{extension}"))


@pytest.mark.parametrize("path", files("sql", "sql"), ids=lambda path: path.name)
def test_sql(demo, path):
    ended = run("sql", "--url", demo.url(), "-f", str(path), "--format", "csv")
    assert ended.returncode == 0, ended.stderr.decode()
    assert ended.stdout


@pytest.mark.parametrize("path", files("curl", "sh"), ids=lambda path: path.name)
def test_curl(demo, path, tmp_path):
    environment = clean_environment(TIDEMILL_URL=demo.url())
    ended = subprocess.run(["bash", str(path)], capture_output=True, text=True, timeout=120, env=environment, cwd=tmp_path, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout and "problem" not in ended.stdout


@pytest.mark.parametrize("path", files("python", "py"), ids=lambda path: path.name)
def test_python(demo, path, tmp_path):
    environment = clean_environment(TIDEMILL_URL=demo.url())
    ended = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=120, env=environment, cwd=tmp_path, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout


def test_every_example_is_run():
    known = {*files("sql", "sql"), *files("curl", "sh"), *files("python", "py")}
    found = {path for path in EXAMPLES.rglob("*") if path.is_file() and path.name != "README.md" and "__pycache__" not in path.parts}
    assert found == known and known
    assert all(os.access(path, os.X_OK) for path in files("curl", "sh"))
