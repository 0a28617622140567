"""S3 through moto: read, glob, write, fail cleanly."""

import io
import uuid

import boto3
import pyarrow as pa
import pyarrow.parquet
import pytest
from moto.server import ThreadedMotoServer

from server import serving

KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def moto():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(moto):
    client = boto3.client("s3", endpoint_url=moto, aws_access_key_id="testing", aws_secret_access_key="testing", region_name="us-east-1")
    name = f"tm-{uuid.uuid4().hex[:12]}"
    client.create_bucket(Bucket=name)
    for part in range(3):
        body = io.BytesIO()
        pyarrow.parquet.write_table(pa.table({"part": [part] * 10, "v": list(range(10))}), body)
        client.put_object(Bucket=name, Key=f"path/part-{part}.parquet", Body=body.getvalue())
    client.put_object(Bucket=name, Key="in.csv", Body=b"k,v\na,1\nb,2\n")
    return Bucket(client, name)


class Bucket:
    def __init__(self, client, name):
        self.client, self.name = client, name

    def url(self, key=""):
        return f"s3://{self.name}/{key}"

    def keys(self):
        return [entry["Key"] for entry in self.client.list_objects_v2(Bucket=self.name).get("Contents", [])]

    def uploads(self):
        return self.client.list_multipart_uploads(Bucket=self.name).get("Uploads", [])


@pytest.fixture
def server(moto, tmp_path):
    with serving(tmp_path / "data", AWS_ENDPOINT_URL=moto, AWS_ALLOW_HTTP="true", **KEYS) as server:
        yield server


def test_glob_and_single_file(server, bucket):
    assert server.rows(f"SELECT part, sum(v) AS s FROM '{bucket.url('path/*.parquet')}' GROUP BY part ORDER BY part") == [(0, 45), (1, 45), (2, 45)]
    assert server.value(f"SELECT count(*) FROM '{bucket.url('path/part-1.parquet')}'") == 10
    assert server.value(f"SELECT sum(v) FROM read_csv('{bucket.url('in.csv')}')") == 3


def test_external_table(server, bucket):
    made = server.post(f"CREATE EXTERNAL TABLE remote STORED AS PARQUET LOCATION '{bucket.url('path/')}'")
    assert made.status_code == 200, made.text
    assert server.value("SELECT count(*) FROM remote WHERE v > 4") == 15


def test_copy_to_s3_and_back(server, bucket):
    copied = server.post(f"COPY (SELECT value AS v FROM generate_series(1, 1000) g(value)) TO '{bucket.url('out/t.parquet')}' STORED AS PARQUET")
    assert copied.status_code == 200, copied.text
    assert server.value(f"SELECT sum(v) FROM '{bucket.url('out/t.parquet')}'") == 500500
    body = bucket.client.get_object(Bucket=bucket.name, Key="out/t.parquet")["Body"].read()
    assert pyarrow.parquet.read_table(io.BytesIO(body)).num_rows == 1000


def test_partitioned_copy(server, bucket):
    sql = f"COPY (SELECT value AS v, value % 3 AS k FROM generate_series(1, 30) g(value)) TO '{bucket.url('parts/')}' STORED AS PARQUET PARTITIONED BY (k)"
    assert server.post(sql).status_code == 200
    assert {key.split("/")[1] for key in bucket.keys() if key.startswith("parts/")} == {"k=0", "k=1", "k=2"}


def test_a_failing_copy_leaves_no_object(server, bucket):
    before = bucket.keys()
    for target in ["bad.parquet", "bad/"]:
        rows = "SELECT 1 / (value - 500000) AS x, repeat('x', 100) AS pad FROM generate_series(1, 1000000) g(value)"
        sql = f"COPY ({rows}) TO '{bucket.url(target)}' STORED AS PARQUET"
        failed = server.post(sql)
        assert failed.status_code == 422, failed.text
    assert bucket.keys() == before
    assert bucket.uploads() == []


def test_missing_bucket_and_object(server, bucket):
    missing = server.post(f"SELECT * FROM '{bucket.url('nothing.parquet')}'")
    assert 400 <= missing.status_code < 500 and "nothing.parquet" in missing.json()["detail"]
    nowhere = server.post("SELECT * FROM 's3://no-such-bucket-of-ours/x.parquet'")
    assert nowhere.status_code in (400, 404, 502) and "no-such-bucket-of-ours" in nowhere.text


def test_wrong_credentials_are_a_storage_error(moto, bucket, tmp_path):
    # moto checks no signatures unless told; a server that refuses stands in for it.
    with Refusing() as refusing:
        with serving(tmp_path / "data", AWS_ENDPOINT_URL=refusing.url, AWS_ALLOW_HTTP="true", **KEYS) as server:
            response = server.post(f"SELECT * FROM '{bucket.url('path/part-0.parquet')}'")
            assert response.status_code == 502, response.text
            problem = response.json()
            assert problem["code"] == "STORAGE_ERROR" and bucket.name in problem["detail"]
            assert "testing" not in response.text


class Refusing:
    """An S3 endpoint that lets nobody in."""

    def __enter__(self):
        import http.server
        import threading

        class Handler(http.server.BaseHTTPRequestHandler):
            def refuse(self):
                body = b"<?xml version='1.0'?><Error><Code>InvalidAccessKeyId</Code><Message>unknown key</Message></Error>"
                self.send_response(403)
                self.send_header("Content-Type", "application/xml")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_HEAD = do_PUT = do_POST = refuse

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        return self

    def __exit__(self, *_):
        self.server.shutdown()


def test_credentials_never_show(server, bucket):
    shown = server.post(f"EXPLAIN SELECT * FROM '{bucket.url('in.csv')}'").text
    history = server.post("SELECT * FROM system.queries").text
    assert "AWS_SECRET" not in shown + history + server.log_text()
