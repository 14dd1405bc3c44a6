"""A real S3 server for tests: Versity Gateway on an ephemeral port of 127.0.0.1, with its data in a temporary directory.

It checks signatures, clock and region (tests/services/s3/README.md). start() again after kill() keeps port and data.
"""
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "support"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import Failure, free_port, need, wait_for  # noqa: E402
from s3_client import S3Client  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))


def program():
    """The server's path; built on first use."""
    result = subprocess.run([os.path.join(HERE, "install")], capture_output=True, text=True)
    need(result.returncode == 0, f"the S3 server: {result.stderr.strip()[-300:]}")
    return result.stdout.strip().splitlines()[-1]


class S3Server:
    def __init__(self, region="us-east-1", bucket="bucket", where=None):
        self.program = program()
        self.region = region
        self.bucket = bucket
        self.dir = tempfile.mkdtemp(prefix="hearth-s3-", dir=where)
        self.port = free_port()
        self.access_key = "hearth-test"
        self.secret = secrets.token_hex(20)
        self.credentials_file = os.path.join(self.dir, "credentials")
        with open(os.open(self.credentials_file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write(f"[default]\naws_access_key_id = {self.access_key}\naws_secret_access_key = {self.secret}\n")
        for name in ("data", "meta"):
            os.mkdir(os.path.join(self.dir, name))
        self.process = None
        self.start()
        self.client().create_bucket()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def client(self, **changes):
        """An S3 client of its own make, with the right keys unless told otherwise."""
        settings = dict(endpoint=self.endpoint, region=self.region, bucket=self.bucket, access_key=self.access_key, secret=self.secret)
        return S3Client(**{**settings, **changes})

    def start(self):
        environment = {**os.environ, "ROOT_ACCESS_KEY_ID": self.access_key, "ROOT_SECRET_ACCESS_KEY": self.secret}
        log = open(os.path.join(self.dir, "server.log"), "ab")
        # Metadata beside the data and not in extended attributes: any file system will do.
        self.process = subprocess.Popen(
            [self.program, "--port", f"127.0.0.1:{self.port}", "--region", self.region, "--keep-alive", "--quiet",
             "posix", "--sidecar", os.path.join(self.dir, "meta"), os.path.join(self.dir, "data")],
            env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        log.close()
        wait_for("the S3 server listens", lambda: self.listens() or self.process.poll() is not None)
        if self.process.poll() is not None:
            raise Failure(f"the S3 server ended: {self.log()}")

    def listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        except OSError:
            return False

    def log(self):
        with open(os.path.join(self.dir, "server.log"), errors="replace") as f:
            return f.read()[-2000:]

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def close(self):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
