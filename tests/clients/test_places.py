"""The catalog and the schema that names without one are looked up in: whoever names another that is not there is told."""

import pytest

from flight_sql import adbc, rows
from test_flight_sessions import INVALID_VALUE

WRONG = [
    ({"catalog": "dem"}, "CATALOG_NOT_FOUND", ["demo"]),
    ({"schema": "publik"}, "SCHEMA_NOT_FOUND", ["public"]),
    ({"catalog": "demo", "schema": "publik"}, "SCHEMA_NOT_FOUND", ["public"]),
    ({"catalog": "nowhere", "schema": "public"}, "CATALOG_NOT_FOUND", []),
]


def expect(response, code, meant):
    document = response.json()
    assert (response.status_code, document["code"]) == (400, code), document
    assert document.get("did_you_mean", []) == meant and "not found" in document["detail"]


@pytest.mark.parametrize(("place", "code", "meant"), WRONG)
def test_a_place_that_is_not_there_is_refused(demo, place, code, meant):
    expect(demo.post({"sql": "SELECT 1"} | place), code, meant)
    expect(demo.post({"sql": "SELECT 1", "session": place}), code, meant)
    expect(demo.post({"sql": "SELECT 1", "dry_run": True} | place), code, meant)
    expect(demo.http.get(demo.url("/v1/query"), params={"sql": "SELECT 1"} | place), code, meant)
    for route in ["validate", "explain"]:
        expect(demo.http.post(demo.url(f"/v1/{route}"), json={"sql": "SELECT 1"} | place), code, meant)
    before = demo.http.get(demo.url("/v1/sessions")).json()
    expect(demo.http.post(demo.url("/v1/sessions"), json=place), code, meant)
    expect(demo.http.post(demo.url("/v1/sessions"), json={"settings": place}), code, meant)
    assert demo.http.get(demo.url("/v1/sessions")).json() == before


def test_places_that_are_there(demo):
    sql = "SELECT count(*) FROM nation"
    for place in [{}, {"catalog": "demo"}, {"catalog": "demo", "schema": "public"}, {"schema": "public"}]:
        assert demo.post({"sql": sql} | place).status_code == 200, place
    assert demo.value({"sql": "SELECT count(*) FROM nodes", "schema": "system"}) == 1
    # A catalog alone: the schema of before need not be in it.
    assert demo.post({"sql": "SELECT 1", "catalog": "tidemill"}).status_code == 200


def test_a_session_changes_whole_or_not_at_all(demo):
    session = demo.http.post(demo.url("/v1/sessions"), json={"catalog": "tidemill"}).json()
    url = demo.url(f"/v1/sessions/{session['id']}")
    try:
        change = {"settings": {"application_name": "probe", "catalog": "demo", "schema": "publik"}}
        expect(demo.http.patch(url, json=change), "SCHEMA_NOT_FOUND", ["public"])
        assert demo.http.get(url).json()["settings"] == session["settings"]
        changed = demo.http.patch(url, json={"settings": {"schema": "public", "catalog": "demo"}})
        assert (changed.json()["catalog"], changed.json()["schema"]) == ("demo", "public")
    finally:
        demo.http.delete(url)


def test_options_of_flight_sql(client):
    assert client.set_options(catalog="nowhere") == {"catalog": INVALID_VALUE}
    assert client.set_options(schema="nowhere") == {"schema": INVALID_VALUE}
    assert client.set_options(schema="information_schema", catalog="tidemill") == {}
    assert client.options()["schema"] == "information_schema"


def test_options_of_adbc(flight):
    with adbc(flight) as connection:
        for name in ["adbc_current_catalog", "adbc_current_db_schema"]:
            with pytest.raises(Exception, match="(?i)invalid"):
                setattr(connection, name, "nowhere")
        assert rows(connection, "SELECT 1 AS one") == [(1,)]
