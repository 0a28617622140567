"""The life of the process: restart, kill -9, drain, refusals to start, TLS, authentication."""

import datetime
import hashlib
import signal
import subprocess

import pytest
import requests

from server import Program, Server, binary, clean_environment, run, serving, wait_until

TOKEN = "tm-test-token"


def test_sigterm_ends_with_zero(tmp_path):
    server = Server(tmp_path)
    server.value("SELECT 1")
    assert server.terminate() == 0


def test_sigterm_drains_running_queries(tmp_path):
    server = Server(tmp_path)
    response = server.post("SELECT value FROM generate_series(1, 3000000) g(value)", "text/csv", stream=True)
    chunks = response.iter_content(65536)
    first = next(chunks)
    server.process.send_signal(signal.SIGTERM)
    rest = b"".join(chunks)
    assert (first + rest).count(b"\n") == 3000001
    assert server.process.wait(60) == 0


def test_sigterm_cancels_after_the_deadline(tmp_path):
    server = Server(tmp_path, "--set", "server.drain_timeout=1s")
    status = server.submit("SELECT count(*) FROM generate_series(1, 100000000) a(x) CROSS JOIN generate_series(1, 100000000) b(y)")
    server.wait_for_state(status["id"], "running")
    assert server.terminate() == 0


def test_history_survives_kill_9(tmp_path):
    server = Server(tmp_path)
    server.value("SELECT 'remember me' AS s")
    stored = "SELECT count(*) FROM system.queries WHERE sql LIKE '%remember me%' AND state = 'finished' AND sql NOT LIKE '%system.queries%'"
    wait_until(lambda: server.value(stored) == 1)
    running = server.submit("SELECT count(*) FROM generate_series(1, 100000000) a(x) CROSS JOIN generate_series(1, 100000000) b(y)")
    server.wait_for_state(running["id"], "running")
    # Give the writer its turn: the next query's row is behind the first one's.
    server.value("SELECT 'and me' AS s")
    server.kill()
    with serving(tmp_path) as again:
        assert again.value(stored) == 1
        state = again.status(running["id"])["state"]
        assert state == "failed", state
        assert again.value("SELECT 1") == 1


def test_a_host_name_is_listened_at(tmp_path):
    server = Program("serve", "--http", "localhost:0", "--set", "metrics.listen=localhost:0", "--data-dir", str(tmp_path))
    try:
        for door in ["http", "metrics"]:
            assert requests.get(f"http://{server.announced(door)}/livez", timeout=10).status_code == 200
        assert server.terminate() == 0
    finally:
        server.kill()


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0"])
def test_listening_wide_without_authentication_is_refused(tmp_path, address):
    ended = run("serve", "--http", address, "--data-dir", str(tmp_path), timeout=60)
    assert ended.returncode != 0
    assert b"auth" in ended.stderr and b"listening" not in ended.stdout


def test_tls_works_and_plain_http_does_not(tmp_path):
    cert, key = certificate(tmp_path, "one")
    arguments = ["--set", f"http.tls.cert={cert}", "--set", f"http.tls.key={key}"]
    with serving(tmp_path / "data", *arguments, scheme="https") as server:
        # The environment's CA bundle would win over the session's.
        server.http.trust_env = False
        server.http.verify = str(cert)
        assert server.value("SELECT 1") == 1
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(server.url("/livez"), timeout=10)
        try:
            plain = requests.get(f"http://{server.address}/livez", timeout=10)
            assert plain.status_code >= 400
        except requests.exceptions.ConnectionError:
            pass


def test_authentication(tmp_path):
    with serving(tmp_path / "data", "--config", str(auth_config(tmp_path))) as server:
        refused = server.post("SELECT 1")
        assert refused.status_code == 401 and "WWW-Authenticate" in refused.headers
        assert refused.json()["code"] == "UNAUTHENTICATED"
        assert server.http.get(server.url("/livez")).status_code == 200
        for wrong in [("ann", "wrong"), ("nobody", "secret")]:
            assert server.post("SELECT 1", auth=wrong).status_code == 401
        assert server.post("SELECT 1", headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert server.post("SELECT 1 AS a", auth=("ann", "secret")).json()["rows"] == [[1]]
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert server.post("SELECT 1 AS a", headers=bearer).json()["rows"] == [[1]]
        # The token's role is reader.
        forbidden = server.post("CREATE TABLE t AS SELECT 1 AS x", headers=bearer)
        assert forbidden.status_code == 403, forbidden.text
        # What one does is not the other's business.
        query = server.post("SELECT 'mine' AS s", auth=("ann", "secret")).headers["X-Query-Id"]
        assert server.http.get(server.url(f"/v1/queries/{query}"), headers=bearer).status_code == 404
        log = server.log_text()
        assert "secret" not in log and TOKEN not in log


def test_secrets_never_show(tmp_path):
    shown = run("config", "show", "--config", str(auth_config(tmp_path)))
    assert b"argon2" not in shown.stdout and hashlib.sha256(TOKEN.encode()).hexdigest().encode() not in shown.stdout


def test_unknown_keys_and_bad_values_are_refused(tmp_path):
    for assignment in ["memory.limt=1GiB", "memory.limit=plenty", "admission.max_running=0"]:
        ended = run("serve", "--http", "127.0.0.1:0", "--data-dir", str(tmp_path), "--set", assignment, timeout=60)
        assert ended.returncode == 2, ended.stderr
        assert assignment.split("=")[0].encode() in ended.stderr + ended.stdout


def test_a_port_in_use_is_a_clear_error(fresh, tmp_path):
    ended = run("serve", "--http", fresh.address, "--data-dir", str(tmp_path / "other"), timeout=60)
    assert ended.returncode != 0 and fresh.address.encode() in ended.stderr


def auth_config(folder):
    """A configuration with one user and one token that may only read."""
    hashed = subprocess.run(
        [binary(), "config", "hash-password"], input="secret\n", capture_output=True, text=True, check=True, env=clean_environment()
    ).stdout.strip()
    path = folder / "auth.toml"
    path.write_text(
        f"""
[auth]
mode = "static"

[[auth.users]]
name = "ann"
password_hash = "{hashed}"
role = "admin"

[[auth.tokens]]
name = "reading"
principal = "loader"
token_hash = "sha256:{hashlib.sha256(TOKEN.encode()).hexdigest()}"
role = "reader"
"""
    )
    return path


def certificate(folder, name):
    """A self-signed certificate for 127.0.0.1 and its key."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_path, key_path = folder / f"{name}.crt", folder / f"{name}.key"
    cert_path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    key_path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return cert_path, key_path
