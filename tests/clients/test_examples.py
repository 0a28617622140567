"""Every file of examples/ runs against the demo server; those for machines that are not here are checked as far as that goes."""

import os
import subprocess
import sys

import kubernetes_validate
import pytest
import yaml

from server import ROOT, clean_environment, run

EXAMPLES = ROOT / "examples"


def files(kind: str, extension: str):
    return sorted((EXAMPLES / kind).glob(f"*.{extension}"))


@pytest.mark.parametrize("path", files("sql", "sql"), ids=lambda path: path.name)
def test_sql(demo, path):
    ended = run("sql", "--url", demo.url(), "-f", str(path), "--format", "csv")
    assert ended.returncode == 0, ended.stderr.decode()
    assert ended.stdout


def test_the_export_gives_the_same_numbers_each_time(demo):
    counted = demo.rows("SELECT o_orderstatus, count(*) FROM demo.public.orders GROUP BY 1 ORDER BY 1")
    for _ in range(2):
        ended = run("sql", "--url", demo.url(), "-f", str(EXAMPLES / "sql" / "export.sql"), "--format", "csv")
        assert ended.returncode == 0, ended.stderr.decode()
        lines = ended.stdout.decode().splitlines()
        first = lines.index("o_orderstatus,orders,total") + 1
        assert [line.rsplit(",", 1)[0] for line in lines[first : first + len(counted)]] == [f"{status},{count}" for status, count in counted]


@pytest.mark.parametrize("path", files("curl", "sh"), ids=lambda path: path.name)
def test_curl(demo, path, tmp_path):
    environment = clean_environment(TIDEMILL_URL=demo.url())
    ended = subprocess.run(["bash", str(path)], capture_output=True, text=True, timeout=120, env=environment, cwd=tmp_path, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout and "problem" not in ended.stdout


@pytest.mark.parametrize("path", files("python", "py"), ids=lambda path: path.name)
def test_python(demo, path, tmp_path):
    environment = clean_environment(TIDEMILL_URL=demo.url())
    ended = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=120, env=environment, cwd=tmp_path, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout


SECRETS = {
    "TIDEMILL_JOIN_TOKEN": "0123456789abcdef",
    "TIDEMILL_API_TOKEN_HASH": "sha256:" + 64 * "a",
    "TIDEMILL_STORE_KEY": "store",
}


def assert_understood(arguments: list[str]):
    """The binary knows the command with all its flags."""
    ended = run(*arguments, "--help")
    assert ended.returncode == 0, ended.stderr.decode()


def assert_configuration(path):
    ended = run("config", "check", "--config", str(path), **SECRETS)
    assert ended.returncode == 0, ended.stderr.decode()


@pytest.mark.parametrize("path", files("compose", "yaml"), ids=lambda path: path.name)
def test_compose(path):
    schema = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    ended = subprocess.run(schema, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    project = yaml.safe_load(path.read_text())
    ours = {name: service for name, service in project["services"].items() if service["image"] == "tidemill:latest"}
    assert set(ours) == {"coordinator", "worker"}
    for service in ours.values():
        assert_understood(service["command"])
        assert set(service["environment"]) == set(SECRETS)
    others = {name for service in project["services"].values() for name in service.get("depends_on", {})}
    assert others <= set(project["services"])
    for config in project["configs"].values():
        assert (path.parent / config["file"]) in {*files("compose", "toml"), *files("compose", "json")}


@pytest.mark.parametrize("path", files("compose", "toml"), ids=lambda path: path.name)
def test_configuration_of_compose(path):
    assert_configuration(path)


@pytest.mark.parametrize("path", files("compose", "json"), ids=lambda path: path.name)
def test_documents_of_compose(path):
    (identity,) = yaml.safe_load(path.read_text())["identities"]
    (credentials,) = identity["credentials"]
    configuration = (path.parent / "tidemill.toml").read_text()
    assert f'access_key_id = "{credentials["accessKey"]}"' in configuration
    assert f"TIDEMILL_STORE_KEY: {credentials['secretKey']}" in (path.parent / "compose.yaml").read_text()


def manifests() -> list[dict]:
    return [manifest for path in files("kubernetes", "yaml") for manifest in yaml.safe_load_all(path.read_text())]


def named(kind: str, name: str) -> dict:
    (manifest,) = [each for each in manifests() if each["kind"] == kind and each["metadata"]["name"] == name]
    return manifest


@pytest.mark.parametrize("path", files("kubernetes", "yaml"), ids=lambda path: path.name)
def test_kubernetes(path):
    for manifest in yaml.safe_load_all(path.read_text()):
        kubernetes_validate.validate(manifest, "1.34", strict=True)


def test_what_kubernetes_is_told_fits_together(tmp_path):
    sets = [each for each in manifests() if each["kind"] == "StatefulSet"]
    assert {each["metadata"]["name"] for each in sets} == {"tidemill-coordinator", "tidemill-worker"}
    for each in sets:
        pod, labels = each["spec"]["template"]["spec"], each["spec"]["template"]["metadata"]["labels"]
        (container,) = pod["containers"]
        assert_understood(container["args"])
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container)
        assert {entry["name"] for entry in container["env"]} >= {"TIDEMILL_JOIN_TOKEN", "TIDEMILL_API_TOKEN_HASH"}
        volumes = {volume["name"] for volume in pod["volumes"]} | {claim["metadata"]["name"] for claim in each["spec"].get("volumeClaimTemplates", [])}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
        service = named("Service", each["spec"]["serviceName"])
        assert service["spec"]["selector"].items() <= labels.items()
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert all(ports[port["targetPort"]] == port["port"] for port in service["spec"]["ports"])
    scaler = named("HorizontalPodAutoscaler", "tidemill-worker")["spec"]
    worker = named(scaler["scaleTargetRef"]["kind"], scaler["scaleTargetRef"]["name"])["spec"]["template"]["spec"]
    (target,) = scaler["metrics"]
    slots = target["external"]["target"]["averageValue"]
    assert f"--slots={slots}" in worker["containers"][0]["args"]
    assert "--coordinator=tidemill-scheduler:50050" in worker["containers"][0]["args"]
    configuration = tmp_path / "tidemill.toml"
    configuration.write_text(named("ConfigMap", "tidemill")["data"]["tidemill.toml"])
    assert_configuration(configuration)


def test_every_example_is_run():
    kinds = [("sql", "sql"), ("curl", "sh"), ("python", "py"), ("compose", "yaml"), ("compose", "toml"), ("compose", "json"), ("kubernetes", "yaml")]
    known = {path for kind, extension in kinds for path in files(kind, extension)}
    found = {path for path in EXAMPLES.rglob("*") if path.is_file() and path.name != "README.md" and "__pycache__" not in path.parts}
    assert found == known and known
    assert all(os.access(path, os.X_OK) for path in files("curl", "sh"))
