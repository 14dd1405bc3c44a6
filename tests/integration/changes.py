"""Changes of a source file are seen by the next open after the TTL; an open handle never sees a mix."""
import errno
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.cluster import Cluster, check, oracle, run_tests, wait_for, write_file  # noqa: E402

MIB = 1 << 20


def with_mount(length=3 * MIB + 17):
    cluster = Cluster(metadata_ttl="200ms")
    source = os.path.join(cluster.dir, "source")
    os.makedirs(source)
    write_file(f"{source}/f", oracle("f", 1, length))
    cluster.start()
    cluster.attach("/d", source)
    mount = cluster.mount().mountpoint + "/d"
    return cluster, source, mount


def read(path):
    with open(path, "rb") as f:
        return f.read()


def reads(path, expected):
    """Whether a new open reads `expected`. Within the TTL it may still open the old version, whose bytes may be gone (ESTALE)."""
    try:
        return read(path) == expected
    except OSError as error:
        if error.errno != errno.ESTALE:
            raise
        return False


def sees(mount, expected, what):
    wait_for(f"a new open sees {what}", lambda: reads(f"{mount}/f", expected), 5)


def change_is_seen(change, expected):
    cluster, source, mount = with_mount()
    with cluster:
        check(read(f"{mount}/f") == oracle("f", 1, 3 * MIB + 17), "the first version reads right")
        change(f"{source}/f")
        sees(mount, expected, change.__name__)


def test_overwrite_in_place():
    data = oracle("f", 2, 3 * MIB + 17)

    def overwrite(path):
        with open(path, "r+b") as f:
            f.write(data)
    change_is_seen(overwrite, data)


def test_hard_links_are_files_of_their_own():
    cluster, source, mount = with_mount()
    with cluster:
        os.link(f"{source}/f", f"{source}/g")
        first, second = os.stat(f"{mount}/f"), os.stat(f"{mount}/g")
        wait_for("both names say how many there are", lambda: os.stat(f"{mount}/f").st_nlink == 2 == os.stat(f"{mount}/g").st_nlink)
        check(first.st_ino != second.st_ino, "each name has its own st_ino: copies and du count it twice, none takes two files for one")
        check(os.stat(f"{mount}/f").st_ino == first.st_ino, "and keeps it")
        check(read(f"{mount}/f") == read(f"{mount}/g") == oracle("f", 1, 3 * MIB + 17), "both have the bytes")
        data = oracle("f", 2, 3 * MIB + 17)
        with open(f"{source}/g", "r+b") as f:
            f.write(data)
        sees(mount, data, "a change by the other name")
        wait_for("and by its own", lambda: reads(f"{mount}/g", data), 5)
        os.unlink(f"{source}/g")
        wait_for("one name is left", lambda: os.stat(f"{mount}/f").st_nlink == 1, 5)
        check(read(f"{mount}/f") == data, "which reads on")


def test_truncate():
    def truncate(path):
        os.truncate(path, 1000)
    change_is_seen(truncate, oracle("f", 1, 3 * MIB + 17)[:1000])


def test_append():
    def append(path):
        with open(path, "ab") as f:
            f.write(b"tail")
    change_is_seen(append, oracle("f", 1, 3 * MIB + 17) + b"tail")


def test_replace_with_same_size_and_restored_mtime():
    data = oracle("f", 2, 3 * MIB + 17)

    def replace(path):
        before = os.stat(path)
        write_file(path + ".new", data)
        os.utime(path + ".new", ns=(before.st_atime_ns, before.st_mtime_ns))
        os.rename(path + ".new", path)
        check(os.stat(path).st_mtime_ns == before.st_mtime_ns, "the mtime is restored")
    change_is_seen(replace, data)


def test_overwrite_with_same_size_and_restored_mtime():
    data = oracle("f", 2, 3 * MIB + 17)

    def overwrite(path):
        before = os.stat(path)
        with open(path, "r+b") as f:
            f.write(data)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    change_is_seen(overwrite, data)


def test_delete_and_rename():
    cluster, source, mount = with_mount()
    with cluster:
        content = read(f"{mount}/f")
        os.rename(f"{source}/f", f"{source}/g")
        wait_for("the old name is gone", lambda: not os.path.exists(f"{mount}/f"), 5)
        wait_for("the new name reads", lambda: os.path.exists(f"{mount}/g") and read(f"{mount}/g") == content, 5)
        os.remove(f"{source}/g")
        wait_for("the file is gone", lambda: not os.path.exists(f"{mount}/g"), 5)
        wait_for("the listing is empty", lambda: os.listdir(mount) == [], 5)


def test_open_handle_reads_one_version_or_estale():
    cluster, source, mount = with_mount(length=8 * MIB)
    with cluster:
        old, new = oracle("f", 1, 8 * MIB), oracle("f", 2, 8 * MIB)
        handle = os.open(f"{mount}/f", os.O_RDONLY)
        check(os.pread(handle, MIB, 0) == old[:MIB], "the first piece is old")
        write_file(f"{source}/f.new", new)
        os.rename(f"{source}/f.new", f"{source}/f")
        sees(mount, new, "the replacement")
        stale = 0
        for at in range(0, 8 * MIB, MIB):
            try:
                piece = os.pread(handle, MIB, at)
                check(piece == old[at:at + MIB], f"the old handle reads old bytes at {at}")
            except OSError as error:
                check(error.errno == 116, f"only ESTALE is allowed, not {error}")
                stale += 1
        os.close(handle)
        print(f"    {stale} of 8 reads through the old handle were ESTALE")


def test_growing_file_gives_a_prefix_or_estale():
    cluster, source, mount = with_mount()
    with cluster:
        data = oracle("grow", 1, 4 * MIB)
        with open(f"{source}/grow", "wb", buffering=0) as f:
            for at in range(0, 4 * MIB, 256 << 10):
                f.write(data[at:at + (256 << 10)])
                try:
                    piece = read(f"{mount}/grow")
                    check(data.startswith(piece), "a growing file reads as a prefix of itself")
                except OSError as error:
                    check(error.errno in (2, 116), f"only ESTALE (or ENOENT before it is known), not {error}")
        wait_for("the whole file", lambda: reads(f"{mount}/grow", data), 5)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
