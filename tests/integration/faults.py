"""A fault of a part of Hearth costs readers time, never a wrong byte or a failed read that the store could serve."""
import os
import signal
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.cluster import BIN, Cluster, check, oracle, run_tests, wait_for, write_file  # noqa: E402

MIB = 1 << 20
FILES, LENGTH = 24, 2 * MIB + 11


def make(memory="16MiB", **options):
    cluster = Cluster(memory=memory, **options)
    source = os.path.join(cluster.dir, "source")
    os.makedirs(source)
    for i in range(FILES):
        write_file(f"{source}/f{i}", oracle(i, 1, LENGTH))
    cluster.start()
    cluster.attach("/d", source)
    return cluster, source


class Readers:
    """Threads that read all files through the mount, again and again, and compare."""

    def __init__(self, mount, count=4):
        self.mount, self.stop, self.failures, self.reads = mount, threading.Event(), [], 0
        self.threads = [threading.Thread(target=self.run, args=(n,)) for n in range(count)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        turn = number
        while not self.stop.is_set() and not self.failures:
            i = turn % FILES
            turn += 1
            try:
                with open(f"{self.mount}/f{i}", "rb") as f:
                    os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                    if f.read() != oracle(i, 1, LENGTH):
                        self.failures.append(f"wrong bytes in f{i}")
                self.reads += 1
            except OSError as error:
                self.failures.append(f"f{i}: {error}")

    def progress(self, what, count=40, seconds=60):
        goal = self.reads + count
        wait_for(f"{count} more reads {what}", lambda: self.reads >= goal or self.failures, seconds)
        check(not self.failures, f"{what}: {self.failures}")

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        check(not self.failures, f"{self.failures}")


def test_worker_killed_during_reads():
    cluster, _ = make()
    with cluster:
        readers = Readers(cluster.mount().mountpoint + "/d")
        readers.progress("before the first kill")
        for round_number in range(5):
            cluster.workers[1].kill()
            readers.progress(f"without a worker ({round_number})")
            cluster.start_worker(1)
            readers.progress(f"after the restart ({round_number})")
        readers.end()


def test_worker_frozen_during_reads():
    cluster, _ = make()
    with cluster:
        readers = Readers(cluster.mount().mountpoint + "/d")
        readers.progress("before the freeze")
        cluster.workers[1].signal(signal.SIGSTOP)
        readers.progress("while the worker is frozen")
        wait_for("the master sees that it is gone", lambda: cluster.live_workers() == 0)
        cluster.workers[1].signal(signal.SIGCONT)
        cluster.wait_live(1)
        readers.progress("after it thawed")
        readers.end()


def test_worker_drain_fails_no_read():
    cluster, _ = make()
    with cluster:
        readers = Readers(cluster.mount().mountpoint + "/d")
        readers.progress("before the drain")
        check(cluster.workers[1].stop() == 0, "SIGTERM ends a worker with 0")
        readers.progress("after the drain")
        readers.end()


def test_master_killed_cached_reads_of_open_files_go_on():
    cluster, _ = make(memory="128MiB")
    with cluster:
        mount = cluster.mount().mountpoint + "/d"
        handles = [os.open(f"{mount}/f{i}", os.O_RDONLY) for i in range(FILES)]
        for i, handle in enumerate(handles):
            check(os.pread(handle, LENGTH, 0) == oracle(i, 1, LENGTH), f"f{i} before")
        cluster.master.kill()
        for i, handle in enumerate(handles):
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            check(os.pread(handle, LENGTH, 0) == oracle(i, 1, LENGTH), f"f{i} without a master")
        cluster.start_master()
        cluster.wait_live(1)
        check([a["path"] for a in cluster.json("attachments")["attachments"]] == ["/d"], "the attachment survived")
        for i in range(FILES):
            with open(f"{mount}/f{i}", "rb") as f:
                check(f.read() == oracle(i, 1, LENGTH), f"f{i} after the restart")
        for handle in handles:
            os.close(handle)


def test_mount_survives_restarts_of_everything_behind_it():
    cluster, _ = make()
    with cluster:
        mount = cluster.mount().mountpoint + "/d"
        for _ in range(3):
            cluster.master.kill()
            cluster.workers[1].kill()
            cluster.start_master()
            cluster.start_worker(1)
            cluster.wait_live(1)
            for i in range(FILES):
                with open(f"{mount}/f{i}", "rb") as f:
                    check(f.read() == oracle(i, 1, LENGTH), f"f{i}")


def test_vanished_under_store_is_not_a_deleted_tree():
    cluster, source = make(memory="128MiB")
    with cluster:
        mount = cluster.mount().mountpoint + "/d"
        for i in range(FILES):
            with open(f"{mount}/f{i}", "rb") as f:
                f.read()
        # Names are served stale only when all of them are known: a directory that was never listed answers EIO.
        check(len(os.listdir(mount)) == FILES, "every file is listed")
        os.rename(source, source + ".away")
        wait_for("metadata is served stale", lambda: cluster.json("stat", "/d/f0")["paths"][0].get("served_stale") is True)
        check(len(os.listdir(mount)) == FILES, "no file is taken for deleted")
        for i in range(FILES):
            with open(f"{mount}/f{i}", "rb") as f:
                check(f.read() == oracle(i, 1, LENGTH), f"cached f{i} while the store is away")
        os.rename(source + ".away", source)
        write_file(f"{source}/new", b"new")
        wait_for("the store is believed again", lambda: os.path.exists(f"{mount}/new"))


def test_unreadable_file_is_eacces():
    cluster, source = make()
    with cluster:
        os.chmod(f"{source}/f0", 0)
        mount = cluster.mount().mountpoint + "/d"
        wait_for("the new mode is seen", lambda: os.stat(f"{mount}/f0").st_mode & 0o777 == 0, 5)
        child = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "cat", f"{mount}/f0"],
                               capture_output=True, text=True)
        check(child.returncode != 0 and "Permission denied" in child.stderr, f"EACCES for others: {child.stderr}")


def test_evil_names_and_odd_files():
    cluster, source = make()
    with cluster:
        mount = cluster.mount().mountpoint + "/d"
        names = [b"new\nline", b"\xff\xfe not utf-8", b"x" * 255, b" spaces ", b"-rf", b"quo\"te'", b"back\\slash"]
        for name in names:
            write_file(os.fsencode(source) + b"/" + name, name * 3)
        write_file(f"{source}/empty", b"")
        with open(f"{source}/sparse", "wb") as f:
            f.truncate(64 * MIB)
            f.seek(40 * MIB)
            f.write(b"here")
        os.symlink("f1", f"{source}/link")
        os.symlink("/etc/passwd", f"{source}/outside")
        os.mkfifo(f"{source}/fifo")
        wait_for("all names are listed", lambda: set(names) <= set(os.listdir(os.fsencode(mount))), 5)
        for name in names:
            with open(os.fsencode(mount) + b"/" + name, "rb") as f:
                check(f.read() == name * 3, f"{name!r}")
        check(os.path.getsize(f"{mount}/empty") == 0 and open(f"{mount}/empty", "rb").read() == b"", "the empty file")
        with open(f"{mount}/sparse", "rb") as f:
            check(f.read(MIB) == bytes(MIB), "a hole is zeros")
            f.seek(40 * MIB)
            check(f.read(4) == b"here", "data in a sparse file")
        check(os.readlink(f"{mount}/link") == "f1", "symlinks are symlinks")
        with open(f"{mount}/link", "rb") as f:
            check(f.read() == oracle(1, 1, LENGTH), "the kernel follows a symlink")
        for path, expected in ((f"{mount}/f1", 30), (f"{mount}/nothing", 30)):
            try:
                os.open(path, os.O_WRONLY | os.O_CREAT)
                check(False, "a write was allowed")
            except OSError as error:
                check(error.errno == expected, f"writing answers EROFS, not {error}")
        got = os.path.join(cluster.dir, "got")
        cluster.cli("get", "/d", got, check_exit=False)
        for name in names:
            with open(os.fsencode(got) + b"/" + name, "rb") as f:
                check(f.read() == name * 3, f"hearth get of {name!r}")


if __name__ == "__main__":
    check(os.path.exists(f"{BIN}/hearth"), f"no binaries in {BIN}; set HEARTH_BIN")
    run_tests(sys.modules[__name__])
