"""What one mount changes, others are told before the change is answered: with a metadata_ttl of a minute nothing is waited for."""
import os
import signal
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.cluster import BIN, Cluster, check, free_port, oracle, run_tests, wait_for, write_file  # noqa: E402
from writing import content, mount_writable  # noqa: E402


class Told(Cluster):
    """A cluster with a writable attachment at /d, whose master shows its metrics."""

    def __init__(self):
        super().__init__(metadata_ttl="60s")
        self.source = os.path.join(self.dir, "source")
        os.makedirs(self.source)
        os.chmod(self.source, 0o777)
        self.master_socket = f"unix:{self.dir}/master.sock"
        self.metrics_port = free_port()

    def run(self, name, argv, host):
        if name == "master":
            argv = [*argv, "--set", f"metrics.listen=127.0.0.1:{self.metrics_port}"]
        return super().run(name, argv, host)

    def __enter__(self):
        self.start()
        self.attach("/d", self.source)
        return self

    def writable(self, name):
        return mount_writable(self, name).mountpoint + "/d"

    def plain(self, name):
        return self.mount(name).mountpoint + "/d"

    def metric(self, name):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10) as reply:
            lines = reply.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith((name + " ", name + "{")))

    def wait_for_subscribers(self, count):
        wait_for(f"{count} are told of changes", lambda: self.metric("hearth_master_subscribers") == count, 20)


def missing(path):
    try:
        os.lstat(path)
    except FileNotFoundError:
        return True
    return False


def replace(path, data):
    write_file(f"{path}.new", data)
    os.rename(f"{path}.new", path)


def test_a_change_is_seen_at_once_by_other_mounts_and_clients():
    with Told() as cluster:
        one = cluster.writable("one")
        others = [cluster.writable("other"), cluster.plain("plain")]
        cluster.wait_for_subscribers(3)
        for other in others:
            check(os.listdir(other) == [] and missing(f"{other}/f"), "the other mount knows that nothing is there")

        def everywhere(check_one):
            for other in others:
                check_one(other)

        def expect(name, data):
            def there(other):
                check(name in os.listdir(os.path.dirname(f"{other}/{name}")) or "/" in name, f"{other} lists {name}")
                check(os.stat(f"{other}/{name}").st_size == len(data), f"{other}/{name} has its length")
                check(content(f"{other}/{name}") == data, f"{other}/{name} has its bytes")
            everywhere(there)
            check(cluster.cli("cat", f"/d/{name}", text=False).stdout == data, f"a client reads {name}")

        write_file(f"{one}/f", b"created")
        expect("f", b"created")
        for version in range(1, 6):
            write_file(f"{one}/f", oracle("f", version, 100_000 + version))
            expect("f", oracle("f", version, 100_000 + version))
            replace(f"{one}/f", oracle("f", version, 200_000))
            expect("f", oracle("f", version, 200_000))
        with open(f"{one}/f", "ab") as f:
            f.write(b"appended")
        expect("f", oracle("f", 5, 200_000) + b"appended")
        os.truncate(f"{one}/f", 7)
        expect("f", oracle("f", 5, 200_000)[:7])

        os.chmod(f"{one}/f", 0o640)
        os.chown(f"{one}/f", 1234, 2345)
        os.utime(f"{one}/f", ns=(10**18, 10**18))

        def attributes(other):
            seen = os.stat(f"{other}/f")
            check((seen.st_mode & 0o7777, seen.st_uid, seen.st_gid, seen.st_mtime_ns) == (0o640, 1234, 2345, 10**18), f"{other}: {seen}")
        everywhere(attributes)

        os.rename(f"{one}/f", f"{one}/g")
        everywhere(lambda other: check(missing(f"{other}/f") and os.listdir(other) == ["g"], f"{other}: renamed"))
        expect("g", oracle("f", 5, 200_000)[:7])

        os.makedirs(f"{one}/a/b")
        write_file(f"{one}/a/b/x", b"below")
        expect("a/b/x", b"below")
        os.rename(f"{one}/a", f"{one}/c")
        everywhere(lambda other: check(missing(f"{other}/a/b/x") and missing(f"{other}/a"), f"{other}: its directory moved"))
        expect("c/b/x", b"below")
        os.mkdir(f"{one}/a")
        everywhere(lambda other: check(os.listdir(f"{other}/a") == [], f"{other}: another directory of that name"))

        os.symlink("g", f"{one}/l")
        everywhere(lambda other: check(os.readlink(f"{other}/l") == "g", "a symlink"))
        os.symlink("c", f"{one}/l.new")
        os.rename(f"{one}/l.new", f"{one}/l")
        everywhere(lambda other: check(os.readlink(f"{other}/l") == "c" and os.listdir(f"{other}/l") == ["b"], "leads elsewhere"))

        os.unlink(f"{one}/g")
        os.rmdir(f"{one}/a")
        everywhere(lambda other: check(missing(f"{other}/g") and missing(f"{other}/a") and sorted(os.listdir(other)) == ["c", "l"],
                                       f"{other}: removed"))
        write_file(f"{others[0]}/g", b"made over there")
        check(content(f"{one}/g") == b"made over there", "and the other way round")
        handle = os.open(f"{others[0]}/lock", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        os.close(handle)
        os.unlink(f"{one}/lock")
        os.close(os.open(f"{others[0]}/lock", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        check(cluster.metric("hearth_master_subscribers_lagged_total") == 0, "nobody was waited for in vain")


def test_an_open_file_keeps_its_version_and_its_name_leads_to_the_new_one():
    with Told() as cluster:
        one = cluster.writable("one")
        plain = cluster.plain("plain")
        cluster.wait_for_subscribers(2)
        write_file(f"{one}/f", oracle("f", 0, 50_000))
        for version in range(1, 30):
            with open(f"{plain}/f", "rb") as held:
                check(held.read(10) == oracle("f", version - 1, 50_000)[:10], "the version of before")
                replace(f"{one}/f", oracle("f", version, 50_000))
                check(os.stat(f"{plain}/f").st_ino != 0 and content(f"{plain}/f") == oracle("f", version, 50_000), "the name is the new file")
                check(os.fstat(held.fileno()).st_size == 50_000, "the open file has its attributes")


def test_a_file_that_was_renamed_elsewhere_while_it_was_open():
    with Told() as cluster:
        one, other = cluster.writable("one"), cluster.writable("other")
        cluster.wait_for_subscribers(2)
        for number in range(10):
            write_file(f"{one}/old{number}", b"before")
            check(content(f"{other}/old{number}") == b"before", "the other mount knows it")
            with open(f"{one}/old{number}", "r+b") as f:
                os.rename(f"{other}/old{number}", f"{other}/new{number}")
                f.write(b"after, and longer")
            for mount in (one, other):
                check(content(f"{mount}/new{number}") == b"after, and longer", f"what was written is there under the new name: {mount}")
                check(missing(f"{mount}/old{number}"), "and nothing under the old one")


def test_another_name_of_a_file_that_lost_one():
    with Told() as cluster:
        one, other = cluster.writable("one"), cluster.writable("other")
        cluster.wait_for_subscribers(2)
        for number in range(10):
            write_file(f"{one}/a{number}", b"bytes")
            os.link(f"{one}/a{number}", f"{one}/b{number}")
            for mount in (one, other):
                check(content(f"{mount}/b{number}") == b"bytes", f"a file with two names: {mount}")
            time.sleep(0.02)  # tidy-allow(sleep): what changed a moment ago is not read from a cache
            if number % 2:
                write_file(f"{one}/c{number}", b"other")
                os.rename(f"{one}/c{number}", f"{one}/a{number}")
            else:
                os.unlink(f"{one}/a{number}")
            for mount in (one, other):
                check(content(f"{mount}/b{number}") == b"bytes" and os.stat(f"{mount}/b{number}").st_nlink == 1, f"and with one: {mount}")


def test_close_then_open_never_sees_an_old_version():
    rounds = int(os.environ.get("HEARTH_PUSH_ROUNDS", "500"))
    with Told() as cluster:
        one, other, plain = cluster.writable("one"), cluster.writable("other"), cluster.plain("plain")
        cluster.wait_for_subscribers(3)
        for version in range(rounds):
            writer, reader = (one, other) if version % 2 == 0 else (other, one)
            data = b"%d %s" % (version, b"x" * (version % 97))
            if version % 5 == 4:
                replace(f"{writer}/f", data)
            else:
                write_file(f"{writer}/f", data)
            for mount in (reader, plain):
                check(os.stat(f"{mount}/f").st_size == len(data), f"round {version}: {mount} knows the length")
                check(content(f"{mount}/f") == data, f"round {version}: {mount} reads what was written")
        check(cluster.metric("hearth_master_subscribers_lagged_total") == 0, "nobody was waited for in vain")


def test_mounts_that_change_one_directory_do_not_wait_for_each_other_in_vain():
    """Each holds the lock of its directory in the kernel while it waits for the other to be told."""
    files = 150
    with Told() as cluster:
        mounts = [cluster.writable("one"), cluster.writable("other"), cluster.plain("plain")]
        cluster.wait_for_subscribers(3)
        failed = []

        def work(mount, tag):
            try:
                for i in range(files):
                    write_file(f"{mount}/{tag}-{i}", b"x" * i)
                    os.rename(f"{mount}/{tag}-{i}", f"{mount}/{tag}_{i}")
                    if i % 3 == 0:
                        os.unlink(f"{mount}/{tag}_{i}")
            except OSError as error:
                failed.append(f"{tag}: {error}")
        threads = [threading.Thread(target=work, args=(mount, tag)) for mount, tag in zip(mounts, "ab")]
        [t.start() for t in threads]
        [t.join() for t in threads]
        check(not failed, f"{failed}")
        expected = sorted(f"{tag}_{i}" for tag in "ab" for i in range(files) if i % 3 != 0)
        for mount in mounts:
            check(sorted(os.listdir(mount)) == expected, f"{mount} lists what is there")
            check(all(os.stat(f"{mount}/{name}").st_size == int(name[2:]) for name in expected), f"{mount} knows their lengths")
        check(cluster.metric("hearth_master_subscribers_lagged_total") == 0, "nobody was waited for in vain")


def test_a_stopped_mount_delays_one_change_and_is_right_again_after():
    writes = 50
    with Told() as cluster:
        one = cluster.writable("one")
        stopped = cluster.mount("stopped")
        cluster.wait_for_subscribers(2)
        write_file(f"{one}/f", b"before")
        check(content(f"{stopped.mountpoint}/d/f") == b"before", "it has the file")
        stopped.signal(signal.SIGSTOP)
        began = time.monotonic()
        for i in range(writes):
            write_file(f"{one}/f", b"written %d times" % i)
        took = time.monotonic() - began
        # If each of them waited it would be 20 s (two answers per write) and more.
        check(took < 10, f"{writes} writes took {took:.1f} s beside a stopped mount")
        check(cluster.metric("hearth_master_subscribers_lagged_total") == 1, "one change waited for it in vain")
        stopped.signal(signal.SIGCONT)
        last = b"written %d times" % (writes - 1)
        wait_for("it is right again", lambda: content(f"{stopped.mountpoint}/d/f") == last, 10)
        wait_for("it is told like the others", lambda: cluster.metric('hearth_master_subscribers{state="lagging"}') == 0, 10)
        write_file(f"{one}/f", b"seen at once")
        check(content(f"{stopped.mountpoint}/d/f") == b"seen at once", "and at once from then on")


def test_another_run_of_the_master_tells_as_before():
    with Told() as cluster:
        one, plain = cluster.writable("one"), cluster.plain("plain")
        for run in range(3):
            write_file(f"{one}/f", b"of run %d" % run)
            if run > 0:
                wait_for("the mount reads it", lambda run=run: content(f"{plain}/f") == b"of run %d" % run, 20)
            cluster.wait_for_subscribers(2)
            for version in range(20):
                write_file(f"{one}/f", b"of run %d, %d" % (run, version))
                check(content(f"{plain}/f") == b"of run %d, %d" % (run, version), f"run {run}: seen at once")
            cluster.master.kill()
            cluster.start_master()
            cluster.wait_live(1)


def test_a_killed_mount_is_not_waited_for():
    with Told() as cluster:
        one = cluster.writable("one")
        killed = cluster.mount("killed")
        cluster.wait_for_subscribers(2)
        write_file(f"{one}/f", b"before")
        killed.kill()
        cluster.wait_for_subscribers(1)
        write_file(f"{one}/f", b"after")
        check(cluster.metric("hearth_master_subscribers_lagged_total") == 0, "its connection ended with it")


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
