"""A machine without /dev/fuse: everything but the mount works, and what is missing is said in one sentence."""
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.cluster import BIN, check, need, oracle, run_tests, write_file  # noqa: E402

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
EXIT_UNSUPPORTED = 1
FILES = 12

# A /dev that has all but fuse, in a mount namespace of its own. "$1" is an empty directory; the rest is the command.
WITHOUT_FUSE = """
set -e
dev=$1; shift
mount -t tmpfs none "$dev"
for name in null zero full random urandom tty; do : > "$dev/$name"; mount --bind "/dev/$name" "$dev/$name"; done
mkdir -p "$dev/shm" && mount -t tmpfs none "$dev/shm"
ln -s /proc/self/fd "$dev/fd"
mount --move "$dev" /dev
test ! -e /dev/fuse
exec "$@"
"""


class Machine:
    """A scratch directory and a namespace without /dev/fuse; at the end nothing may run that names the directory."""

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="hearth-nofuse-")
        self.source = os.path.join(self.dir, "small")
        self.point = os.path.join(self.dir, "mnt")
        for made in (self.source, self.point, f"{self.dir}/dev", f"{self.dir}/run"):
            os.makedirs(made)
        for i in range(FILES):
            write_file(f"{self.source}/f{i}", oracle(i, 1, 70_000))
        self.env = {**os.environ, "XDG_STATE_HOME": self.dir, "HEARTH_RUNTIME_DIR": f"{self.dir}/run"}
        return self

    def run(self, *argv, timeout=120):
        return subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", WITHOUT_FUSE, "sh", f"{self.dir}/dev", *argv],
                              capture_output=True, text=True, timeout=timeout, env=self.env, stdin=subprocess.DEVNULL)

    def hearth(self, *argv, **kwargs):
        return self.run(f"{BIN}/hearth", *argv, **kwargs)

    def left_running(self):
        found = []
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                with open(path, "rb") as f:
                    line = f.read()
            except OSError:
                continue  # it ended meanwhile
            if self.dir.encode() in line and int(path.split("/")[2]) != os.getpid():
                found.append(line.replace(b"\0", b" "))
        return found

    def __exit__(self, kind, *_):
        left = self.left_running()
        for data in (f"{self.dir}/data", f"{self.dir}/hearth-quickstart/data"):
            subprocess.run([f"{BIN}/hearth", "up", "--data-dir", data, "--stop"], capture_output=True, env=self.env)
        shutil.rmtree(self.dir, ignore_errors=True)
        if kind is None:
            check(not left, f"nothing is left running: {left}")


def test_quickstart_does_the_job_through_the_client_and_says_what_is_missing():
    with Machine() as machine:
        done = machine.run(f"{ROOT}/quickstart", machine.source, timeout=1500)
        check(done.returncode == 0, f"quickstart ended with {done.returncode}: {done.stdout[-2000:]} {done.stderr[-2000:]}")
        check("no /dev/fuse here" in done.stdout and "--device /dev/fuse" in done.stdout, f"it says what is missing: {done.stdout!r}")
        check(f"reading {FILES} files" in done.stdout, "it read the dataset")
        lines = done.stdout.splitlines()
        cold = next(line for line in lines if "cold (from the source)" in line)
        warm = next(line for line in lines if "warm (worker memory)" in line)
        check("cache hits 100 %" in warm and "cache hits 100 %" not in cold, f"warm comes from the cache: {cold} | {warm}")
        check("live" in done.stdout and "mnt" not in next(line for line in lines if "look" in line), "the console is shown, without a mount")
        stop = next(line.split("stop", 1)[1].split() for line in reversed(lines) if "--stop" in line)
        stopped = subprocess.run(stop, capture_output=True, text=True, timeout=60, env=machine.env)
        check(stopped.returncode == 0 and "stopped" in stopped.stdout, f"the stop line of the text works: {stopped}")


def test_up_runs_without_its_mount_and_says_why():
    with Machine() as machine:
        data = f"{machine.dir}/data"
        up = machine.hearth("up", machine.source, "--data-dir", data, "--port", "0", "--mount", machine.point, "--background")
        check(up.returncode == 0, f"up: {up}")
        check("mount     none: /dev/fuse absent" in up.stdout, f"it says why there is no mount: {up.stdout!r}")
        with open(f"{data}/master.address") as f:
            master = f.read().strip()
        for i in range(FILES):
            cat = subprocess.run([f"{BIN}/hearth", "--master", master, "cat", f"/small/f{i}"], capture_output=True, timeout=60)
            check(cat.stdout == oracle(i, 1, 70_000), f"f{i} reads right through the client: {cat.stderr!r}")
        doctor = machine.hearth("--master", master, "doctor", "--json")
        fuse = next(c for c in json.loads(doctor.stdout)["checks"] if c["check"] == "/dev/fuse")
        check(fuse["verdict"] == "problem" and "modprobe fuse" in fuse["remedy"], f"doctor names it: {fuse}")
        stopped = machine.hearth("up", "--data-dir", data, "--stop")
        check(stopped.returncode == 0 and "stopped" in stopped.stdout, f"stop: {stopped}")


def one_sentence(result, code, *words):
    check(result.returncode == code, f"exit code {code}: {result}")
    lines = [line for line in result.stderr.splitlines() if line]
    check(len(lines) == 1, f"one sentence: {result.stderr!r}")
    for word in words:
        check(word in lines[0], f"it says {word!r}: {lines[0]!r}")


def test_mount_says_it_in_one_sentence():
    with Machine() as machine:
        one_sentence(machine.hearth("--master", "127.0.0.1:1", "mount", machine.point), EXIT_UNSUPPORTED, "/dev/fuse", "modprobe fuse")
        one_sentence(machine.hearth("--master", "127.0.0.1:1", "mount", "--foreground", machine.point), EXIT_UNSUPPORTED, "/dev/fuse")


def test_the_daemon_says_it_too():
    with Machine() as machine:
        data = f"{machine.dir}/data"
        up = machine.hearth("up", machine.source, "--data-dir", data, "--port", "0", "--background")
        check(up.returncode == 0, f"up: {up}")
        with open(f"{data}/master.address") as f:
            master = f.read().strip()
        refused = machine.run(f"{BIN}/hearth-fuse", "--set", f"mount.master={master}", machine.point)
        check(refused.returncode == EXIT_UNSUPPORTED, f"exit code {EXIT_UNSUPPORTED}: {refused}")
        check("/dev/fuse" in refused.stderr and "--device /dev/fuse" in refused.stderr, f"and the remedy: {refused.stderr!r}")
        check(machine.hearth("up", "--data-dir", data, "--stop").returncode == 0, "stop")


if __name__ == "__main__":
    need(os.geteuid() == 0 and shutil.which("unshare"), "root and unshare for mount namespaces")
    run_tests(sys.modules[__name__])
