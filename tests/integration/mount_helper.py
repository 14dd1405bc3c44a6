"""mount(8), fstab and umount(8) work through /sbin/mount.hearth; what is wrong is said in one sentence."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.cluster import BIN, Cluster, check, need, run_tests, wait_for, write_file  # noqa: E402

HELPER = "/sbin/mount.hearth"


class Installed:
    """The helper where mount(8) looks for it, for the time of a test."""

    def __enter__(self):
        self.made = not os.path.lexists(HELPER)
        if self.made:
            os.symlink(f"{BIN}/hearth", HELPER)

    def __exit__(self, *_):
        if self.made:
            os.unlink(HELPER)


def run(*argv):
    return subprocess.run(argv, capture_output=True, text=True, timeout=60)


def make():
    cluster = Cluster()
    source = os.path.join(cluster.dir, "source")
    os.makedirs(source)
    write_file(f"{source}/hello", b"hello")
    cluster.start()
    cluster.attach("/d", source)
    point = os.path.join(cluster.dir, "point")
    os.makedirs(point)
    cluster.mounts.append(point)
    return cluster, point


def test_fstab_entry_mounts_reads_and_unmounts():
    cluster, point = make()
    with cluster, Installed():
        fstab = f"{cluster.dir}/fstab"
        write_file(fstab, f"hearth://{cluster.master_address}/d {point} hearth ro,_netdev,nofail,x-systemd.automount 0 0\n".encode())
        mounted = run("mount", "-T", fstab, point)
        check(mounted.returncode == 0, f"mount(8): {mounted}")
        with open(f"{point}/hello", "rb") as f:
            check(f.read() == b"hello", "the subtree is what is mounted")
        shown = run("findmnt", "-n", "-o", "FSTYPE,OPTIONS", point).stdout
        check(shown.startswith("fuse.hearth") and "nosuid" in shown and "nodev" in shown, f"findmnt shows {shown!r}")
        unmounted = run("umount", point)
        check(unmounted.returncode == 0 and not os.path.ismount(point), f"umount(8): {unmounted}")
        wait_for("its process ended", lambda: run("pgrep", "-f", point).returncode != 0)


def test_unknown_option_is_refused_by_name():
    cluster, point = make()
    with cluster, Installed():
        refused = run("mount", "-t", "hearth", "-o", "atr_timeout=1s", f"hearth://{cluster.master_address}/", point)
        check(refused.returncode != 0 and "atr_timeout" in refused.stderr and "attr_timeout" in refused.stderr,
              f"the option and its nearest name are said: {refused}")
        check(not os.path.ismount(point), "nothing is mounted")


def test_no_master_is_said():
    cluster, point = make()
    with cluster, Installed():
        cluster.master.kill()
        refused = run("mount", "-t", "hearth", f"hearth://{cluster.master_address}/", point)
        check(refused.returncode != 0 and cluster.master_address in refused.stderr, f"it names the master: {refused}")
        check(not os.path.ismount(point), "nothing is mounted")
        check(run("pgrep", "-f", point).returncode != 0, "nothing is left running")


def test_stale_mount_point_is_cleaned():
    cluster, point = make()
    with cluster:
        first = cluster.mount("point")
        first.kill()
        wait_for("the dead mount is noticed", lambda: run("ls", point).returncode != 0)
        again = cluster.mount("point")
        with open(f"{again.mountpoint}/d/hello", "rb") as f:
            check(f.read() == b"hello", "the new mount took its place")


if __name__ == "__main__":
    need(os.geteuid() == 0 and os.path.exists("/dev/fuse"), "root and /dev/fuse")
    run_tests(sys.modules[__name__])
