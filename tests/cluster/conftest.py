"""Clusters, the data that they read, and the network, disks and stores that fail under them."""

import pathlib

import pyarrow as pa
import pyarrow.parquet
import pytest

import work
from cluster import Cluster
from network import Network
from server import serving
from storage import KEYS, Store


@pytest.fixture(scope="session")
def tpch(tmp_path_factory) -> pathlib.Path:
    """The folder of the TPC-H tables at scale 0.1."""
    folder = tmp_path_factory.mktemp("tpch")
    with serving(folder, "--demo"):
        pass
    return folder / "demo"


@pytest.fixture(scope="session")
def lake(tmp_path_factory) -> pathlib.Path:
    """A folder with the table `facts`, in files enough for every worker to have some."""
    folder = tmp_path_factory.mktemp("lake") / "facts"
    folder.mkdir()
    for part in range(work.PARTS):
        pyarrow.parquet.write_table(work.facts(part), folder / f"part-{part}.parquet")
    return folder.parent


@pytest.fixture(scope="session")
def store():
    """An S3 server with `facts/` in it, which fails when told to."""
    store = Store()
    for part in range(work.PARTS):
        body = pa.BufferOutputStream()
        pyarrow.parquet.write_table(work.facts(part), body)
        store.put(f"facts/part-{part}.parquet", body.getvalue().to_pybytes())
    yield store
    store.stop()


@pytest.fixture(scope="session")
def config(tmp_path_factory, lake, store) -> pathlib.Path:
    """What coordinator and workers are both told."""
    path = tmp_path_factory.mktemp("config") / "cluster.toml"
    path.write_text(
        f"""
[catalogs.lake.schemas.public]
location = "{lake}"

[storage.s3]
endpoint = "{store.endpoint}"
region = "{KEYS["AWS_REGION"]}"
access_key_id = "{KEYS["AWS_ACCESS_KEY_ID"]}"
secret_access_key = "{KEYS["AWS_SECRET_ACCESS_KEY"]}"

[settings]
catalog = "lake"
result_cache = "off"
"""
    )
    return path


@pytest.fixture(scope="session")
def deep(config, tmp_path_factory) -> str:
    """A query whose stages each compute long enough to be met while they do."""
    with serving(tmp_path_factory.mktemp("weigh"), "--config", str(config)) as server:
        return work.deep(work.weigh(server))


@pytest.fixture
def cluster(tmp_path, config):
    """Starts clusters of the test's own: `cluster(workers=3, "--set", "cluster.retries=0")`."""
    started: list[Cluster] = []

    def start(*coordinator: str, workers: int = 2, slots: int = 1, worker: tuple[str, ...] = (), **options) -> Cluster:
        folder = tmp_path / f"cluster-{len(started)}"
        folder.mkdir()
        made = Cluster(folder, config, *coordinator, **options)
        started.append(made)
        for _ in range(workers):
            made.start_worker(*worker, slots=slots)
        return made

    yield start
    for made in started:
        print(made.logs())
        made.close()


@pytest.fixture(scope="module")
def steady(tmp_path_factory, config):
    """One cluster of two workers for the tests of a file that leave it as it was."""
    made = Cluster(tmp_path_factory.mktemp("steady"), config)
    try:
        for _ in range(2):
            made.start_worker()
        yield made
    finally:
        print(made.logs())
        made.close()


@pytest.fixture
def network():
    """A network with a host for each of two workers."""
    network = Network(hosts=2)
    yield network
    network.remove()


@pytest.fixture
def apart(cluster, network):
    """A cluster whose two workers are hosts of that network, in the order of its hosts."""
    made = cluster(workers=0, scheduler=f"{network.gateway}:0")
    for host in network.hosts:
        made.start_worker(listen=f"{network.address(host)}:0", within=network.within(host))
    return made
