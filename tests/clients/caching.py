"""Asking a server with a result cache, and seeing where its answers came from."""

import pytest

# Files of these tests are young; how long a file must be left alone has tests of its own.
TRUST_FILES = ("--set", "cache.min_file_age=0s")


@pytest.fixture
def server(serve):
    with serve(*TRUST_FILES) as server:
        assert server.post("CREATE TABLE t AS SELECT * FROM (VALUES (1, 'a'), (2, 'b'), (3, NULL)) AS v (n, s)").ok
        yield server


def ask(server, body, accept="text/csv", **options):
    """Where the answer came from, and the answer."""
    response = server.post(body, accept, **options)
    assert response.status_code == 200, response.text
    return response.headers["X-Cache"], response.text.replace("\r\n", "\n")


def cached(server, body, **options):
    """Asks until it is known, and gives the answer that is known."""
    first = ask(server, body, **options)
    assert first[0] == "miss", first
    again = ask(server, body, **options)
    assert again == ("hit", first[1])
    return first[1]


def cache_metrics(server):
    lines = [line.split(" ") for line in server.http.get(server.url("/metrics")).text.splitlines()]
    return {line[0].removeprefix("tidemill_cache_"): int(line[1]) for line in lines if line[0].startswith("tidemill_cache_")}
