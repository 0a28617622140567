"""Every exit code that `--help` documents, met by a process that ends with it."""

import re
import signal
import subprocess

import pytest

from server import Server, binary, clean_environment, run, serving, wait_until
from test_cli import ENDLESS, queries_of, started
from test_lifecycle import certificate


def documented(*command: str) -> set[int]:
    """The codes in the help of a command, and nothing but `Exit codes:` and what follows it."""
    text = run(*command, "--help").stdout.decode().split("Exit codes:")[1]
    return {int(code) for code in re.findall(r"(?:^|;)\s*(\d+) ", text, re.MULTILINE)}


def serve(tmp_path, *arguments):
    defaults = {"--http": "127.0.0.1:0", "--data-dir": str(tmp_path / "data")}
    given = [item for option in defaults.items() if option[0] not in arguments for item in option]
    return run("serve", *given, *arguments, timeout=60).returncode


def broken_tls(tmp_path):
    cert, key = certificate(tmp_path, "one")
    cert.write_text("not a certificate")
    return ["--set", f"http.tls.cert={cert}", "--set", f"http.tls.key={key}"]


def test_serve(tmp_path):
    seen = set()
    with serving(tmp_path / "running") as running:
        taken = serve(tmp_path, "--http", running.address), serve(tmp_path, "--data-dir", str(running.data_dir))
        assert taken == (1, 1)
        seen |= {*taken, running.terminate()}
    wrong = {
        "an unknown flag": ["--no-such-flag"],
        "an unknown key": ["--set", "memory.limt=1GiB"],
        "no such file": ["--config", str(tmp_path / "no.toml")],
        "broken TLS": broken_tls(tmp_path),
        "a TLS file that is not there": ["--set", "http.tls.cert=/no/cert.pem", "--set", "http.tls.key=/no/key.pem"],
        "everybody is the admin of all who reach it": ["--http", "0.0.0.0:0"],
        "an unknown setting": ["--set", "settings.no_such_setting=1"],
        "a setting's bad value": ["--set", "settings.priority=urgent"],
        "a limit that leaves Flight SQL closed": ["--set", "flight_sql.max_statements=0"],
    }
    found = {name: serve(tmp_path, *arguments) for name, arguments in wrong.items()}
    assert found == dict.fromkeys(wrong, 2)
    seen |= set(found.values()) | {twice_interrupted(tmp_path)}
    assert seen == documented("serve")


def twice_interrupted(tmp_path) -> int:
    """Ctrl-C waits for the queries that run; a second one does not."""
    server = Server(tmp_path / "impatient", "--set", "server.drain_timeout=1h")
    try:
        query = server.submit(ENDLESS)
        server.wait_for_state(query["id"], "running")
        server.process.send_signal(signal.SIGINT)
        wait_until(lambda: "no new queries" in server.log_text(), 30, "the drain")
        server.process.send_signal(signal.SIGINT)
        return server.process.wait(30)
    finally:
        server.process.kill()


def test_sql(fresh, tmp_path):
    ended = lambda *arguments: run("sql", *arguments).returncode  # noqa: E731
    seen = {
        ended("-c", "SELECT 1"): 0,
        ended("-c", "SELECT 1 / 0"): 1,
        ended("-c", "SELECT 1", "--set", "memory.limt=1"): 2,
        ended("--url", "http://127.0.0.1:1", "-c", "SELECT 1"): 3,
    }
    for number in [signal.SIGHUP, signal.SIGINT, signal.SIGTERM]:
        with started("--url", fresh.url(), "-c", f"{ENDLESS} -- {number}") as process:
            wait_until(lambda: queries_of(fresh, f"-- {number}", state="running"), what="the query")  # noqa: B023 - used at once
            process.send_signal(number)
            seen[process.wait(30)] = 128 + number
    assert all(found == expected for found, expected in seen.items()), seen
    assert set(seen) == documented("sql")


def test_config(tmp_path):
    with open("/dev/full", "wb") as full:
        unwritten = subprocess.run([binary(), "config", "show"], stdout=full, stderr=subprocess.PIPE, env=clean_environment(), check=False)
    assert b"No space left" in unwritten.stderr
    check = lambda *arguments: run("config", "check", "--data-dir", str(tmp_path), *arguments)  # noqa: E731
    broken = check(*broken_tls(tmp_path))
    assert b"http.tls.cert" in broken.stdout and b"certificate" in broken.stdout, broken.stdout
    wrong = [check("--set", "memory.limt=1GiB"), run("config", "explain", "memory.limt"), run("config", "--no-such-flag"), broken]
    assert [ended.returncode for ended in wrong] == [2] * len(wrong)
    assert {check().returncode, unwritten.returncode, *(ended.returncode for ended in wrong)} == documented("config")


@pytest.mark.parametrize("damage", ["missing", "garbage", "mismatch"])
def test_broken_tls_names_the_key(tmp_path, damage):
    cert, key = certificate(tmp_path, "one")
    if damage == "missing":
        key = tmp_path / "nothing.pem"
    elif damage == "garbage":
        cert.write_text("not a certificate")
    else:
        _, key = certificate(tmp_path, "two")
    arguments = ["--set", f"http.tls.cert={cert}", "--set", f"http.tls.key={key}"]
    ended = run("serve", "--http", "127.0.0.1:0", "--data-dir", str(tmp_path / "data"), *arguments, timeout=60)
    assert ended.returncode == 2 and b"listening" not in ended.stdout
    assert (b"http.tls.key" if damage == "missing" else b"http.tls.cert") in ended.stderr, ended.stderr
