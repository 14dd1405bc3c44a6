"""Real processes for integration tests: a master, workers, mounts, each optionally in a network namespace.

Everything that a Cluster starts, it stops: close() kills processes, unmounts, removes namespaces and files.
Waiting is on conditions (wait_for), never on a guess of how long something takes.
"""
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

BIN = os.environ.get("HEARTH_BIN", os.path.join(os.path.dirname(__file__), "../../build/release/bin"))


def end_orderly(number, _frame):
    sys.exit(128 + number)


# So that "finally" and close() run when a test is told to end: a time limit, an interrupted ./test.
signal.signal(signal.SIGTERM, end_orderly)


class Failure(AssertionError):
    pass


def check(condition, message):
    if not condition:
        raise Failure(message)


def wait_for(what, condition, seconds=15.0):
    """Polls until condition() is true; returns how long it took."""
    start = time.monotonic()
    while True:
        if condition():
            return time.monotonic() - start
        if time.monotonic() - start > seconds:
            raise Failure(f"waited {seconds} s for: {what}")
        time.sleep(0.02)


def need(condition, what):
    """A missing machine feature: a failure in CI, a skip with a reason elsewhere."""
    if condition:
        return
    if os.environ.get("HEARTH_CI") == "1":
        raise Failure(f"this machine lacks {what}, which CI must have")
    print(f"SKIPPED: this machine lacks {what}")
    sys.exit(77)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def seed():
    value = int(os.environ.get("HEARTH_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"seed {value} (repeat with HEARTH_SEED={value})", flush=True)
    return random.Random(value)


class Host:
    """Where a process runs: the machine itself, or a network namespace with an address of its own.

    `hidden` are directories of the other hosts (their Unix sockets): an empty file system covers them, since
    `ip netns exec` gives each command a mount namespace of its own.
    """

    def __init__(self, address="127.0.0.1", netns=None, hidden=()):
        self.address = address
        self.netns = netns
        self.hidden = list(hidden)

    def command(self, argv):
        if not self.netns:
            return list(argv)
        cover = "; ".join(f"mount -t tmpfs none {d}" for d in self.hidden)
        return ["ip", "netns", "exec", self.netns, "sh", "-c", (cover or ":") + '; exec "$@"', "sh", *argv]


class Process:
    def __init__(self, cluster, name, argv, host):
        self.name = name
        self.log_path = os.path.join(cluster.dir, f"{name}.log")
        self.log = open(self.log_path, "ab")
        self.popen = subprocess.Popen(host.command(argv), stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)

    @property
    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def signal(self, number):
        if self.alive():
            self.popen.send_signal(number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.popen.wait()
        self.log.close()

    def stop(self, seconds=20):
        """Asks to end and returns the exit code."""
        self.signal(signal.SIGTERM)
        try:
            code = self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure(f"{self.name} did not stop within {seconds} s of SIGTERM: {self.tail()}")
        self.log.close()
        return code

    def tail(self, lines=12):
        with open(self.log_path, errors="replace") as f:
            return "".join(f.readlines()[-lines:])


class Cluster:
    def __init__(self, memory="256MiB", lost_after="2s", heartbeat_seconds=0.2, placement="local_first", metadata_ttl="1s"):
        self.dir = tempfile.mkdtemp(prefix="hearth-test-")
        os.chmod(self.dir, 0o755)
        self.memory = memory
        self.lost_after = lost_after
        self.heartbeat_seconds = heartbeat_seconds
        self.placement = placement
        self.master_socket = None  # "unix:/path", where the master listens as well
        self.metadata_ttl = metadata_ttl
        self.master_port = free_port()
        self.master_host = Host()
        self.processes = []
        self.mounts = []
        self.namespaces = []
        self.master = None
        self.workers = {}
        self.worker_hosts = {}
        self.ports = {}

    # ---- hosts ---------------------------------------------------------------------------
    def make_hosts(self, count):
        """`count` namespaces joined by one bridge that lives in a namespace of its own: 10.77.0.1, .2, ..."""
        need(os.geteuid() == 0 and shutil.which("ip") and shutil.which("nft"), "root, ip and nft for network namespaces")
        tag = f"h{os.getpid() % 100000}"
        hub = f"{tag}hub"
        self.namespaces.append(hub)
        ip("netns", "add", hub)
        ip("-n", hub, "link", "add", "br0", "type", "bridge")
        ip("-n", hub, "link", "set", "br0", "up")
        hosts = []
        for i in range(1, count + 1):
            ns = f"{tag}n{i}"
            ip("netns", "add", ns)
            self.namespaces.append(ns)
            ip("link", "add", f"{tag}v{i}", "netns", ns, "type", "veth", "peer", "name", f"p{i}", "netns", hub)
            ip("-n", hub, "link", "set", f"p{i}", "master", "br0")
            ip("-n", hub, "link", "set", f"p{i}", "up")
            ip("-n", ns, "link", "set", f"{tag}v{i}", "name", "eth0")
            ip("-n", ns, "addr", "add", f"10.77.0.{i}/24", "dev", "eth0")
            ip("-n", ns, "link", "set", "eth0", "up")
            ip("-n", ns, "link", "set", "lo", "up")
            hosts.append(Host(f"10.77.0.{i}", ns))
        for i, host in enumerate(hosts):
            os.makedirs(f"{self.dir}/host{i}")
            host.hidden = [f"{self.dir}/host{j}" for j in range(count) if j != i]
        return hosts

    # ---- processes -----------------------------------------------------------------------
    def run(self, name, argv, host):
        process = Process(self, name, argv, host)
        self.processes.append(process)
        return process

    @property
    def master_address(self):
        return f"{self.master_host.address}:{self.master_port}"

    def master_listen(self):
        return self.master_address if self.master_socket is None else f"{self.master_address},{self.master_socket}"

    def start_master(self):
        self.master = self.run("master", [
            f"{BIN}/hearth-master",
            "--set", f"master.data_dir={self.dir}/master",
            "--set", f"master.listen={self.master_listen()}",
            "--set", f"master.heartbeat_interval={int(self.heartbeat_seconds * 1000)}ms",
            "--set", f"master.lost_after={self.lost_after}"], self.master_host)
        wait_for(f"the master answers ({self.master.log_path})",
                 lambda: self.master_ready() or not self.master.alive())
        check(self.master.alive(), f"the master ended: {self.master.tail()}")

    def master_ready(self):
        return self.cli("workers", check_exit=False, timeout=5).returncode == 0

    def start_worker(self, number=1, host=None, memory=None, settings=()):
        host = host or self.worker_hosts.get(number) or Host()
        self.worker_hosts[number] = host
        self.ports.setdefault(number, free_port() if host.netns is None else 19801)
        sets = [s for pair in settings for s in ("--set", pair)]
        self.workers[number] = self.run(f"worker{number}", [
            f"{BIN}/hearth-worker",
            "--set", f"worker.master={self.master_address}",
            "--set", f"worker.listen={host.address}:{self.ports[number]}",
            "--set", f"worker.local_socket={self.socket_of(number)}",
            "--set", f"worker.host=host{number}",
            "--set", f"worker.memory.capacity={memory or self.memory}", *sets], host)
        return self.workers[number]

    def socket_of(self, number):
        directory = f"{self.dir}/host{number}"
        os.makedirs(directory, exist_ok=True)
        return f"{directory}/worker.sock"

    def start(self, workers=1):
        self.start_master()
        for i in range(1, workers + 1):
            self.start_worker(i)
        self.wait_live(workers)
        return self

    def wait_live(self, count, seconds=15):
        return wait_for(f"{count} live workers", lambda: self.live_workers() == count, seconds)

    def live_workers(self):
        result = self.cli("workers", "--json", check_exit=False)
        if result.returncode != 0:
            return -1
        return sum(1 for w in json.loads(result.stdout)["workers"] if w["state"] == "live")

    # ---- the command line ------------------------------------------------------------------
    def cli(self, *args, check_exit=True, host=None, timeout=120, text=True):
        argv = (host or self.master_host).command([f"{BIN}/hearth", "--master", self.master_address, *args])
        result = subprocess.run(argv, capture_output=True, text=text, timeout=timeout, errors="surrogateescape" if text else None)
        if check_exit:
            check(result.returncode == 0, f"hearth {' '.join(args)} ended with {result.returncode}: {result.stderr!r}")
        return result

    def json(self, *args, **kwargs):
        return json.loads(self.cli(*args, "--json", **kwargs).stdout)

    def settled_fetched_bytes(self):
        """Bytes that the workers read from under-stores so far: the figure that two heartbeats in a row agree on."""
        seen = []

        def agreed():
            workers = [w for w in self.json("workers")["workers"] if w["state"] == "live"]
            # When the figures were heard; figures of the same heartbeat must not agree with themselves.
            heard = time.monotonic() - max(int(w["since_heartbeat_ms"]) for w in workers) / 1000
            if not seen or heard > seen[-1][0] + self.heartbeat_seconds / 2:
                seen.append((heard, sum(int(w["fetched_bytes"]) for w in workers)))
            return len(seen) >= 3 and seen[-1][1] == seen[-2][1]

        wait_for("the figures of two heartbeats agree", agreed, 60)
        return seen[-1][1]

    def attach(self, path, directory, *flags):
        self.cli("attach", path, directory, "--placement", self.placement, "--metadata-ttl", self.metadata_ttl, *flags)

    def mount(self, name="mnt", host=None, options=()):
        need(os.path.exists("/dev/fuse") and os.geteuid() == 0, "/dev/fuse and root")
        point = os.path.join(self.dir, name)
        os.makedirs(point, exist_ok=True)
        host = host or self.master_host
        sets = [s for pair in options for s in ("--set", pair)]
        process = self.run(f"fuse-{name}", [
            f"{BIN}/hearth-fuse", "--set", f"mount.master={self.master_address}",
            *sets, point], host)
        self.mounts.append(point)
        wait_for(f"the mount at {point}", lambda: mount_answers(point) or not process.alive())
        check(process.alive(), f"hearth-fuse ended: {process.tail()}")
        process.mountpoint = point
        return process

    # ---- the end ---------------------------------------------------------------------------
    def close(self):
        for point in self.mounts:
            subprocess.run(["umount", "-l", point], capture_output=True)
        for process in self.processes:
            process.signal(signal.SIGCONT)
            if process.alive():
                process.kill()
        for ns in self.namespaces:
            subprocess.run(["ip", "netns", "del", ns], capture_output=True)
        if os.environ.get("HEARTH_KEEP") != "1":
            shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        if error is not None:
            for process in self.processes:
                print(f"--- {process.name} ---\n{process.tail()}", file=sys.stderr)
        self.close()


def mount_answers(point):
    try:
        return os.path.ismount(point) and os.statvfs(point) is not None
    except OSError:
        return False


def ip(*args):
    subprocess.run(["ip", *args], check=True, capture_output=True)


def oracle(name, version, length):
    """Bytes that are a function of (name, version, offset): any read can be checked anywhere."""
    return random.Random(f"{name}/{version}").randbytes(length)


def write_file(path, data):
    with open(path, "wb") as f:
        f.write(data)


def run_tests(module):
    """Runs every test_* function of a script; prints what ctest shows; exit 1 on the first failure."""
    only = sys.argv[1:]
    for name, function in list(vars(module).items()):
        if name.startswith("test_") and (not only or name in only):
            start = time.monotonic()
            print(f"[ RUN  ] {name}", flush=True)
            function()
            print(f"[  OK  ] {name} ({time.monotonic() - start:.1f} s)", flush=True)
