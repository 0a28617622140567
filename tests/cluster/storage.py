"""An S3 server of the machine behind a proxy that holds requests back or fails them, as the test says."""

import http.client
import http.server
import re
import threading
import urllib.parse

import boto3
from moto.server import ThreadedMotoServer

KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": "us-east-1"}
BUCKET = "lake"
# Headers of a hop, not of the message.
OF_THE_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}


class Store:
    """Moto, and the proxy in front of it: `endpoint` is what servers are told."""

    def __init__(self):
        self.moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.moto.start()
        self.origin = "{}:{}".format(*self.moto.get_host_and_port())
        self.client = boto3.client(
            "s3", endpoint_url=f"http://{self.origin}", aws_access_key_id="testing", aws_secret_access_key="testing", region_name="us-east-1"
        )
        self.client.create_bucket(Bucket=BUCKET)
        self.rules: list[Rule] = []
        self.reads: list[str] = []
        self.proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(self))
        self.proxy.daemon_threads = True
        threading.Thread(target=self.proxy.serve_forever, daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self.proxy.server_port}"

    def put(self, key: str, body: bytes):
        self.client.put_object(Bucket=BUCKET, Key=key, Body=body)

    def url(self, key: str) -> str:
        return f"s3://{BUCKET}/{key}"

    def hold(self, pattern: str) -> "Rule":
        """Reads of objects whose key matches wait until the rule is lifted."""
        return self._rule(Rule(self, pattern, None))

    def fail(self, pattern: str, how: str) -> "Rule":
        """Reads of objects whose key matches fail: an HTTP status such as "503", "reset" or "cut" (half of the body)."""
        return self._rule(Rule(self, pattern, how))

    def _rule(self, rule: "Rule") -> "Rule":
        self.rules.append(rule)
        return rule

    def rule_for(self, path: str) -> "Rule | None":
        return next((rule for rule in self.rules if re.search(rule.pattern, path)), None)

    def stop(self):
        for rule in list(self.rules):
            rule.lift()
        self.proxy.shutdown()
        self.moto.stop()


class Rule:
    """What happens to reads of some objects, for the length of a block or until lifted."""

    def __init__(self, store: Store, pattern: str, how: str | None):
        self.store, self.pattern, self.how = store, pattern, how
        self.lifted = threading.Event()
        self.met = threading.Semaphore(0)

    def wait_until_met(self, times: int = 1, seconds: float = 60):
        """Until so many reads have met the rule."""
        for _ in range(times):
            assert self.met.acquire(timeout=seconds), f"nobody read {self.pattern}"

    def lift(self):
        if self in self.store.rules:
            self.store.rules.remove(self)
        self.lifted.set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lift()


def handler(store: Store):
    class Proxy(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
            # Footers and listings are what plans are made of; tasks read ranges of objects.
            rule = store.rule_for(path) if self.command == "GET" and path.count("/") > 1 else None
            how = self.meet(rule) if rule else None
            if how == "reset":
                self.close_connection = True
                return
            if how and how.isdigit():
                self.answer(int(how), [("Content-Type", "application/xml")], b"<Error><Code>SlowDown</Code><Message>the test says so</Message></Error>")
                return
            upstream = http.client.HTTPConnection(store.origin, timeout=60)
            try:
                headers = {name: value for name, value in self.headers.items() if name.lower() not in OF_THE_HOP}
                upstream.request(self.command, self.path, body, headers)
                response = upstream.getresponse()
                answer = response.read()
                if self.command == "GET":
                    store.reads.append(path)
                kept = [(name, value) for name, value in response.getheaders() if name.lower() not in OF_THE_HOP]
                length = response.headers.get("Content-Length") if self.command == "HEAD" else None
                self.answer(response.status, kept, answer, length, cut=how == "cut")
            finally:
                upstream.close()

        def meet(self, rule: Rule) -> str | None:
            rule.met.release()
            if rule.how is None:
                rule.lifted.wait()
            return rule.how

        def answer(self, status, headers, body, length=None, cut=False):
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", length or str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body[: len(body) // 2] if cut else body)
            if cut:
                self.close_connection = True

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = forward

        def log_message(self, *_):
            pass

    return Proxy
