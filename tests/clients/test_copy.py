"""COPY to places where no files can be: an error of the client's, which names the place, and nothing left behind."""

import pytest

ROWS = "(SELECT value AS v, value % 2 AS k FROM generate_series(1, 10) g(value))"


@pytest.mark.parametrize("layout", ["STORED AS CSV", "STORED AS PARQUET", "STORED AS CSV PARTITIONED BY (k)"])
def test_a_place_that_can_not_be_written(demo, tmp_path, layout):
    blocked = tmp_path / "r.csv"
    blocked.write_text("kept")
    for place, why in [(f"{blocked}/x.csv", f"'{blocked}' is a file"), ("/proc/nope/x.csv", "can not be written")]:
        problem = demo.post(f"COPY {ROWS} TO '{place}' {layout}")
        document = problem.json()
        assert (problem.status_code, document["code"], document["retryable"]) == (400, "INVALID_REQUEST", False), document
        assert place in document["detail"] and why in document["detail"] and document["hint"]
    assert blocked.read_text() == "kept"


@pytest.mark.parametrize("layout", ["STORED AS CSV", "STORED AS PARQUET", "STORED AS PARQUET PARTITIONED BY (k)"])
def test_what_fails_leaves_no_folder(demo, tmp_path, layout):
    failing = "SELECT value % 5 AS k, 1 / (value - 900000) AS x FROM generate_series(1, 1000000) g(value)"
    problem = demo.post(f"COPY ({failing}) TO '{tmp_path}/a/b/' {layout}")
    assert problem.json()["code"] == "DIVISION_BY_ZERO", problem.text
    assert list(tmp_path.iterdir()) == []
