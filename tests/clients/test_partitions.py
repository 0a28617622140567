"""Hive partitions: what we write others read, and what others write we read, with NULL and whatever a name can not hold."""

import duckdb
import pyarrow
import pyarrow.dataset
import pyarrow.parquet
import pytest

VALUES = ["a/b", None, "", "x=y=z", "50% #?*\\", "ü 漢", "NULL", "__HIVE_DEFAULT_PARTITION__", "%2F", "{~}|\"'", "tab\there"]


@pytest.fixture
def written(demo, tmp_path):
    """A folder that we wrote, with a file for each of the values."""
    values = ", ".join(f"(${2 * at + 1}, ${2 * at + 2})" for at in range(len(VALUES)))
    params = [item for at, value in enumerate(VALUES) for item in (at, value)]
    copy = f"COPY (SELECT * FROM (VALUES {values}) t(id, s)) TO '{tmp_path}/ours/' STORED AS PARQUET PARTITIONED BY (s)"
    response = demo.post({"sql": copy, "params": params})
    assert response.status_code == 200, response.text
    return tmp_path / "ours"


def by_id(rows):
    return [value for _, value in sorted(rows)]


def test_a_round_trip(demo, written):
    assert by_id(demo.rows(f"SELECT id, s FROM '{written}/'")) == VALUES
    assert demo.rows(f"SELECT id FROM '{written}/' WHERE s IS NULL") == [(VALUES.index(None),)]
    assert demo.rows(f"SELECT id FROM '{written}/' WHERE s = ''") == [(VALUES.index(""),)]
    assert demo.value(f"SELECT count(s) FROM '{written}/'") == len(VALUES) - 1


def test_duckdb_reads_ours(written):
    rows = duckdb.sql(f"SELECT id, s FROM read_parquet('{written}/*/*.parquet', hive_partitioning = true)").fetchall()
    assert by_id(rows) == VALUES


def test_pyarrow_reads_ours(written):
    table = pyarrow.dataset.dataset(written, partitioning="hive").to_table()
    rows = zip(table["id"].to_pylist(), table["s"].to_pylist(), strict=True)
    # pyarrow decodes first, and then takes the text for NULL.
    assert by_id(rows) == [None if value == "__HIVE_DEFAULT_PARTITION__" else value for value in VALUES]


def test_we_read_what_duckdb_writes(demo, tmp_path):
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t (id INT, s VARCHAR)")
    connection.executemany("INSERT INTO t VALUES (?, ?)", list(enumerate(VALUES)))
    connection.execute(f"COPY t TO '{tmp_path}/duck' (FORMAT parquet, PARTITION_BY (s))")
    assert by_id(demo.rows(f"SELECT id, s FROM '{tmp_path}/duck/'")) == VALUES


def test_we_read_what_pyarrow_writes(demo, tmp_path):
    # It writes NULL and the text that is spelled so into one folder.
    values = [value for value in VALUES if value != "__HIVE_DEFAULT_PARTITION__"]
    table = pyarrow.table({"id": list(range(len(values))), "s": values})
    pyarrow.parquet.write_to_dataset(table, tmp_path / "arrow", partition_cols=["s"])
    assert by_id(demo.rows(f"SELECT id, s FROM '{tmp_path}/arrow/'")) == values


def test_every_type_keeps_its_nulls(demo, tmp_path):
    columns = {
        "n": ("BIGINT", "-7"),
        "f": ("DOUBLE", "1.5"),
        "d": ("DATE", "DATE '2024-02-29'"),
        "b": ("BOOLEAN", "true"),
        "at": ("TIMESTAMP", "TIMESTAMP '2024-02-29 12:30:00'"),
        "m": ("DECIMAL(9, 2)", "12.50"),
    }
    for name, (kind, value) in columns.items():
        folder = f"{tmp_path}/{name}/"
        rows = f"SELECT 1 AS id, CAST({value} AS {kind}) AS {name} UNION ALL SELECT 2, NULL"
        response = demo.post(f"COPY ({rows}) TO '{folder}' STORED AS PARQUET PARTITIONED BY ({name})")
        assert response.status_code == 200, response.text
        assert len(list((tmp_path / name).iterdir())) == 2
        assert (tmp_path / name / f"{name}=__HIVE_DEFAULT_PARTITION__").is_dir()
        cast = f"CAST({name} AS {kind}) = {value}"
        assert demo.rows(f"SELECT id, {name} IS NULL, {cast} FROM '{folder}' ORDER BY id") == [(1, False, True), (2, True, None)]


def test_inserting_into_a_partitioned_table(fresh, tmp_path):
    folder = tmp_path / "table"
    folder.mkdir()
    made = f"CREATE EXTERNAL TABLE parted (id BIGINT, n BIGINT, s VARCHAR) STORED AS PARQUET PARTITIONED BY (n, s) LOCATION '{folder}/'"
    assert fresh.post(made).status_code == 200
    inserted = fresh.post("INSERT INTO parted VALUES (1, 1, 'a'), (2, NULL, NULL), (3, 0, ''), (4, 0, 'x=y')")
    assert inserted.status_code == 200, inserted.text
    assert fresh.rows("SELECT id, n, s FROM parted ORDER BY id") == [(1, 1, "a"), (2, None, None), (3, 0, ""), (4, 0, "x=y")]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT 1 AS id, [1, 2] AS k", "can not be partitioned by a column of type"),
        ("SELECT 1 AS id, 'x' || chr(57405) AS k", "U+E03D"),
        ('SELECT 1 AS id, 2 AS "k=v"', "k=v"),
    ],
)
def test_what_no_folder_can_be_named_by_is_refused(demo, tmp_path, query, words):
    column = '"k=v"' if "k=v" in query else "k"
    response = demo.post(f"COPY ({query}) TO '{tmp_path}/out/' STORED AS PARQUET PARTITIONED BY ({column})")
    assert 400 <= response.status_code < 500 or response.status_code == 501, response.text
    assert words in response.json()["detail"]
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").rglob("*.parquet"))
