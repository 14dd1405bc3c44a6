"""flock and fcntl locks between two writable mounts of one cluster: conflicts, waiting, death, lost mounts, a master that
starts again, SQLite from both at once."""
import errno
import fcntl
import json
import os
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.cluster import Cluster, check, run_tests, wait_for, write_file  # noqa: E402

MODES = {"sh": (fcntl.F_RDLCK, fcntl.LOCK_SH), "ex": (fcntl.F_WRLCK, fcntl.LOCK_EX), "un": (fcntl.F_UNLCK, fcntl.LOCK_UN)}
FLOCK = "hhqqi4x"  # struct flock on 64-bit Linux
OFD = {"nb": 37, "wait": 38}  # F_OFD_SETLK, F_OFD_SETLKW
GETLK = {"posix": fcntl.F_GETLK, "ofd": 36}


# ---- a process of its own that locks what it is told to: locks belong to processes

def act(files, order):
    what, name, *rest = order
    if what == "open":
        files[name] = os.open(rest[0], os.O_RDWR | os.O_CREAT)
        return 0
    fd = files[name]
    if what == "close":
        os.close(files.pop(name))
    elif what == "write":
        return os.pwrite(fd, rest[0].encode(), 0)
    elif what == "read":
        return os.pread(fd, 100, 0).decode()
    elif what == "flock":
        fcntl.flock(fd, MODES[rest[0]][1] | (fcntl.LOCK_NB if rest[1] == "nb" else 0))
    elif what == "getlk":
        kind, mode, start, length = rest
        asked = struct.pack(FLOCK, MODES[mode][0], os.SEEK_SET, start, length, 0)
        found = struct.unpack(FLOCK, fcntl.fcntl(fd, GETLK[kind], asked))
        return {"type": found[0], "start": found[2], "length": found[3], "pid": found[4]}
    else:
        mode, wait, start, length = rest
        command = (fcntl.F_SETLK if wait == "nb" else fcntl.F_SETLKW) if what == "posix" else OFD[wait]
        fcntl.fcntl(fd, command, struct.pack(FLOCK, MODES[mode][0], os.SEEK_SET, start, length, 0))
    return 0


class Interrupted(Exception):
    pass


def actor():
    def interrupted(_number, _frame):
        raise Interrupted()
    signal.signal(signal.SIGUSR1, interrupted)
    files = {}
    for line in sys.stdin:
        try:
            answer = act(files, json.loads(line))
        except Interrupted:
            answer = "interrupted"
        except OSError as error:
            answer = errno.errorcode[error.errno]
        print(json.dumps(answer), flush=True)


class Actor:
    def __init__(self, path=None):
        self.process = subprocess.Popen([sys.executable, __file__, "--actor"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if path:
            check(self("open", "f", path) == 0, f"{path} is opened")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def begin(self, *order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        self.answer = None
        self.waiter = threading.Thread(target=self.hear, daemon=True)
        self.waiter.start()

    def hear(self):
        line = self.process.stdout.readline()
        self.answer = json.loads(line) if line else "died"

    def end(self, seconds=30):
        self.waiter.join(seconds)
        check(not self.waiter.is_alive(), f"no answer within {seconds} s")
        return self.answer

    def waits(self, seconds=0.5):
        self.waiter.join(seconds)
        return self.waiter.is_alive()

    def __call__(self, *order):
        self.begin(*order)
        return self.end()


LOCKS = [("flock", ("ex", "nb"), ("ex", "wait"), ("un", "nb")),
         ("posix", ("ex", "nb", 0, 10), ("ex", "wait", 5, 10), ("un", "nb", 0, 0)),
         ("ofd", ("ex", "nb", 0, 10), ("ex", "wait", 5, 10), ("un", "nb", 0, 0))]


def two_mounts(lease="2s", options="writable", ttl="1s"):
    os.environ["HEARTH_MASTER__LOCK_LEASE"] = lease
    cluster = Cluster(metadata_ttl=ttl)
    source = os.path.join(cluster.dir, "source")
    os.makedirs(source)
    write_file(f"{source}/f", b"0" * 20)
    cluster.master_socket = f"unix:{cluster.dir}/master.sock"
    cluster.start()
    cluster.attach("/d", source)
    mounts = [cluster.mount(f"mnt{i}", options=[f"mount.options={options}", f"mount.master={cluster.master_socket}"]) for i in range(2)]
    return cluster, mounts, [m.mountpoint + "/d" for m in mounts]


def test_one_mount_keeps_the_other_out():
    cluster, _, (one, other) = two_mounts()
    with cluster, Actor(f"{one}/f") as a, Actor(f"{other}/f") as b:
        for kind, take, _, free in LOCKS:
            again = "EAGAIN"
            check(a(kind, "f", *take) == 0, f"{kind} is taken")
            check(b(kind, "f", *take) == again, f"{kind} is refused at the other mount")
            check(a(kind, "f", *free) == 0 and b(kind, "f", *take) == 0, f"{kind} goes over")
            check(a(kind, "f", *take) == again, f"{kind} is refused the other way round")
            check(b(kind, "f", *free) == 0, f"{kind} is free")
        check(a("posix", "f", "sh", "nb", 0, 10) == 0 == b("posix", "f", "sh", "nb", 5, 10), "readers share")
        check(b("posix", "f", "ex", "nb", 8, 10) == "EAGAIN", "but nobody writes there")
        check(b("posix", "f", "ex", "nb", 10, 10) == 0, "a part is made exclusive")
        found = a("getlk", "f", "posix", "ex", 0, 0)
        check(found == {"type": fcntl.F_RDLCK, "start": 5, "length": 5, "pid": b.process.pid}, f"F_GETLK tells of it: {found}")


def test_a_lock_is_of_the_file_not_of_its_name():
    cluster, _, (one, other) = two_mounts(ttl="0s")
    with cluster, Actor(f"{one}/f") as a:
        check(a("posix", "f", "ex", "nb", 0, 0) == 0, "taken")
        os.link(f"{one}/f", f"{one}/g")
        os.rename(f"{one}/f", f"{one}/h")
        write_file(f"{other}/f", b"new")
        for name, expected in (("g", "EAGAIN"), ("h", "EAGAIN"), ("f", 0)):
            with Actor(f"{other}/{name}") as b:
                got = b("posix", "f", "ex", "nb", 0, 0)
                check(got == expected, f"{name}: {got}")


def test_waiting_ends_with_the_release_and_keeps_no_thread():
    cluster, _, (one, other) = two_mounts(options="writable,threads=4")
    with cluster, Actor(f"{one}/f") as a:
        waiting = [Actor(f"{other}/f") for _ in range(12)]
        try:
            for kind, take, wait, free in LOCKS:
                check(a(kind, "f", *take) == 0, f"{kind} is taken")
                for b in waiting:
                    b.begin(kind, "f", *wait)
                check(all(b.waits(0.05) for b in waiting), "all wait")
                began = time.monotonic()
                check(os.stat(f"{other}/f").st_size == 20 and os.listdir(other) == ["f"], "the mount goes on serving")
                check(time.monotonic() - began < 5, "at once")
                a(kind, "f", *free)
                left = list(waiting)
                while left:
                    wait_for("one of them has it", lambda: any(not b.waits(0.01) for b in left))
                    b = next(b for b in left if not b.waiter.is_alive())
                    check(b.answer == 0, f"{kind}: granted, not {b.answer}")
                    left.remove(b)
                    b(kind, "f", *free)
        finally:
            [b.__exit__() for b in waiting]


def test_close_and_death_free():
    cluster, _, (one, other) = two_mounts(lease="60s")
    with cluster, Actor(f"{other}/f") as b:
        for kind, take, wait, free in LOCKS:
            for how in ("close", "kill"):
                with Actor(f"{one}/f") as a:
                    check(a(kind, "f", *take) == 0, f"{kind} is taken")
                    b.begin(kind, "f", *wait)
                    check(b.waits(), "it waits")
                    a("close", "f") if how == "close" else a.process.kill()
                    check(b.end(10) == 0, f"{kind} is free after {how}")
                    b(kind, "f", *free)


def test_an_interrupted_wait_ends_and_gets_nothing():
    cluster, _, (one, other) = two_mounts(lease="60s")
    with cluster, Actor(f"{one}/f") as a, Actor(f"{other}/f") as b, Actor(f"{other}/f") as c:
        for kind, take, wait, free in LOCKS:
            check(a(kind, "f", *take) == 0, f"{kind} is taken")
            b.begin(kind, "f", *wait)
            check(b.waits(), "it waits")
            b.process.send_signal(signal.SIGUSR1)
            check(b.end(5) == "interrupted", f"EINTR, not {b.answer}")
            check(a(kind, "f", *free) == 0 and c(kind, "f", *take) == 0, f"{kind} was not given to who gave up")
            c(kind, "f", *free)
            # kill -9 ends a wait, too.
            with Actor(f"{other}/f") as d:
                check(a(kind, "f", *take) == 0, f"{kind} is taken again")
                d.begin(kind, "f", *wait)
                check(d.waits(), "it waits")
            check(a(kind, "f", *free) == 0 and c(kind, "f", *take) == 0, "and gets nothing")
            c(kind, "f", *free)


def test_a_deadlock_over_two_mounts_is_refused():
    cluster, _, (one, other) = two_mounts()
    with cluster, Actor(f"{one}/f") as a, Actor(f"{other}/f") as b:
        check(a("posix", "f", "ex", "nb", 0, 1) == 0 == b("posix", "f", "ex", "nb", 1, 1), "each has one byte")
        a.begin("posix", "f", "ex", "wait", 1, 1)
        check(a.waits(), "one waits for the other")
        got = b("posix", "f", "ex", "wait", 0, 1)
        check(got in ("EDEADLK", "EDEADLOCK"), f"the other is refused: {got}")
        b("posix", "f", "un", "nb", 0, 0)
        check(a.end() == 0, "and the first gets it")


def test_a_lost_mount_loses_its_locks_within_the_lease():
    # What the kernel writes by itself (ADR 0012) nobody stops; through the daemon, writes are refused, too.
    for lose, options in (("kill", "writable"), ("stop", "writable"), ("stop", "writable,passthrough=off")):
        cluster, mounts, (one, other) = two_mounts(lease="2s", options=options)
        with cluster, Actor(f"{one}/f") as a, Actor(f"{other}/f") as b:
            check(a("posix", "f", "ex", "nb", 0, 0) == 0, "taken")
            b.begin("posix", "f", "ex", "wait", 0, 0)
            check(b.waits(4), "kept over two leases while the mount lives")
            began = time.monotonic()
            mounts[0].kill() if lose == "kill" else mounts[0].signal(signal.SIGSTOP)
            check(b.end(10) == 0, "granted")
            check(1 < time.monotonic() - began < 4.5, f"when the lease was over: {time.monotonic() - began:.1f} s")
            if lose == "kill":
                continue
            mounts[0].signal(signal.SIGCONT)
            if "off" in options:
                check(b("write", "f", "mine") == 4, "the new holder writes")
                got = a("write", "f", "late")
                check(got == "EIO", f"the old one can not: {got}")
            check(a("posix", "f", "un", "nb", 0, 0) == "EIO", "and is told so")
            check(a("posix", "f", "ex", "nb", 0, 0) == "EIO", "until it closes the file")
            a("close", "f")
            check(a("open", "f", f"{one}/f") == 0 and a("posix", "f", "ex", "nb", 0, 0) == "EAGAIN", "then it asks as others do")
            check(b("posix", "f", "un", "nb", 0, 0) == 0 == a("posix", "f", "ex", "nb", 0, 0), "and gets it")
            check("off" not in options or a("read", "f").startswith("mine"), "what it reads then is what was written")


def test_an_unmount_frees_at_once():
    cluster, mounts, (one, other) = two_mounts(lease="60s", options="writable,busy_grace=100ms")
    with cluster, Actor(f"{one}/f") as a, Actor(f"{other}/f") as b:
        check(a("flock", "f", "ex", "nb") == 0, "taken")
        b.begin("flock", "f", "ex", "wait")
        check(b.waits(), "it waits")
        mounts[0].stop()
        check(b.end(5) == 0, "granted")


def test_a_master_that_starts_again_keeps_the_locks():
    cluster, _, (one, other) = two_mounts(lease="10s")
    with cluster, Actor(f"{one}/f") as a, Actor(f"{other}/f") as b, Actor(f"{other}/f") as c:
        check(a("posix", "f", "ex", "nb", 0, 10) == 0 == b("posix", "f", "ex", "nb", 10, 10), "both have one")
        c.begin("posix", "f", "ex", "wait", 5, 1)
        check(c.waits(), "a third one waits")
        cluster.master.kill()
        cluster.start_master()
        cluster.wait_live(1)
        got = b("posix", "f", "ex", "nb", 0, 1)
        check(got == "EAGAIN", f"the first one's is kept: {got}")
        check(a("posix", "f", "ex", "nb", 10, 1) == "EAGAIN", "and the second one's")
        check(c.waits(0.2), "the third one still waits")
        check(a("posix", "f", "un", "nb", 0, 0) == 0 == c.end(), "and gets what is freed")


def test_what_was_written_under_a_lock_is_read_under_the_next():
    cluster, _, (one, other) = two_mounts()
    with cluster, Actor(f"{one}/f") as a, Actor(f"{other}/f") as b:
        for kind, _, _, free in LOCKS:
            whole = ("ex", "wait") if kind == "flock" else ("ex", "wait", 0, 0)
            for i in range(40):
                writer, reader = (a, b) if i % 2 else (b, a)
                text = f"{kind} {i:03}"
                writer(kind, "f", *whole)
                writer("write", "f", text)
                writer(kind, "f", *free)
                reader(kind, "f", *whole)
                got = reader("read", "f")
                reader(kind, "f", *free)
                check(got.startswith(text), f"{got} instead of {text}")


def insert_rows(path, writer, rows):
    database = sqlite3.connect(path, timeout=60, isolation_level=None)
    for i in range(rows):
        database.execute("begin immediate")
        database.execute("insert into t(writer, i, v) values(?, ?, ?)", (writer, i, f"{writer}/{i} " * 40))
        database.execute("update sums set n = n + 1 where id = 1")
        database.execute("commit")
    database.close()


def test_sqlite_from_two_mounts_at_once():
    writers, rows = 4, 40
    cluster, _, mounts = two_mounts(lease="10s")
    with cluster:
        database = sqlite3.connect(f"{mounts[0]}/x.db")
        database.executescript("pragma journal_mode=delete; create table t(writer, i, v); create table sums(id, n); insert into sums values(1, 0);")
        database.close()
        running = [subprocess.Popen([sys.executable, __file__, "--insert", f"{mounts[n % 2]}/x.db", str(n), str(rows)])
                   for n in range(writers)]
        codes = [p.wait(300) for p in running]
        check(codes == [0] * writers, f"the writers ended with {codes}")
        for mount in mounts:
            database = sqlite3.connect(f"{mount}/x.db")
            check(database.execute("pragma integrity_check").fetchone()[0] == "ok", "integrity")
            counted = database.execute("select count(*), count(distinct writer * 1000 + i), (select n from sums) from t").fetchone()
            check(counted == (writers * rows,) * 3, f"{counted} rows")
            database.close()


def test_local_locks_are_of_one_mount():
    cluster, _, (one, other) = two_mounts(options="writable,locks=local")
    with cluster, Actor(f"{one}/f") as a, Actor(f"{one}/f") as b, Actor(f"{other}/f") as c:
        for kind, take, _, free in LOCKS:
            check(a(kind, "f", *take) == 0 and b(kind, "f", *take) == "EAGAIN" and c(kind, "f", *take) == 0, kind)
            a(kind, "f", *free), c(kind, "f", *free)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--actor"]:
        actor()
    elif sys.argv[1:2] == ["--insert"]:
        insert_rows(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        run_tests(sys.modules[__name__])
