"""A real S3 server for tests: Versity Gateway on an ephemeral port of 127.0.0.1 (or of another Host's address, in its network
namespace), with its data in a temporary directory.

It checks signatures, clock and region (tests/services/s3/README.md). start() again after kill() keeps port and data.
"""
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "support"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import BIN, Failure, Host, free_port, need, wait_for  # noqa: E402
from s3_client import S3Client  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))


def program():
    """The server's path; built on first use."""
    result = subprocess.run([os.path.join(HERE, "install")], capture_output=True, text=True)
    need(result.returncode == 0, f"the S3 server: {result.stderr.strip()[-300:]}")
    return result.stdout.strip().splitlines()[-1]


class S3Double:
    """The strict double of the unit tests as a process (tests/integration/s3_double_main.cc): it holds every key that S3
    holds, and refuses as it is told. `clock_offset` seconds between its clock and this host's."""
    region, bucket, access_key, secret = "us-east-1", "bucket", "AKIDDOUBLE", "canary-secret-of-the-double"

    def __init__(self, clock_offset=0):
        self.dir = tempfile.mkdtemp(prefix="hearth-s3-")
        self.credentials_file = os.path.join(self.dir, "credentials")
        with open(os.open(self.credentials_file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write(f"[default]\naws_access_key_id = {self.access_key}\naws_secret_access_key = {self.secret}\n")
        self.process = subprocess.Popen([f"{BIN}/hearth-s3-double", str(clock_offset)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.endpoint = self.process.stdout.readline().strip()

    def client(self):
        return S3Client(endpoint=self.endpoint, region=self.region, bucket=self.bucket, access_key=self.access_key, secret=self.secret)

    def tell(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if answer != "ok":
            raise Failure(f"{command}: {answer}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()
        shutil.rmtree(self.dir, ignore_errors=True)


class S3Server:
    def __init__(self, region="us-east-1", bucket="bucket", where=None, host=None):
        self.program = program()
        self.host = host or Host()
        self.region = region
        self.bucket = bucket
        self.dir = tempfile.mkdtemp(prefix="hearth-s3-", dir=where)
        self.port = free_port()
        self.access_key = "hearth-test"
        self.secret = secrets.token_hex(20)
        self.credentials_file = os.path.join(self.dir, "credentials")
        with open(os.open(self.credentials_file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write(f"[default]\naws_access_key_id = {self.access_key}\naws_secret_access_key = {self.secret}\n")
        for name in ("data", "meta", "users"):
            os.mkdir(os.path.join(self.dir, name))
        self.process = None
        self.start()
        self.client().create_bucket()

    @property
    def endpoint(self):
        return f"http://{self.host.address}:{self.port}"

    def client(self, **changes):
        """An S3 client of its own make, with the right keys unless told otherwise."""
        settings = dict(endpoint=self.endpoint, region=self.region, bucket=self.bucket, access_key=self.access_key, secret=self.secret)
        return S3Client(**{**settings, **changes})

    def start(self):
        environment = {**os.environ, "ROOT_ACCESS_KEY_ID": self.access_key, "ROOT_SECRET_ACCESS_KEY": self.secret}
        log = open(os.path.join(self.dir, "server.log"), "ab")
        # Metadata beside the data and not in extended attributes: any file system will do.
        self.process = subprocess.Popen(
            self.host.command([self.program, "--port", f"{self.host.address}:{self.port}", "--region", self.region, "--keep-alive", "--quiet",
                               "--iam-dir", os.path.join(self.dir, "users"), "posix", "--sidecar", os.path.join(self.dir, "meta"), os.path.join(self.dir, "data")]),
            env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        log.close()
        try:
            wait_for("the S3 server listens", lambda: self.listens() or self.process.poll() is not None)
        except Failure:
            self.kill()
            raise
        if self.process.poll() is not None:
            raise Failure(f"the S3 server ended: {self.log()}")

    def add_user(self, name, statements):
        """A user whose rights are `statements` of the bucket's policy (one policy a bucket: the last call counts); the path of the
        credentials file."""
        secret = secrets.token_hex(20)
        made = subprocess.run(self.host.command([self.program, "admin", "--access", self.access_key, "--secret", self.secret, "--region", self.region,
                                                 "--endpoint-url", self.endpoint, "create-user", "--access", name, "--secret", secret, "--role", "user"]),
                              capture_output=True, text=True)
        if made.returncode != 0:
            raise Failure(f"the S3 server makes no user {name}: {made.stdout}{made.stderr}")
        policy = {"Version": "2012-10-17", "Statement": [{**one, "Principal": {"AWS": [name]}} for one in statements]}
        self.client().request("PUT", query={"policy": ""}, body=json.dumps(policy).encode())
        path = os.path.join(self.dir, f"{name}.credentials")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write(f"[default]\naws_access_key_id = {name}\naws_secret_access_key = {secret}\n")
        return path

    def listens(self):
        try:
            socket.create_connection((self.host.address, self.port), timeout=1).close()
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
