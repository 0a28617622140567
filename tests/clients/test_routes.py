"""Every route with every way it answers, held to the server's own description."""

import re

import pytest
import requests
import schemathesis

from server import serving
from test_lifecycle import auth_config

MISSING = "01890a5d-ac96-774b-bcce-b302099a8057"
ENDLESS = "SELECT count(*) FROM generate_series(1, 100000000) a(x) CROSS JOIN generate_series(1, 100000000) b(y) WHERE x % 7 = y % 11"
PUBLIC = {"/livez", "/readyz", "/healthz", "/version"}
QUERY, SESSION = "/v1/queries/{query}", "/v1/sessions/{session}"
DEMO = "/v1/catalogs/demo"

# What is asked, how it is answered, with which code. {query} has ended and kept its result; {running} runs; {session} is open.
CASES = [
    ("GET", "/livez", 200, None),
    ("GET", "/readyz", 200, None),
    ("GET", "/healthz", 200, None),
    ("GET", "/version", 200, None),
    ("GET", "/metrics", 200, None),
    ("GET", "/v1/me", 200, None),
    ("GET", "/v1/nodes", 200, None),
    ("POST", "/v1/nodes/nope/drain", 404, "NODE_NOT_FOUND"),
    ("GET", "/v1/autoscale", 200, None),
    ("GET", "/v1/config?q=admission", 200, None),
    ("GET", "/v1/config?nope=1", 400, "INVALID_PARAMETER"),
    ("GET", "/v1/config/admission.max_queued", 200, None),
    ("GET", "/v1/config/nope", 404, "SETTING_NOT_FOUND"),
    ("PUT", "/v1/config/admission.max_queued", 200, None, {"value": 1000}),
    ("PUT", "/v1/config/admission.max_queued", 400, "INVALID_SETTING", {"value": "many"}),
    ("PUT", "/v1/config/admission.max_queued", 400, "INVALID_REQUEST", {"nope": 1}),
    ("PUT", "/v1/config/http.listen", 409, "RESTART_REQUIRED", {"value": "127.0.0.1:1"}),
    ("PUT", "/v1/config/nope", 404, "SETTING_NOT_FOUND", {"value": 1}),
    ("GET", "/v1/functions?q=upper", 200, None),
    ("GET", "/v1/functions?nope=1", 400, "INVALID_PARAMETER"),
    ("GET", "/v1/catalogs?q=dem", 200, None),
    ("GET", DEMO, 200, None),
    ("GET", "/v1/catalogs/nope", 404, "CATALOG_NOT_FOUND"),
    ("GET", f"{DEMO}/schemas", 200, None),
    ("GET", "/v1/catalogs/nope/schemas", 404, "CATALOG_NOT_FOUND"),
    ("GET", f"{DEMO}/schemas/public", 200, None),
    ("GET", f"{DEMO}/schemas/nope", 404, "SCHEMA_NOT_FOUND"),
    ("GET", f"{DEMO}/schemas/public/tables?q=nation", 200, None),
    ("GET", f"{DEMO}/schemas/nope/tables", 404, "SCHEMA_NOT_FOUND"),
    ("GET", f"{DEMO}/schemas/public/tables/nation", 200, None),
    ("GET", f"{DEMO}/schemas/public/tables/nation?stats=true&sample=2", 200, None),
    ("GET", f"{DEMO}/schemas/public/tables/nation?stats=some", 400, "INVALID_PARAMETER"),
    ("GET", f"{DEMO}/schemas/public/tables/nope", 404, "TABLE_NOT_FOUND"),
    ("GET", f"{DEMO}/schemas/public/tables/nope?stats=true", 404, "TABLE_NOT_FOUND"),
    ("GET", "/v1/query?sql=SELECT+1+AS+a", 200, None),
    ("GET", "/v1/query", 400, "SYNTAX_ERROR"),
    ("GET", "/v1/query?sql=SELECT+1&nope=1", 400, "INVALID_PARAMETER"),
    ("GET", "/v1/query?sql=SELECT+1&timeout_ms=soon", 400, "INVALID_PARAMETER"),
    ("GET", "/v1/query?sql=SELECT+1&format=nope", 406, "NOT_ACCEPTABLE"),
    ("POST", "/v1/query", 200, None, {"sql": "SELECT 1 AS a"}),
    ("POST", "/v1/query", 400, "INVALID_REQUEST", ["SELECT 1"]),
    ("POST", "/v1/query", 400, "INVALID_PARAMETER", {"sql": "SELECT $1", "params": 7}),
    ("POST", "/v1/query", 404, "SESSION_NOT_FOUND", {"sql": "SELECT 1", "session_id": "nope"}),
    ("POST", "/v1/explain", 200, None, {"sql": "SELECT 1 AS a"}),
    ("POST", "/v1/explain", 400, "SYNTAX_ERROR", {"sql": "SELEC"}),
    ("POST", "/v1/validate", 200, None, {"sql": "SELECT $1 + 1 AS a"}),
    ("POST", "/v1/validate", 400, "TABLE_NOT_FOUND", {"sql": "SELECT * FROM nope"}),
    ("GET", "/v1/queries?state=finished,failed&limit=1", 200, None),
    ("GET", "/v1/queries?state=tired", 400, "INVALID_PARAMETER"),
    ("GET", "/v1/queries?limit=0", 400, "INVALID_PARAMETER"),
    ("GET", "/v1/queries?since=yesterday", 400, "INVALID_PARAMETER"),
    ("GET", "/v1/queries?cursor=nope", 400, "INVALID_PARAMETER"),
    ("GET", QUERY, 200, None),
    ("GET", f"{QUERY}?wait=soon", 400, "INVALID_REQUEST"),
    ("GET", f"/v1/queries/{MISSING}", 404, "QUERY_NOT_FOUND"),
    ("GET", "/v1/queries/nope", 400, "INVALID_REQUEST"),
    ("GET", f"{QUERY}/plan", 200, None),
    ("GET", f"/v1/queries/{MISSING}/plan", 404, "QUERY_NOT_FOUND"),
    ("GET", f"{QUERY}/profile", 200, None),
    ("GET", f"{QUERY}/stages", 200, None),
    ("GET", "/v1/queries/{running}/stages", 200, None),
    ("GET", f"/v1/queries/{MISSING}/stages", 404, "QUERY_NOT_FOUND"),
    ("GET", f"{QUERY}/logs", 200, None),
    ("GET", f"/v1/queries/{MISSING}/logs", 404, "QUERY_NOT_FOUND"),
    ("GET", f"/v1/queries/{MISSING}/profile", 404, "QUERY_NOT_FOUND"),
    ("GET", f"{QUERY}/result", 200, None),
    ("GET", f"{QUERY}/result?part=0&offset=1", 400, "INVALID_PARAMETER"),
    ("GET", f"{QUERY}/result?format=nope", 406, "NOT_ACCEPTABLE"),
    ("GET", "/v1/queries/{running}/result", 409, "RESULT_NOT_READY"),
    ("GET", f"/v1/queries/{MISSING}/result", 404, "QUERY_NOT_FOUND"),
    ("DELETE", "/v1/queries/{running}/result", 409, "RESULT_NOT_READY"),
    ("DELETE", f"{QUERY}/result", 204, None),
    ("DELETE", f"{QUERY}/result", 404, "QUERY_NOT_FOUND"),
    ("DELETE", QUERY, 200, None),
    ("DELETE", f"/v1/queries/{MISSING}", 404, "QUERY_NOT_FOUND"),
    ("DELETE", "/v1/queries/{running}", 202, None),
    ("GET", "/v1/sessions", 200, None),
    ("POST", "/v1/sessions", 201, None, {"catalog": "demo", "settings": {"row_limit": 5}}),
    ("POST", "/v1/sessions", 400, "INVALID_SETTING", {"settings": {"priority": "urgent"}}),
    ("POST", "/v1/sessions", 400, "INVALID_REQUEST", {"nope": 1}),
    ("GET", SESSION, 200, None),
    ("GET", "/v1/sessions/nope", 404, "SESSION_NOT_FOUND"),
    ("PATCH", SESSION, 200, None, {"settings": {"row_limit": 5, "time_zone": None}}),
    ("PATCH", SESSION, 400, "SETTING_NOT_FOUND", {"settings": {"nope": 1}}),
    ("PATCH", "/v1/sessions/nope", 404, "SESSION_NOT_FOUND", {"settings": {}}),
    ("POST", f"{SESSION}/heartbeat", 200, None),
    ("POST", "/v1/sessions/nope/heartbeat", 404, "SESSION_NOT_FOUND"),
    ("DELETE", SESSION, 204, None),
    ("DELETE", "/v1/sessions/nope", 404, "SESSION_NOT_FOUND"),
]


@pytest.fixture(scope="module")
def description(demo):
    return schemathesis.openapi.from_url(demo.url("/v1/openapi.json"))


@pytest.fixture(scope="module")
def things(demo):
    """What the paths name. The last cases to use a thing are those that end it."""
    ended = demo.submit("SELECT value AS a FROM generate_series(1, 10)")["id"]
    demo.wait_for_state(ended, "finished")
    running = demo.submit(ENDLESS)["id"]
    demo.wait_for_state(running, "running")
    session = demo.http.post(demo.url("/v1/sessions"), json={}).json()["id"]
    yield {"query": ended, "running": running, "session": session}
    demo.http.delete(demo.url(f"/v1/queries/{running}"))
    demo.http.delete(demo.url(f"/v1/sessions/{session}"))


def operation(description, method, path):
    """The described operation that a path belongs to."""
    for template in description.raw_schema["paths"]:
        if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", template), path.split("?")[0]):
            return description[template][method]
    raise AssertionError(f"{path} is not described")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} {case[1]} {case[2]}")
def test_answer(demo, description, things, case):
    method, path, status, code, *body = case
    for name, value in things.items():
        path = path.replace(f"{{{name}}}", value)
    response = demo.http.request(method, demo.url(path), headers={"Accept": "application/json"}, json=body[0] if body else None)
    assert response.status_code == status, response.text
    if code:
        assert response.headers["Content-Type"] == "application/problem+json"
        assert response.json()["code"] == code, response.text
    operation(description, method, path).validate_response(response)


def test_every_operation_has_a_case(description):
    described = {(method.upper(), path) for path, methods in description.raw_schema["paths"].items() for method in methods}
    asked = {(case[0], operation(description, case[0], re.sub(r"[{}]", "", case[1])).path) for case in CASES if case[2] < 300}
    # A server without a cluster has nobody to drain.
    asked.add(("POST", "/v1/nodes/{id}/drain"))
    assert described == asked


def test_a_method_that_a_route_does_not_take(demo, description):
    for path, methods in description.raw_schema["paths"].items():
        other = "PUT" if "put" not in methods else "PATCH"
        response = demo.http.request(other, demo.url(re.sub(r"[{}]", "", path)))
        assert response.status_code == 405 and response.json()["code"] == "METHOD_NOT_ALLOWED", path
        allowed = {method.strip() for method in response.headers["Allow"].split(",")}
        assert allowed >= {method.upper() for method in methods}, path


def test_paths_that_are_not_there(demo):
    for path in ["/v1", "/v1/nope", "/v1/queries/", "/V1/queries", "/v1//queries"]:
        response = demo.http.get(demo.url(path), allow_redirects=False)
        assert response.status_code == 404 and response.json()["code"] == "ROUTE_NOT_FOUND", path


def test_every_response_carries_secure_headers(demo):
    for path in ["/livez", "/v1/me", "/v1/nope", "/v1/queries/nope"]:
        headers = demo.http.get(demo.url(path)).headers
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store", path


def test_the_page_of_the_description(demo):
    page = demo.http.get(demo.url("/"))
    assert page.status_code == 200 and page.headers["Content-Type"].startswith("text/html")
    for name, kind in [("page.js", "text/javascript"), ("page.css", "text/css")]:
        assert f"/docs/{name}" in page.text
        assert demo.http.get(demo.url(f"/docs/{name}")).headers["Content-Type"].startswith(kind)


def test_listings_page_by_cursor(demo):
    ids = [demo.post(f"SELECT {number} AS paged").headers["X-Query-Id"] for number in range(5)]
    seen, cursor = [], {}
    while not set(ids) <= set(seen):
        page = demo.http.get(demo.url("/v1/queries"), params={"limit": 2, "state": "finished"} | cursor).json()
        assert len(page["queries"]) == 2
        seen += [query["id"] for query in page["queries"]]
        cursor = {"cursor": page["next_cursor"]}
    assert len(seen) == len(set(seen))
    assert [query for query in seen if query in ids] == ids[::-1]


class TestWithAuthentication:
    """One server where users must log in."""

    @pytest.fixture(scope="class")
    def closed(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("closed")
        with serving(folder / "data", "--config", str(auth_config(folder))) as server:
            yield server

    def test_every_route_but_health_asks_for_credentials(self, closed, description):
        for path, methods in description.raw_schema["paths"].items():
            for method in methods:
                response = requests.request(method, closed.url(re.sub(r"[{}]", "", path)), timeout=30)
                if path in PUBLIC:
                    assert response.status_code == 200, path
                else:
                    assert response.status_code == 401, f"{method} {path}"
                    assert response.json()["code"] == "UNAUTHENTICATED" and response.json()["sqlstate"] == "28000"
                    assert response.headers["WWW-Authenticate"]

    def test_a_reader_sees_and_stops_only_what_is_its_own(self, closed):
        ann, reader = {"auth": ("ann", "secret")}, {"headers": {"Authorization": "Bearer tm-test-token"}}
        query = closed.post(ENDLESS, headers={"Prefer": "respond-async"}, auth=("ann", "secret")).json()["id"]
        session = closed.http.post(closed.url("/v1/sessions"), json={}, **ann).json()["id"]
        for method, path in [
            ("GET", f"/v1/queries/{query}"),
            ("DELETE", f"/v1/queries/{query}"),
            ("GET", f"/v1/queries/{query}/result"),
            ("DELETE", f"/v1/queries/{query}/result"),
            ("GET", f"/v1/queries/{query}/plan"),
            ("GET", f"/v1/queries/{query}/profile"),
            ("GET", f"/v1/sessions/{session}"),
            ("DELETE", f"/v1/sessions/{session}"),
        ]:
            assert closed.http.request(method, closed.url(path), **reader).status_code == 404, f"{method} {path}"
        killed = closed.post(f"KILL QUERY '{query}'", headers=reader["headers"])
        assert killed.json()["code"] == "QUERY_NOT_FOUND"
        listed = closed.http.get(closed.url("/v1/queries"), **reader).json()["queries"]
        assert query not in [entry["id"] for entry in listed]
        assert closed.http.get(closed.url("/v1/sessions"), **reader).json()["sessions"] == []
        assert closed.http.delete(closed.url(f"/v1/queries/{query}"), **ann).status_code == 202

    def test_malformed_credentials(self, closed):
        for header, status in [("Basic !!!", 400), ("Digest x", 401), ("Bearer", 401)]:
            response = requests.get(closed.url("/v1/me"), headers={"Authorization": header}, timeout=30)
            assert response.status_code == status, header
            assert "!!!" not in response.text
