"""The listings of Flight SQL: their exact schemas, filters, patterns, and what a broken table does to them."""

import pyarrow
import pytest

from flight_sql import Client, Message, adbc, command, rows, schema_of
from server import serving

NOT_NULL, NULL = False, True


def exactly(*fields) -> pyarrow.Schema:
    return pyarrow.schema([pyarrow.field(name, kind, nullable=nullable) for name, kind, nullable in fields])


utf8, i32, u8 = pyarrow.string(), pyarrow.int32(), pyarrow.uint8()
TABLES = [("catalog_name", utf8, NULL), ("db_schema_name", utf8, NULL), ("table_name", utf8, NOT_NULL), ("table_type", utf8, NOT_NULL)]
FOREIGN_KEYS = exactly(
    ("pk_catalog_name", utf8, NULL),
    ("pk_db_schema_name", utf8, NULL),
    ("pk_table_name", utf8, NOT_NULL),
    ("pk_column_name", utf8, NOT_NULL),
    ("fk_catalog_name", utf8, NULL),
    ("fk_db_schema_name", utf8, NULL),
    ("fk_table_name", utf8, NOT_NULL),
    ("fk_column_name", utf8, NOT_NULL),
    ("key_sequence", i32, NOT_NULL),
    ("fk_key_name", utf8, NULL),
    ("pk_key_name", utf8, NULL),
    ("update_rule", u8, NOT_NULL),
    ("delete_rule", u8, NOT_NULL),
)
TYPE_INFO = exactly(
    ("type_name", utf8, NOT_NULL),
    ("data_type", i32, NOT_NULL),
    ("column_size", i32, NULL),
    ("literal_prefix", utf8, NULL),
    ("literal_suffix", utf8, NULL),
    ("create_params", pyarrow.list_(pyarrow.field("item", utf8, nullable=False)), NULL),
    ("nullable", i32, NOT_NULL),
    ("case_sensitive", pyarrow.bool_(), NOT_NULL),
    ("searchable", i32, NOT_NULL),
    ("unsigned_attribute", pyarrow.bool_(), NULL),
    ("fixed_prec_scale", pyarrow.bool_(), NOT_NULL),
    ("auto_increment", pyarrow.bool_(), NULL),
    ("local_type_name", utf8, NULL),
    ("minimum_scale", i32, NULL),
    ("maximum_scale", i32, NULL),
    ("sql_data_type", i32, NOT_NULL),
    ("datetime_subcode", i32, NULL),
    ("num_prec_radix", i32, NULL),
    ("interval_precision", i32, NULL),
)
LISTINGS = {
    "catalogs": (command("CommandGetCatalogs"), exactly(("catalog_name", utf8, NOT_NULL))),
    "schemas": (command("CommandGetDbSchemas"), exactly(("catalog_name", utf8, NULL), ("db_schema_name", utf8, NOT_NULL))),
    "tables": (command("CommandGetTables"), exactly(*TABLES)),
    "tables with schemas": (command("CommandGetTables", {5: True}), exactly(*TABLES, ("table_schema", pyarrow.binary(), NOT_NULL))),
    "no tables with schemas": (
        command("CommandGetTables", {3: "no_such_table", 5: True}),
        exactly(*TABLES, ("table_schema", pyarrow.binary(), NOT_NULL)),
    ),
    "table types": (command("CommandGetTableTypes"), exactly(("table_type", utf8, NOT_NULL))),
    "primary keys": (
        command("CommandGetPrimaryKeys", {3: "orders"}),
        exactly(
            ("catalog_name", utf8, NULL),
            ("db_schema_name", utf8, NULL),
            ("table_name", utf8, NOT_NULL),
            ("column_name", utf8, NOT_NULL),
            ("key_sequence", i32, NOT_NULL),
            ("key_name", utf8, NULL),
        ),
    ),
    "imported keys": (command("CommandGetImportedKeys", {3: "orders"}), FOREIGN_KEYS),
    "exported keys": (command("CommandGetExportedKeys", {3: "orders"}), FOREIGN_KEYS),
    "cross reference": (command("CommandGetCrossReference", {3: "orders", 6: "orders"}), FOREIGN_KEYS),
    "types": (command("CommandGetXdbcTypeInfo"), TYPE_INFO),
}


@pytest.mark.parametrize("name", LISTINGS)
def test_the_exact_schema_of_each_listing(client, name):
    cmd, expected = LISTINGS[name]
    info = client.info(cmd)
    assert len(info.endpoints) == 1
    # One driver uses the first location and knows no other than addresses: none is the safe answer.
    assert Message(info.endpoints[0]).all(2) == []
    for schema in [info.schema, client.get(info.tickets[0]).schema, client.schema(cmd)]:
        assert schema.equals(expected, check_metadata=False), f"{schema.to_string()}\nis not\n{expected.to_string()}"
        assert [field.nullable for field in schema] == [field.nullable for field in expected]


def test_a_ticket_of_a_listing_can_be_redeemed_again_and_elsewhere(flight, client):
    (ticket,) = client.info(command("CommandGetCatalogs")).tickets
    first = client.get(ticket)
    with Client(flight) as other:
        assert other.get(ticket).equals(first) and client.get(ticket).equals(first)


@pytest.fixture(scope="module")
def furnished(tmp_path_factory):
    """A server with two catalogs, two schemas, tables whose names are patterns of each other, a view, and a table that is broken."""
    folder = tmp_path_factory.mktemp("furnished")
    (folder / "shop").mkdir()
    (folder / "shop" / "broken.parquet").write_bytes(b"PAR1 this is no Parquet file PAR1")
    (folder / "shop" / "whole.csv").write_text("k\n1\n")
    config = folder / "shop.toml"
    config.write_text(f"""
[catalogs.shop.schemas.public]
location = "{folder}/shop"

[catalogs.shop.schemas.files.tables.whole]
location = "{folder}/shop/whole.csv"

[catalogs.shop.schemas.files.tables.missing]
location = "{folder}/shop/missing.csv"
""")
    with serving(folder / "data", "--config", str(config)) as server:
        for sql in [
            "CREATE SCHEMA other",
            "CREATE TABLE t_x AS SELECT 1 AS right_one",
            "CREATE TABLE tax AS SELECT 1 AS wrong_one",
            "CREATE TABLE tbx (k BIGINT NOT NULL, d DECIMAL(12, 3), s VARCHAR, at TIMESTAMP)",
            'CREATE TABLE "100%" AS SELECT 1 AS a',
            'CREATE TABLE "Mixed Case" AS SELECT 1 AS a',
            "CREATE TABLE other.t_x AS SELECT 1 AS elsewhere",
            "CREATE VIEW seen AS SELECT 1 AS a",
        ]:
            assert server.post(sql).status_code == 200, sql
        yield server


@pytest.fixture
def lister(furnished):
    with Client(furnished) as client:
        yield client


def names(client, **filters) -> list[tuple]:
    numbers = {"catalog": 1, "schema": 2, "table": 3, "types": 4, "include_schema": 5}
    table = client.table(command("CommandGetTables", {numbers[name]: value for name, value in filters.items()}))
    return list(zip(*(table.column(name).to_pylist() for name in table.column_names[:4]), strict=True))


def test_catalogs_and_schemas(lister):
    assert lister.table(command("CommandGetCatalogs")).column(0).to_pylist() == ["shop", "tidemill"]

    def schemas(filters):
        table = lister.table(command("CommandGetDbSchemas", filters))
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))

    everything = schemas({})
    assert {("shop", "public"), ("shop", "files"), ("tidemill", "public"), ("tidemill", "other")} <= set(everything)
    assert everything == sorted(everything)
    assert schemas({1: "shop", 2: "p%"}) == [("shop", "public")]
    assert schemas({2: "publi_"}) == [("shop", "public"), ("tidemill", "public")]
    assert schemas({1: "nope"}) == schemas({1: "SHOP"}) == schemas({1: "sho_"}) == []
    # An empty catalog is one without a name: there is none.
    assert schemas({1: ""}) == []


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("t_x", ["t_x", "tax", "tbx"]),
        (r"t\_x", ["t_x"]),
        ("t%", ["t_x", "tax", "tbx"]),
        ("%x", ["t_x", "tax", "tbx"]),
        (r"100\%", ["100%"]),
        ("100%", ["100%"]),
        ("Mixed Case", ["Mixed Case"]),
        ("mixed case", []),
        ("", []),
        ("%", ["100%", "Mixed Case", "seen", "t_x", "tax", "tbx"]),
        ("no_such", []),
    ],
)
def test_patterns(lister, pattern, found):
    assert [name for _, _, name, _ in names(lister, catalog="tidemill", schema="public", table=pattern)] == found


def test_the_exact_name_comes_first(lister):
    for filters in [{}, {"schema": "public"}, {"include_schema": True, "schema": "public", "catalog": "tidemill"}]:
        assert names(lister, table="t_x", **filters)[0][2] == "t_x"
    table = lister.table(command("CommandGetTables", {1: "tidemill", 2: "public", 3: "t_x", 5: True}))
    assert schema_of(table.column("table_schema")[0].as_py()).names == ["right_one"]
    # Also where the schema is a pattern.
    assert names(lister, schema="other", table="t_x") == [("tidemill", "other", "t_x", "TABLE")]


def test_types_of_tables(lister):
    tables = ["100%", "Mixed Case", "t_x", "tax", "tbx"]
    here = {"catalog": "tidemill", "schema": "public"}

    def found(*types):
        return [name for _, _, name, _ in names(lister, **here, types=list(types))]

    for types in [["TABLE"], ["table"], ["BASE TABLE"], ["BASE TABLE", "table"], ["Base Table"]]:
        assert found(*types) == tables, types
    assert found("VIEW") == found("view") == ["seen"]
    assert sorted(found("TABLE", "VIEW")) == sorted([*tables, "seen"])
    assert found("NO SUCH TYPE") == []
    assert sorted(found("NO SUCH TYPE", "VIEW")) == ["seen"]
    known = lister.table(command("CommandGetTableTypes")).column(0).to_pylist()
    assert known == sorted(known)
    assert {kind for _, _, _, kind in names(lister)} <= set(known)


def test_a_broken_table_breaks_no_listing(lister):
    listed = {name for _, _, name, _ in names(lister, catalog="shop")}
    assert {"broken", "whole", "missing"} <= listed
    with_schema = lister.table(command("CommandGetTables", {1: "shop", 5: True}))
    assert "whole" in with_schema.column("table_name").to_pylist()
    assert "broken" not in with_schema.column("table_name").to_pylist()
    assert with_schema.column("table_schema").null_count == 0


def test_the_schema_of_a_table_says_what_sql_knows(lister):
    table = lister.table(command("CommandGetTables", {1: "tidemill", 2: "public", 3: "tbx", 5: True}))
    schema = schema_of(table.column("table_schema")[0].as_py())
    assert schema.names == ["k", "d", "s", "at"]
    assert schema.types == [pyarrow.int64(), pyarrow.decimal128(12, 3), utf8, pyarrow.timestamp("ns")]
    assert [field.nullable for field in schema] == [False, True, True, True]

    def told(name):
        return {key.decode().removeprefix("ARROW:FLIGHT:SQL:"): value.decode() for key, value in schema.field(name).metadata.items()}

    names = {"CATALOG_NAME": "tidemill", "SCHEMA_NAME": "public", "TABLE_NAME": "tbx", "TYPE_NAME": "BIGINT"}
    assert told("k") | names | {"IS_AUTO_INCREMENT": "0", "IS_SEARCHABLE": "1"} == told("k")
    assert (told("d")["PRECISION"], told("d")["SCALE"]) == ("12", "3")
    assert (told("s")["IS_CASE_SENSITIVE"], told("k")["IS_CASE_SENSITIVE"]) == ("1", "0")


def test_the_schema_of_a_table_is_that_of_its_rows(lister):
    table = lister.table(command("CommandGetTables", {1: "tidemill", 5: True}))
    for row in table.to_pylist():
        place = f'tidemill."{row["db_schema_name"]}"."{row["table_name"]}"'
        fetched = lister.query(f"SELECT * FROM {place} LIMIT 0").schema
        said = schema_of(row["table_schema"])
        assert (said.names, said.types) == (fetched.names, fetched.types), place


def test_listings_are_made_when_they_are_fetched(lister, furnished):
    info = lister.info(command("CommandGetTables", {3: "later"}))
    assert lister.get(info.tickets[0]).num_rows == 0
    assert furnished.post("CREATE TABLE later AS SELECT 1 AS a").status_code == 200
    assert lister.get(info.tickets[0]).num_rows == 1
    assert furnished.post("DROP TABLE later").status_code == 200


def test_another_catalog_through_adbc(furnished):
    with adbc(furnished, username="anybody", password="") as connection:
        connection.adbc_current_catalog = "shop"
        rows(connection, "SET schema = 'files'")
        assert (connection.adbc_current_catalog, connection.adbc_current_db_schema) == ("shop", "files")
        assert rows(connection, "SELECT k FROM whole") == [(1,)]
        rows(connection, "SET catalog = 'tidemill'")
        rows(connection, "SET schema = 'public'")
        assert rows(connection, "SELECT right_one FROM t_x") == [(1,)]
        filtered = connection.adbc_get_objects(depth="tables", catalog_filter="shop", db_schema_filter="files").read_all().to_pylist()
        (catalog,) = filtered
        (schema,) = catalog["catalog_db_schemas"]
        assert sorted(table["table_name"] for table in schema["db_schema_tables"]) == ["missing", "whole"]


def test_types_by_number(client):
    everything = client.table(command("CommandGetXdbcTypeInfo"))
    numbers = everything.column("data_type").to_pylist()
    assert numbers == sorted(numbers) and len(everything.column_names) == 19
    varchar = client.table(command("CommandGetXdbcTypeInfo", {1: 12}))
    assert varchar.column("type_name").to_pylist() == ["VARCHAR"]
    assert client.table(command("CommandGetXdbcTypeInfo", {1: 999})).num_rows == 0
    # Each type is one that a statement may name.
    for name in everything.column("type_name").to_pylist():
        assert client.query(f"SELECT CAST(NULL AS {name}) AS v").num_rows == 1, name


# What ODBC and JDBC read of a type: its number, size, quotes, parameters, signedness, scales, number of the verbose type and
# subcode, radix.
TYPES = {
    "BOOLEAN": (-7, 1, None, None, None, None, None, None, -7, None, None),
    "TINYINT": (-6, 3, None, None, None, False, 0, 0, -6, None, 10),
    "SMALLINT": (5, 5, None, None, None, False, 0, 0, 5, None, 10),
    "INTEGER": (4, 10, None, None, None, False, 0, 0, 4, None, 10),
    "BIGINT": (-5, 19, None, None, None, False, 0, 0, -5, None, 10),
    "BIGINT UNSIGNED": (-5, 20, None, None, None, True, 0, 0, -5, None, 10),
    "REAL": (7, 7, None, None, None, False, None, None, 7, None, 10),
    "DOUBLE": (8, 15, None, None, None, False, None, None, 8, None, 10),
    "DECIMAL": (3, 76, None, None, ["precision", "scale"], False, 0, 76, 3, None, 10),
    "NUMERIC": (2, 76, None, None, ["precision", "scale"], False, 0, 76, 2, None, 10),
    "VARCHAR": (12, 2147483647, "'", "'", ["length"], None, None, None, 12, None, None),
    "TEXT": (-1, 2147483647, "'", "'", None, None, None, None, -1, None, None),
    "BYTEA": (-3, 2147483647, "X'", "'", None, None, None, None, -3, None, None),
    "DATE": (91, 10, "'", "'", None, None, None, None, 9, 1, None),
    "TIME": (92, 18, "'", "'", None, None, 0, 9, 9, 2, None),
    "TIMESTAMP": (93, 29, "'", "'", None, None, 0, 9, 9, 3, None),
}
TYPE_COLUMNS = [
    "data_type",
    "column_size",
    "literal_prefix",
    "literal_suffix",
    "create_params",
    "unsigned_attribute",
    "minimum_scale",
    "maximum_scale",
    "sql_data_type",
    "datetime_subcode",
    "num_prec_radix",
]
NULLABLE, FULLY_SEARCHABLE = 1, 3


def test_what_is_told_of_types(client):
    told = {row["type_name"]: row for row in client.table(command("CommandGetXdbcTypeInfo")).to_pylist()}
    for name, expected in TYPES.items():
        assert tuple(told[name][column] for column in TYPE_COLUMNS) == expected, name
    for name, row in told.items():
        assert (row["nullable"], row["searchable"], row["local_type_name"]) == (NULLABLE, FULLY_SEARCHABLE, name)
        assert row["case_sensitive"] == (name in ("VARCHAR", "TEXT", "CHAR")), name
        assert row["fixed_prec_scale"] == name.endswith(("INT", "INTEGER", "UNSIGNED")), name
        assert row["auto_increment"] is not True and row["interval_precision"] is None


def test_keys_of_what_is_not_there(client):
    for name in ["CommandGetPrimaryKeys", "CommandGetImportedKeys", "CommandGetExportedKeys", "CommandGetCrossReference"]:
        assert client.table(command(name, {3: "no_such_table"})).num_rows == 0


def test_primary_keys(flight, client, scratch):
    """The tables of a name with their keys, each column a row, in the order of the key; as they are now."""
    client.execute(f"CREATE TABLE {scratch} (a INT, b VARCHAR UNIQUE, \"C\" DATE, CONSTRAINT the_key PRIMARY KEY (\"C\", a))")
    client.execute(f"CREATE SCHEMA {scratch}_schema")
    try:
        other = f"{scratch}_schema.{scratch}"
        client.execute(f"CREATE TABLE {other} (id BIGINT PRIMARY KEY)")
        first = [("tidemill", "public", scratch, "C", 1, "the_key"), ("tidemill", "public", scratch, "a", 2, "the_key")]
        second = [("tidemill", f"{scratch}_schema", scratch, "id", 1, f"{scratch}_pkey")]
        for place, expected in [
            ({}, first + second),
            ({1: "tidemill"}, first + second),
            ({1: "tidemill", 2: "public"}, first),
            ({2: f"{scratch}_schema"}, second),
            ({1: "no_such_catalog"}, []),
            # These are names, not patterns.
            ({2: "publi%"}, []),
        ]:
            found = client.table(command("CommandGetPrimaryKeys", place | {3: scratch}))
            assert [tuple(row.values()) for row in found.to_pylist()] == expected, place
        client.execute(f"ALTER TABLE {scratch} RENAME COLUMN a TO z")
        client.execute(f"ALTER TABLE {other} DROP CONSTRAINT {scratch}_pkey")
        found = client.table(command("CommandGetPrimaryKeys", {3: scratch}))
        assert found.column("column_name").to_pylist() == ["C", "z"]
        # There are no foreign keys to or from it.
        for name in ["CommandGetImportedKeys", "CommandGetExportedKeys"]:
            assert client.table(command(name, {3: scratch})).num_rows == 0
    finally:
        flight.post(f"DROP SCHEMA {scratch}_schema CASCADE")
