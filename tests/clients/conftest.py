"""Servers that the tests share."""

import uuid

import pytest

import flight_sql
import substrait_plans
from server import Server, serving

ORDERS = """CREATE TABLE orders AS SELECT * FROM (VALUES (1, 'ann', 1.50, TIMESTAMP '2026-01-01 10:00:00'), (2, 'bob', 2.50, NULL),
    (3, NULL, NULL, TIMESTAMP '2026-01-03 10:00:00')) t(id, name, amount, at)"""


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


@pytest.fixture(scope="session")
def flight(tmp_path_factory) -> Server:
    """One server with a table `orders` for all tests of Flight SQL that clean up after themselves."""
    with serving(tmp_path_factory.mktemp("flight")) as server:
        assert server.post(ORDERS).status_code == 200
        yield server


@pytest.fixture
def client(flight) -> flight_sql.Client:
    """A client of that server, over bare gRPC."""
    with flight_sql.Client(flight) as client:
        yield client


@pytest.fixture
def connection(flight):
    """An ADBC connection to that server."""
    with flight_sql.adbc(flight) as connection:
        yield connection


@pytest.fixture(scope="session")
def guarded(tmp_path_factory) -> Server:
    """A server where `ann` with password `secret` may everything, and the token's `loader` may read."""
    from test_lifecycle import auth_config

    folder = tmp_path_factory.mktemp("guarded")
    with serving(folder / "data", "--config", str(auth_config(folder)), "--set", "http.max_failed_logins=0") as server:
        yield server


@pytest.fixture
def scratch(flight):
    """The name of a table that is dropped after the test."""
    name = f"scratch_{uuid.uuid4().hex[:12]}"
    yield name
    flight.post(f"DROP TABLE IF EXISTS {name}")


@pytest.fixture(scope="session")
def shop(tmp_path_factory) -> Server:
    """One server with the tables of `substrait_plans` for all tests of Substrait, which leave them as they are."""
    with serving(tmp_path_factory.mktemp("shop")) as server:
        substrait_plans.furnish(server)
        yield server


@pytest.fixture(scope="session")
def driver(shop):
    """An ADBC connection to that server."""
    with substrait_plans.connect(shop) as connection:
        yield connection


@pytest.fixture(scope="session")
def frames(driver):
    """A DataFusion of the client's own that knows the tables of that server, all of them empty."""
    import datafusion
    import pyarrow.dataset

    context = datafusion.SessionContext()
    for name in ["sales", "numbers", "large"]:
        context.register_dataset(name, pyarrow.dataset.dataset(driver.adbc_get_table_schema(name).empty_table()))
    return context
