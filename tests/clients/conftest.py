"""Servers that the tests share."""

import pytest

from server import Server, serving


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> Server:
    """One server with the demo tables for all tests that leave nothing behind."""
    with serving(tmp_path_factory.mktemp("demo"), "--demo") as server:
        yield server


@pytest.fixture
def fresh(tmp_path) -> Server:
    """A server of the test's own."""
    with serving(tmp_path / "data") as server:
        yield server


@pytest.fixture
def serve(tmp_path):
    """Starts servers with arguments of the test's choice: `with serve("--set", "admission.max_running=1") as server`."""
    return lambda *arguments, **options: serving(tmp_path / "data", *arguments, **options)
