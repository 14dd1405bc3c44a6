"""Secrets of a store stay where they are: not in logs, metrics, command lines, environments, messages, attachments, nor in
what a core dump holds. The real S3 server's own secret is the canary; memory is read as the kernel's dump would be."""
import glob
import hashlib
import hmac
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "services", "s3"))
from server import S3Server  # noqa: E402
from support.cluster import Cluster, check, free_port, need, oracle, run_tests, wait_for  # noqa: E402

MIB = 1 << 20
WRONG = "canary-of-a-wrong-secret"


def attach(cluster, server, path="/s3", credentials=None, check_exit=True, flags=()):
    return cluster.cli("attach", path, f"s3://{server.bucket}/tree", f"--option=endpoint={server.endpoint}",
                       f"--option=credentials=file:{credentials or server.credentials_file}", *flags, check_exit=check_exit)


def signing_keys(secret, region):
    """Every step of the key that requests are signed with, for the days around now."""
    keys = []
    for day in (-1, 0, 1):
        key = ("AWS4" + secret).encode()
        for step in (time.strftime("%Y%m%d", time.gmtime(time.time() + day * 86400)), region, "s3", "aws4_request"):
            key = hmac.new(key, step.encode(), hashlib.sha256).digest()
            keys.append(key)
    return keys


def memory_of(pid):
    """(what a core dump may hold, what it leaves out) of a process: its areas without and with MADV_DONTDUMP."""
    dumped, left_out = [], []
    area = None
    with open(f"/proc/{pid}/smaps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            head = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
            if head or re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                area = (int(head[1], 16), int(head[2], 16)) if head else None
            if line.startswith("VmFlags:") and area:
                try:
                    memory.seek(area[0])
                    (left_out if " dd" in line else dumped).append(memory.read(area[1] - area[0]))
                except (OSError, OverflowError, ValueError):
                    pass  # [vvar], [vsyscall]
    return dumped, left_out


def holds(areas, needle):
    return any(needle in area for area in areas)


class World:
    """A cluster that reads a bucket with its keys from a file, and was refused with wrong ones."""

    def __init__(self, core_dumps):
        self.server = S3Server()
        self.cluster = Cluster(memory="64MiB")
        self.settings = ("--set", f"process.core_dumps={core_dumps}", "--set", "log.level=debug")
        self.metrics = {}

    def __enter__(self):
        self.server.__enter__()
        self.cluster.__enter__()
        try:
            self.start()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, *error):
        self.cluster.__exit__(*error)
        self.server.__exit__(*error)

    def start(self):
        cluster, server = self.cluster, self.server
        server.client().put("tree/f", oracle("f", 1, 3 * MIB))
        run = cluster.run

        def run_with_settings(name, argv, host):
            if os.path.basename(argv[0]) in ("hearth-master", "hearth-worker", "hearth-fuse"):
                self.metrics[name] = free_port()
                argv = [argv[0], *self.settings, "--set", f"metrics.listen=127.0.0.1:{self.metrics[name]}", *argv[1:]]
            return run(name, argv, host)
        cluster.run = run_with_settings
        cluster.start()
        attach(cluster, server)
        self.mount = cluster.mount().mountpoint + "/s3"
        with open(f"{self.mount}/f", "rb") as f:
            check(f.read() == oracle("f", 1, 3 * MIB), "the file is read")
        self.said = []
        wrong = os.path.join(server.dir, "wrong")
        with open(os.open(wrong, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write(f"aws_access_key_id={server.access_key}\naws_secret_access_key={WRONG}\n")
        refused = attach(cluster, server, "/refused", wrong, check_exit=False)
        check("SignatureDoesNotMatch" in refused.stderr, f"the wrong key is refused: {refused.stderr}")
        for words in (["attachments"], ["attachments", "--json"], ["workers", "--json"], ["doctor"], ["stat", "/s3/f"], ["locate", "/s3/f"]):
            shown = cluster.cli(*words, check_exit=False)
            self.said.append(shown.stdout + shown.stderr)
        self.said += [refused.stdout, refused.stderr]
        proven = attach(cluster, server, "/again", flags=["--dry-run"])
        self.said.append(proven.stdout + proven.stderr)
        self.daemons = {p.name: p for p in cluster.processes}
        check(len(self.daemons) == 3, f"three daemons: {list(self.daemons)}")


def test_nothing_that_is_shown_holds_a_secret():
    with World("off") as world:
        shown = {"what commands said": "".join(world.said)}
        for name, daemon in world.daemons.items():
            with open(daemon.log_path, errors="replace") as f:
                shown[f"the log of {name}"] = f.read()
            shown[f"the metrics of {name}"] = urllib.request.urlopen(f"http://127.0.0.1:{world.metrics[name]}/metrics", timeout=10).read().decode()
            for part in ("cmdline", "environ", "comm"):
                with open(f"/proc/{daemon.pid}/{part}", errors="replace") as f:
                    shown[f"{part} of {name}"] = f.read()
        check("hearth_s3_requests_total" in shown["the metrics of worker1"], "the worker counts its requests")
        check("attachment" in shown["the log of worker1"], "and logs")
        for where, text in shown.items():
            for secret in (world.server.secret, WRONG):
                check(secret not in text, f"{where} holds a secret")
        metadata = b"".join(open(path, "rb").read() for path in glob.glob(f"{world.cluster.dir}/master/**", recursive=True) if os.path.isfile(path))
        check(b"credentials" in metadata, "the attachment is in the metadata")
        check(world.server.secret.encode() not in metadata and WRONG.encode() not in metadata, "the metadata hold a secret")


def test_what_a_core_dump_holds_has_no_key():
    need(os.geteuid() == 0, "root, to read memory of processes")
    with World("on") as world:
        secrets = {"the secret key": world.server.secret.encode(), "a wrong key": WRONG.encode(),
                   **{f"signing key {i}": key for i, key in enumerate(signing_keys(world.server.secret, world.server.region))}}
        for name, daemon in world.daemons.items():
            dumped, left_out = memory_of(daemon.pid)
            check(sum(map(len, dumped)) > MIB, f"the memory of {name} was read")
            for what, secret in secrets.items():
                check(not holds(dumped, secret), f"a core dump of {name} would hold {what}")
            if name in ("master", "worker1"):  # that the search finds what is there
                check(holds(dumped, world.server.access_key.encode()), f"{name} knows the key's id")
                check(holds(left_out, secrets["the secret key"]), f"{name} keeps the key where no dump looks")


def aborted_with_core(popen):
    popen.send_signal(signal.SIGABRT)
    status = os.waitpid(popen.pid, 0)[1]
    popen.returncode = -signal.SIGABRT
    return os.WCOREDUMP(status)


def test_no_core_dump_is_written_unless_it_is_asked_for():
    before = resource.getrlimit(resource.RLIMIT_CORE)
    need(before[1] == resource.RLIM_INFINITY, "an unlimited hard limit for core dumps")
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, before[1]))
    here = os.getcwd()
    try:
        for core_dumps in ("off", "on"):
            # A relative core_pattern writes into the directory of the process: one of this test, not the machine's.
            with tempfile.TemporaryDirectory(prefix="hearth-core-") as directory:
                os.chdir(directory)
                abort_daemons(core_dumps)
                os.chdir(here)
    finally:
        os.chdir(here)
        resource.setrlimit(resource.RLIMIT_CORE, before)


def abort_daemons(core_dumps):
    control = subprocess.Popen(["sleep", "1000"])
    machine_dumps = aborted_with_core(control)
    with World(core_dumps) as world:
        for name in ("worker1", "master"):
            for path in glob.glob("core*"):
                os.unlink(path)
            wrote = aborted_with_core(world.daemons[name].popen)
            check(wrote == (machine_dumps and core_dumps == "on"), f"{name} with core_dumps={core_dumps}: dumped {wrote}")
            written = glob.glob("core*")
            check(wrote or not written, f"{name} left {written}")
            for path in written:  # none where core_pattern leads elsewhere
                with open(path, "rb") as f:
                    dump = f.read()
                check(world.server.access_key.encode() in dump, f"{path} is a dump of a {name} that knows the store")
                check(world.server.secret.encode() not in dump, f"the core dump of {name} holds the secret key")
                print(f"         {name}: {len(dump) >> 20} MiB of core dump without a key", flush=True)


if __name__ == "__main__":
    run_tests(sys.modules["__main__"])
