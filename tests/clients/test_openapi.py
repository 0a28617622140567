"""schemathesis over the server's own description: whatever it sends, the server does not fail."""

import hypothesis
import pytest
import schemathesis

from server import serving

EXAMPLES = 15
# What the generated SQL may rightly meet: not supported, storage out of reach, its deadline, its memory limit.
DECLARED = (501, 502, 504, 507)


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    # A server of its own, kept from running whatever the generator comes up with for long.
    flags = ["--set", "settings.statement_timeout=2s", "--set", "http.max_wait=1s"]
    with serving(tmp_path_factory.mktemp("openapi"), *flags) as server:
        schema = schemathesis.openapi.from_url(server.url("/v1/openapi.json"))
        yield schema, server
        assert server.value("SELECT 1") == 1


def test_the_description_is_complete(api):
    schema, _ = api
    paths = schema.raw_schema["paths"]
    for path in ["/v1/query", "/v1/queries", "/v1/queries/{id}", "/v1/queries/{id}/result", "/v1/sessions", "/v1/catalogs", "/v1/validate", "/v1/explain"]:
        assert path in paths, path


def test_no_server_error(api):
    schema, server = api
    for result in schema.get_all_operations():
        operation = result.ok()

        @hypothesis.settings(
            max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(hypothesis.HealthCheck)
        )
        @hypothesis.given(case=operation.as_strategy())
        def check(case):
            response = case.call(base_url=server.url(), timeout=30)
            assert response.status_code < 500 or response.status_code in DECLARED, f"{case.method} {case.path}: {response.text[:500]}"

        check()
