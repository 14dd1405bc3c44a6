"""A user who is not root, mounting through fusermount3: what works, what does not, and what is said.

Everything runs as `nobody` in a mount namespace of its own, with a private /etc/fuse.conf and a private node /dev/fuse, whose mode is
the one that udev gives it (666) whatever this machine has.
"""
import glob
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.cluster import BIN, check, need, oracle, run_tests, wait_for, write_file  # noqa: E402

USER = pwd.getpwnam("nobody")
STRANGER = 54321
EXIT_FAILED, EXIT_DENIED = 1, 6
FILES, LENGTH = 20, 300_000


class Machine:
    """A directory of the user's, a cluster's worth of environment, and a namespace that lives as long as this."""

    def __init__(self, fuse_conf="", device_mode="666"):
        self.fuse_conf = fuse_conf
        self.device_mode = device_mode

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="hearth-user-")
        self.source, self.point = f"{self.dir}/source", f"{self.dir}/mnt"
        for made in (self.source, f"{self.source}/deep", self.point, f"{self.dir}/run", f"{self.dir}/bin", f"{self.dir}/dev"):
            os.makedirs(made)
        for i in range(FILES):
            write_file(f"{self.source}/deep/f{i}", oracle(i, 1, LENGTH))
        for program in ("hearth", "hearth-fuse"):  # where they were built may be closed to others
            shutil.copy(f"{BIN}/{program}", f"{self.dir}/bin/{program}")
        write_file(f"{self.dir}/fuse.conf", self.fuse_conf.encode())
        for root, names, files in os.walk(self.dir):
            for name in [".", *names, *files]:
                os.chown(os.path.join(root, name), USER.pw_uid, USER.pw_gid)
        os.chown(f"{self.dir}/fuse.conf", 0, 0)
        os.chmod(self.dir, 0o755)
        self.namespace = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c",
             f"mount --bind {self.dir}/fuse.conf /etc/fuse.conf && mount -t tmpfs none {self.dir}/dev && "
             f"mknod {self.dir}/dev/fuse c 10 229 && chmod {self.device_mode} {self.dir}/dev/fuse && "
             f"mount --bind {self.dir}/dev/fuse /dev/fuse && echo ready && exec cat"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        check(self.namespace.stdout.readline() == b"ready\n", "a namespace with a private /etc/fuse.conf and /dev/fuse")
        return self

    def run(self, *argv, uid=None, path=None, text=True, timeout=60):
        uid = USER.pw_uid if uid is None else uid
        env = {"PATH": path or os.environ["PATH"], "HOME": self.dir, "XDG_RUNTIME_DIR": f"{self.dir}/run", "LANG": "C"}
        return subprocess.run(["nsenter", f"--mount=/proc/{self.namespace.pid}/ns/mnt", "setpriv", f"--reuid={uid}",
                               f"--regid={USER.pw_gid}", "--clear-groups", "--inh-caps=-all", "--", *argv],
                              capture_output=True, text=text, timeout=timeout, env=env, cwd="/", stdin=subprocess.DEVNULL)


    def hearth(self, *argv, **kwargs):
        return self.run(f"{self.dir}/bin/hearth", *argv, **kwargs)

    def up(self, *flags, **kwargs):
        done = self.hearth("up", self.source, "--data-dir", f"{self.dir}/data", "--port", "0", "--memory", "64MiB", "--background",
                           *flags, **kwargs)
        check(done.returncode == 0, f"up: {done}")
        with open(f"{self.dir}/data/master.address") as f:
            self.master = f.read().strip()
        return done.stdout

    def stop(self):
        return self.hearth("up", "--data-dir", f"{self.dir}/data", "--stop")

    def mounted(self):
        with open(f"/proc/{self.namespace.pid}/mountinfo") as f:
            return any(line.split()[4] == self.point for line in f)

    def read_all(self, below, uid=None):
        for i in range(FILES):
            got = self.run("cat", f"{self.point}{below}/deep/f{i}", uid=uid, text=False)
            check(got.stdout == oracle(i, 1, LENGTH), f"f{i} reads right through the mount: {got.stderr!r}")

    def left_running(self):
        found = []
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                with open(path, "rb") as f:
                    line = f.read()
            except OSError:
                continue  # it ended meanwhile
            if line.startswith(f"{self.dir}/bin/".encode()):
                found.append(line.replace(b"\0", b" "))
        return found

    def __exit__(self, kind, *_):
        left, mounted = self.left_running(), self.mounted()
        self.stop()
        self.run("umount", "-l", self.point, uid=0)
        self.namespace.stdin.close()
        self.namespace.wait(10)
        shutil.rmtree(self.dir, ignore_errors=True)
        if kind is None:
            check(not left and not mounted, f"nothing is left behind: {left}, mounted: {mounted}")


def test_up_mounts_reads_and_stops_as_a_user():
    with Machine() as machine:
        said = machine.up("--mount", machine.point)
        check(f"mount     {machine.point}" in said, f"it says where the mount is: {said!r}")
        check(machine.mounted(), "it is mounted")
        machine.read_all("/source")
        listed = machine.run("find", machine.point, "-type", "f").stdout.splitlines()
        check(len(listed) == FILES, f"the tree is whole: {listed}")
        written = machine.run("touch", f"{machine.point}/source/new")
        check(written.returncode != 0 and "Read-only" in written.stderr, f"a write is refused as ever: {written.stderr!r}")
        stranger = machine.run("ls", machine.point, uid=STRANGER)
        check(stranger.returncode != 0 and "denied" in stranger.stderr, f"the mount is the user's own: {stranger}")
        stopped = machine.stop()
        check(stopped.returncode == 0 and "stopped" in stopped.stdout, f"stop: {stopped}")
        check(not machine.mounted(), "its mount went with it")


def test_doctor_says_that_passthrough_is_off():
    with Machine() as machine:
        machine.up("--mount", machine.point)
        checks = json.loads(machine.hearth("--master", machine.master, "doctor", "--json").stdout)["checks"]
        by_name = {c["check"]: c for c in checks}
        passthrough = by_name["passthrough"]
        major, minor = (int(n) for n in os.uname().release.split("-")[0].split(".")[:2])
        wanted = "CAP_SYS_ADMIN" if (major, minor) >= (6, 9) else "no FUSE passthrough"
        check(passthrough["verdict"] == "warning" and wanted in passthrough["finding"] and passthrough["remedy"], f"{passthrough}")
        check(by_name["/dev/fuse"]["verdict"] == "ok", f"the mount itself is possible: {by_name['/dev/fuse']}")
        check(by_name[f"mount {machine.point}"]["verdict"] == "ok", f"and answers: {by_name}")
        log = machine.run("cat", f"{machine.dir}/data/up.log").stdout
        line = next(line for line in log.splitlines() if "fuse_mounted" in line)
        check("passthrough=" in line and "passthrough=on" not in line, f"the log says so too: {line!r}")
        check(machine.stop().returncode == 0, "stop")


def test_mount_and_umount_as_a_user():
    with Machine() as machine:
        machine.up()
        mounted = machine.hearth("--master", machine.master, "mount", "--subtree", "/source", machine.point)
        check(mounted.returncode == 0 and machine.mounted(), f"mount: {mounted}")
        machine.read_all("")
        again = machine.hearth("--master", machine.master, "mount", machine.point)
        check(again.returncode != 0 and "mount already" in again.stderr, f"twice is refused: {again}")
        holder = subprocess.Popen(["nsenter", f"--mount=/proc/{machine.namespace.pid}/ns/mnt", "setpriv", f"--reuid={USER.pw_uid}",
                                   "--clear-groups", f"--regid={USER.pw_gid}", "sh", "-c", f"exec <{machine.point}/deep/f0; echo open; exec sleep 60"],
                                  stdout=subprocess.PIPE)
        holder.stdout.readline()
        busy = machine.hearth("umount", machine.point)
        check(busy.returncode == EXIT_FAILED and "in use" in busy.stderr and "--lazy" in busy.stderr, f"busy is said: {busy}")
        holder.kill()
        holder.wait()
        done = machine.hearth("umount", machine.point)
        check(done.returncode == 0 and not machine.mounted(), f"umount: {done}")
        wait_for("the daemon of the mount ended", lambda: len(machine.left_running()) == 1)
        check(machine.stop().returncode == 0, "stop")


def test_allow_other_needs_the_system_to_allow_it():
    with Machine() as machine:
        machine.up()
        refused = machine.hearth("--master", machine.master, "mount", "-o", "allow_other", machine.point)
        check(refused.returncode == EXIT_DENIED and "user_allow_other in /etc/fuse.conf" in refused.stderr, f"{refused}")
        check(not machine.mounted(), "nothing is mounted")
        check(machine.stop().returncode == 0, "stop")
    with Machine(fuse_conf="user_allow_other\n") as machine:
        machine.up()
        mounted = machine.hearth("--master", machine.master, "mount", "-o", "allow_other", "--subtree", "/source", machine.point)
        check(mounted.returncode == 0, f"allowed now: {mounted}")
        machine.read_all("", uid=STRANGER)
        check(machine.hearth("umount", machine.point).returncode == 0, "umount")
        wait_for("the daemon of the mount ended", lambda: len(machine.left_running()) == 1)
        check(machine.stop().returncode == 0, "stop")


def test_no_fusermount_is_one_sentence():
    with Machine() as machine:
        os.makedirs(f"{machine.dir}/tools")
        for tool in ("setpriv", "nsenter"):
            os.symlink(shutil.which(tool), f"{machine.dir}/tools/{tool}")
        path = f"{machine.dir}/tools"
        said = machine.up("--mount", machine.point, path=path)
        check("mount     none: fusermount3 not in PATH" in said and "apt-get install fuse3" in said, f"up goes on and says why: {said!r}")
        refused = machine.hearth("--master", machine.master, "mount", machine.point, path=path)
        check(refused.returncode == EXIT_FAILED, f"{refused}")
        lines = refused.stderr.splitlines()
        check(len(lines) == 1 and "fusermount3" in lines[0] and "apt-get install fuse3" in lines[0], f"one sentence: {lines}")
        check(machine.stop().returncode == 0, "stop")


def test_a_device_that_is_not_open_to_the_user_is_one_sentence():
    with Machine(device_mode="600") as machine:
        said = machine.up("--mount", machine.point)
        check("mount     none: /dev/fuse cannot be opened: Permission denied" in said, f"up goes on and says why: {said!r}")
        refused = machine.hearth("--master", machine.master, "mount", machine.point)
        lines = refused.stderr.splitlines()
        check(refused.returncode == EXIT_FAILED and len(lines) == 1 and "chmod 666 /dev/fuse" in lines[0], f"one sentence: {refused}")
        check(machine.stop().returncode == 0, "stop")


def test_a_mount_point_of_somebody_else_is_refused():
    with Machine() as machine:
        machine.up()
        os.chown(machine.point, 0, 0)
        os.chmod(machine.point, 0o755)
        refused = machine.hearth("--master", machine.master, "mount", machine.point)
        check(refused.returncode == EXIT_DENIED and "must belong to you" in refused.stderr, f"{refused}")
        check("fusermount3: user has no write access" in refused.stderr, f"with fusermount3's own words: {refused.stderr!r}")
        check(not machine.mounted(), "nothing is mounted")
        check(machine.stop().returncode == 0, "stop")


if __name__ == "__main__":
    tools = all(shutil.which(tool) for tool in ("unshare", "nsenter", "setpriv", "fusermount3"))
    need(os.geteuid() == 0 and os.path.exists("/dev/fuse") and tools, "root, /dev/fuse, util-linux and fuse3")
    run_tests(sys.modules[__name__])
