"""A stage of very many partitions is computed by tasks of several each, so that giving tasks takes no time worth speaking of."""

import contextlib

import pyarrow as pa
import pyarrow.parquet
import pytest

from cluster import Cluster

FILES = 200


@pytest.fixture(scope="module")
def made(tmp_path_factory, config):
    """A cluster of one slot, with a partition for each file."""
    own = tmp_path_factory.mktemp("shares")
    (own / "numbers").mkdir()
    for number in range(FILES):
        pyarrow.parquet.write_table(pa.table({"n": [number, None]}), own / "numbers" / f"{number:03}.parquet")
    tables = own / "shares.toml"
    tables.write_text(config.read_text().replace('catalog = "lake"', 'catalog = "many"') + f'\n[catalogs.many.schemas.public.tables.numbers]\nlocation = "{own}/numbers/"\nformat = "parquet"\n')
    with contextlib.closing(Cluster(own, tables, "--set", f"cluster.partitions_per_slot={FILES}")) as made:
        made.start_worker()
        yield made
        print(made.logs())


def test_tasks_have_several_partitions(made):
    query = made.ask("SELECT sum(n), count(*) FROM numbers", arrow=True)
    assert query.outcome().rows == [(FILES * (FILES - 1) // 2, 2 * FILES)]
    made.assert_ran_on_workers(query.id)
    first = min(stage["stage_id"] for stage in query.stages())
    tasks = query.tasks(stage_id=first)
    assert 8 <= len(tasks) <= FILES // 4, len(tasks)
    assert sum(task["rows_read"] for task in tasks) == 2 * FILES, "each partition is read once"


def test_order_is_that_of_the_rows(made):
    assert made.rows("SELECT n FROM numbers WHERE n IS NOT NULL ORDER BY n DESC") == [(number,) for number in reversed(range(FILES))]


def test_at_rest_after_all_that(made):
    made.at_rest()
