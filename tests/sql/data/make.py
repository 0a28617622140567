"""Writes the fixtures of the SQL corpus. Run it only to change them: the files are committed.

    python tests/sql/data/make.py      (needs pyarrow and polars)
"""

import csv
import datetime
import decimal
import gzip
import json
import pathlib

import polars
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as parquet

HERE = pathlib.Path(__file__).parent

PEOPLE = [
    # id, name, age, city, salary, hired, active
    (1, "Ada", 36, "London", 5200.50, "2019-03-01", True),
    (2, "Grace", 45, "New York", 6100.00, "2017-07-15", True),
    (3, "Alan", 41, "London", 5800.25, "2018-11-30", False),
    (4, "Edsger", None, "Rotterdam", 4900.00, "2020-01-20", True),
    (5, "Barbara", 39, None, 7000.75, "2015-05-05", None),
    (6, "Donald", 52, "Stanford", None, "2012-09-09", True),
    (7, "Élise", 29, "Zürich", 4300.00, "2023-02-28", True),
    (8, "李雷", 33, "北京", 3999.99, "2022-12-31", False),
]
NAMES = ["id", "name", "age", "city", "salary", "hired", "active"]


def people() -> pa.Table:
    columns = list(zip(*PEOPLE, strict=True))
    return pa.table(
        {
            "id": pa.array(columns[0], pa.int64()),
            "name": pa.array(columns[1], pa.string()),
            "age": pa.array(columns[2], pa.int32()),
            "city": pa.array(columns[3], pa.string()),
            "salary": pa.array(columns[4], pa.float64()),
            "hired": pa.array([datetime.date.fromisoformat(day) for day in columns[5]], pa.date32()),
            "active": pa.array(columns[6], pa.bool_()),
        }
    )


def write_text_formats() -> None:
    def text(value):
        if value is None:
            return ""
        return str(value).lower() if isinstance(value, bool) else value

    rows = [[text(value) for value in row] for row in PEOPLE]
    variants = [("people.csv", ",", True), ("people.tsv", "\t", True), ("people_pipe.csv", "|", True), ("people_bare.csv", ",", False)]
    for name, delimiter, header in variants:
        with open(HERE / name, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
            if header:
                writer.writerow(NAMES)
            writer.writerows(rows)
    lines = "".join(json.dumps(dict(zip(NAMES, row, strict=True)), ensure_ascii=False) + "\n" for row in PEOPLE)
    (HERE / "people.ndjson").write_text(lines, encoding="utf-8")
    for name in ["people.csv", "people.ndjson"]:
        # No time stamp in the header: the same bytes every time.
        (HERE / f"{name}.gz").write_bytes(gzip.compress((HERE / name).read_bytes(), mtime=0))
    (HERE / "quoted.csv").write_text(
        'id,text\n1,"a, b"\n2,"say ""hi"""\n3,"two\nlines"\n4,\n5,plain\n', encoding="utf-8"
    )
    (HERE / "ragged.csv").write_text("a,b\n1,2\n3,4,5\n", encoding="utf-8")
    (HERE / "bad_number.csv").write_text("id,amount\n1,10\n2,ten\n", encoding="utf-8")
    (HERE / "comments.csv").write_text("# made by hand\nid;amount\n1;10\n# between\n2;NA\n3;30\n", encoding="utf-8")
    (HERE / "empty.csv").write_text("", encoding="utf-8")
    (HERE / "header_only.csv").write_text("a,b\n", encoding="utf-8")
    nested = [
        {"id": 1, "user": {"name": "Ada", "langs": ["en", "fr"]}, "score": 1.5},
        {"id": 2, "user": {"name": "Bob", "langs": []}, "score": None},
        {"id": 3, "user": {"name": None, "langs": ["de"]}, "score": -2.0},
    ]
    (HERE / "nested.ndjson").write_text("".join(json.dumps(row) + "\n" for row in nested), encoding="utf-8")
    (HERE / "broken.ndjson").write_text('{"a": 1}\n{"a": \n', encoding="utf-8")


def write_binary_formats() -> None:
    table = people()
    parquet.write_table(table, HERE / "people.parquet", row_group_size=3)
    feather.write_feather(table, HERE / "people.arrow", compression="uncompressed")
    with pa.ipc.new_stream(HERE / "people.arrows", table.schema) as writer:
        writer.write_table(table)
    polars.from_arrow(table).write_avro(HERE / "people.avro")
    (HERE / "broken.parquet").write_bytes(b"PAR1 this is not a parquet file PAR1")


def write_types() -> None:
    zone = datetime.timezone.utc
    moment = datetime.datetime(2024, 2, 29, 12, 34, 56, 789000)
    table = pa.table(
        {
            "bool": pa.array([True, False, None]),
            "i8": pa.array([-128, 127, None], pa.int8()),
            "i16": pa.array([-32768, 32767, None], pa.int16()),
            "i32": pa.array([-(2**31), 2**31 - 1, None], pa.int32()),
            "i64": pa.array([-(2**63), 2**63 - 1, None], pa.int64()),
            "u8": pa.array([0, 255, None], pa.uint8()),
            "u16": pa.array([0, 65535, None], pa.uint16()),
            "u32": pa.array([0, 2**32 - 1, None], pa.uint32()),
            "u64": pa.array([0, 2**64 - 1, None], pa.uint64()),
            "f32": pa.array([1.5, float("inf"), None], pa.float32()),
            "f64": pa.array([0.1, float("nan"), None], pa.float64()),
            "dec": pa.array([decimal.Decimal("12345.67"), decimal.Decimal("-0.01"), None], pa.decimal128(10, 2)),
            "text": pa.array(["plain", "", None], pa.string()),
            "binary": pa.array([b"\x00\xff", b"", None], pa.binary()),
            "day": pa.array([datetime.date(2024, 2, 29), datetime.date(1969, 12, 31), None], pa.date32()),
            "ts": pa.array([moment, datetime.datetime(1969, 12, 31, 23, 59, 59), None], pa.timestamp("us")),
            "tstz": pa.array([moment.replace(tzinfo=zone), datetime.datetime(2000, 1, 1, tzinfo=zone), None], pa.timestamp("us", "UTC")),
            "time": pa.array([datetime.time(1, 2, 3), datetime.time(23, 59, 59), None], pa.time64("us")),
            "list": pa.array([[1, 2, None], [], None], pa.list_(pa.int64())),
            "struct": pa.array([{"x": 1, "y": "a"}, {"x": None, "y": None}, None], pa.struct([("x", pa.int64()), ("y", pa.string())])),
            "map": pa.array([[("a", 1), ("b", 2)], [], None], pa.map_(pa.string(), pa.int64())),
            "dict": pa.array(["red", "green", None], pa.string()).dictionary_encode(),
        }
    )
    parquet.write_table(table, HERE / "types.parquet")


def write_folders() -> None:
    for year, month, amounts in [(2023, 11, [10, 20]), (2023, 12, [30]), (2024, 1, [40, 50, 60])]:
        folder = HERE / "events" / f"year={year}" / f"month={month:02}"
        folder.mkdir(parents=True, exist_ok=True)
        rows = pa.table({"id": pa.array(range(len(amounts)), pa.int64()), "amount": pa.array(amounts, pa.int64())})
        parquet.write_table(rows, folder / "part-0.parquet")
    many = HERE / "many"
    many.mkdir(exist_ok=True)
    for part in range(3):
        rows = pa.table({"part": pa.array([part] * 2, pa.int64()), "value": pa.array([part * 10, part * 10 + 1], pa.int64())})
        parquet.write_table(rows, many / f"part-{part}.parquet")
    evolved = HERE / "evolved"
    evolved.mkdir(exist_ok=True)
    parquet.write_table(pa.table({"id": pa.array([1, 2], pa.int64())}), evolved / "a.parquet")
    wider = pa.table({"id": pa.array([3], pa.int64()), "note": pa.array(["new"], pa.string())})
    parquet.write_table(wider, evolved / "b.parquet")


if __name__ == "__main__":
    write_text_formats()
    write_binary_formats()
    write_types()
    write_folders()
