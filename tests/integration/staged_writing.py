"""A writable mount over a bucket: files are staged on this host and become objects when they are closed."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "services", "s3"))
from server import S3Double, S3Server  # noqa: E402
from support.cluster import BIN, Cluster, check, oracle, run_tests, wait_for  # noqa: E402

MIB = 1 << 20
# What a bucket has not: docs/semantics.md "Stores that take objects whole".
LACKS = "tmpfile,acl,user-xattr,trusted-xattr,link,mknod,rename-exchange"
LEFT_OUT = [
    # no symlinks
    "Symlink.*", "*Symlink*", "Chmod.FollowsSymlinks", "Directory.IsNotMadeOverAnythingThatExists", "Directory.RmdirRefusesWhatIsNone",
    "Open.ExclusiveRefusesAnyExistingName", "Open.DirectoryFlagDemandsOne", "Rename.RefusesMixedTypes", "Rename.NoReplaceRefusesAnExistingName",
    "Readdir.SaysTypeAndNumberAsStatDoes", "SetgidDirectory.GivesItsGroupToNewEntries", "Name.TrailingSlashOfAFileIsRefused",
    # names are UTF-8
    "Name.IsAnyByteButSlashAndZero", "Name.ThatIsNoUtf8IsKept",
    # a renamed object is another one, so it has another st_ino
    "Rename.MovesAFileWithAllItHas", "Rename.ReplacesAFile",
    "Identity.StaysOverAllThatDoesNotReplaceTheFile",
    # a directory has no times but those it was given, and an access time is not moved by reading
    "Times.*", "Utimens.*",
    # OFD locks are nobody's: what FUSE can not say
    "DescriptionLock.BelongsToNoProcess", "Rename.OneNameIsAlwaysThere",
    # ten thousand uploads take a minute
    "Readdir.TenThousandNamesComeOnceEach",
    # a bucket has no holes: the object would be a terabyte
    "Hole.AFarOffsetNeedsNoSpaceBeforeIt",
]


def run(*command, seconds=300, **kwargs):
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds, **kwargs)
    check(done.returncode == 0, f"{' '.join(map(str, command[:4]))} ended with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout


def attach(cluster, server, ttl="1s"):
    flags = [f"--option=endpoint={server.endpoint}", f"--option=credentials=file:{server.credentials_file}"]
    cluster.cli("attach", "/s3", f"s3://{server.bucket}/tree", "--metadata-ttl", ttl, *flags)


def mount_writable(cluster, name="mnt"):
    return cluster.mount(name, options=["mount.options=writable", f"mount.master={cluster.master_socket}"])


def start(cluster, server, ttl="1s"):
    cluster.master_socket = f"unix:{cluster.dir}/master.sock"
    cluster.start()
    attach(cluster, server, ttl)
    return mount_writable(cluster)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def test_posix_rules_hold():
    with S3Double() as server, Cluster() as cluster:
        mount = start(cluster, server).mountpoint + "/s3"
        os.chmod(mount, 0o777)
        out = run(f"{BIN}/hearth-posix-suite", "--path", mount, "--lacks", LACKS, f"--gtest_filter=-{':'.join(LEFT_OUT)}", seconds=600)
        print("    " + [line for line in out.splitlines() if "PASSED" in line][-1])


def test_random_operations_agree_with_a_model():
    operations = str(int(os.environ.get("HEARTH_FSX_OPS", "40000")) // 2)
    with S3Double() as server, Cluster() as cluster:
        mount = start(cluster, server).mountpoint + "/s3"
        out = run(f"{BIN}/hearth-fsx", "--path", mount, "--ops", operations, "--lacks", "link", seconds=3600)
        print("    " + out.strip().splitlines()[-1])


def test_programs_work_and_others_see_plain_objects():
    with S3Server() as server, Cluster() as cluster:
        mount = start(cluster, server).mountpoint + "/s3"
        client = server.client()
        tree = os.path.join(cluster.dir, "tree")
        os.makedirs(f"{tree}/a/b")
        sizes = [0, 1, 4096, 100_000, MIB + 1, 20 * MIB + 7]
        for i, size in enumerate(sizes):
            with open(f"{tree}/a/b/f{i}", "wb") as f:
                f.write(oracle(f"f{i}", 1, size))
        run("cp", "-r", "--preserve=mode,timestamps", f"{tree}/a", mount)
        for i, size in enumerate(sizes):
            check(client.get(f"tree/a/b/f{i}") == oracle(f"f{i}", 1, size), f"f{i} is a plain object")
        run("diff", "-r", f"{tree}/a", f"{mount}/a")
        run("tar", "-C", mount, "-cf", f"{cluster.dir}/a.tar", "a")
        run("tar", "-C", mount, "-df", f"{cluster.dir}/a.tar")
        run("mv", f"{mount}/a/b", f"{mount}/moved")
        run("diff", "-r", f"{tree}/a/b", f"{mount}/moved")
        with open(f"{mount}/moved/f1", "ab") as f:
            f.write(b"appended")
        check(client.get("tree/moved/f1") == oracle("f1", 1, 1) + b"appended", "an append is a new object")
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", f"{mount}/repository"]
        run("git", "init", "-q", f"{mount}/repository")
        for i in range(20):
            with open(f"{mount}/repository/file{i}", "w") as f:
                f.write(f"{i}\n" * 100)
        run(*git, "add", "-A")
        run(*git, "commit", "-qm", "all")
        run(*git, "gc", "-q")
        run(*git, "fsck", "--strict")
        run("git", "clone", "-q", f"{mount}/repository", f"{cluster.dir}/clone")
        run("diff", "-r", "-x", ".git", f"{mount}/repository", f"{cluster.dir}/clone")
        run("rm", "-r", f"{mount}/repository", f"{mount}/moved")
        check(os.listdir(f"{mount}/a") == [], "what is left is what was not removed")


def test_the_command_line_changes_a_bucket():
    with S3Double() as server, Cluster() as cluster:
        mount = start(cluster, server).mountpoint + "/s3"
        client = server.client()
        tree = os.path.join(cluster.dir, "tree")
        os.makedirs(f"{tree}/sub")
        for name, size in (("one", 5), ("sub/two", 9 * MIB + 1), ("sub/none", 0)):
            with open(f"{tree}/{name}", "wb") as f:
                f.write(oracle(name, 1, size))
        os.chmod(f"{tree}/one", 0o640)
        os.utime(f"{tree}/one", ns=(10**18, 10**18))

        def hearth(*words):
            return run(f"{BIN}/hearth", f"--master={cluster.master_socket}", *words)

        hearth("put", "-r", "--preserve", tree, "/s3/tree")
        for name, size in (("one", 5), ("sub/two", 9 * MIB + 1), ("sub/none", 0)):
            check(client.get(f"tree/tree/{name}") == oracle(name, 1, size), f"{name} is a plain object")
        check(sorted(os.listdir(f"{mount}/tree")) == ["one", "sub"], "and nothing is beside")
        info = os.stat(f"{mount}/tree/one")
        check((info.st_mode & 0o7777, info.st_mtime_ns) == (0o640, 10**18), "mode and time are kept")
        hearth("cp", "-r", "/s3/tree", "/s3/copy")
        check(client.get("tree/copy/sub/two") == oracle("sub/two", 1, 9 * MIB + 1), "a copy")
        hearth("mv", "/s3/copy/sub/two", "/s3/copy/moved")
        check(client.get("tree/copy/moved") == oracle("sub/two", 1, 9 * MIB + 1), "moved")
        hearth("mkdir", "-p", "/s3/a/b")
        hearth("touch", "/s3/a/b/new")
        check(client.get("tree/a/b/new") == b"", "made")
        hearth("chmod", "0600", "/s3/a/b/new")
        check(os.stat(f"{mount}/a/b/new").st_mode & 0o7777 == 0o600, "its mode")
        link = subprocess.run([f"{BIN}/hearth", f"--master={cluster.master_socket}", "ln", "-s", "x", "/s3/soft"], capture_output=True, text=True)
        check(link.returncode == 6 and "keeps no symlinks" in link.stderr, f"a bucket has no symlinks: {link}")
        room = os.statvfs(mount)
        check(room.f_blocks * room.f_frsize == 1 << 50 and room.f_bavail == room.f_blocks, "a bucket has no limit")


def test_nobody_sees_a_file_before_it_is_closed():
    with S3Double() as server, Cluster() as cluster:
        mount = start(cluster, server).mountpoint + "/s3"
        other = mount_writable(cluster, "other").mountpoint + "/s3"
        client = server.client()
        client.put("tree/old", b"before")
        check(read(f"{mount}/old") == b"before", "the object is there")
        with open(f"{mount}/new", "wb") as new, open(f"{mount}/old", "wb") as old:
            new.write(b"whole")
            new.flush()
            old.write(b"after")
            old.flush()
            check(sorted(os.listdir(mount)) == ["new", "old"] and read(f"{mount}/new") == b"whole", "this mount sees it")
            check(read(f"{mount}/old") == b"after", "this mount sees it")
            check(os.listdir(other) == ["old"] and read(f"{other}/old") == b"before", "nobody else does")
            check(client.list("tree/") == ["tree/old"] and client.get("tree/old") == b"before", "nor does the bucket")
        check(client.get("tree/new") == b"whole" and client.get("tree/old") == b"after", "closed, it is there")
        check(read(f"{other}/new") == b"whole" and read(f"{other}/old") == b"after", "for the other mount, too")
        with open(f"{mount}/synced", "wb") as f:
            f.write(b"one")
            f.flush()
            os.fsync(f.fileno())
            check(client.get("tree/synced") == b"one", "fsync publishes")
            f.write(b" two")
        check(client.get("tree/synced") == b"one two", "and close again")
        with open(f"{mount}/gone", "wb") as f:
            f.write(b"x")
            os.unlink(f"{mount}/gone")
        check("tree/gone" not in client.list("tree/"), "what was removed while it was open is not published")


def test_what_was_not_closed_is_lost_whole_with_its_mount():
    with S3Double() as server, Cluster() as cluster:
        mounted = start(cluster, server)
        client = server.client()
        client.put("tree/old", b"before")
        for number in range(int(os.environ.get("HEARTH_WRITE_KILLS", "6"))):
            mount = mounted.mountpoint + "/s3"
            writer = subprocess.Popen([sys.executable, "-c", f"""
import os
f = open({mount!r} + "/old", "r+b"); f.write(b"torn"); f.flush()
g = open({mount!r} + "/new{number}", "wb"); g.write(bytes({MIB})); g.flush()
done = open({mount!r} + "/done{number}", "wb"); done.write(b"acknowledged"); done.close()
print("written", flush=True)
os.read(0, 1)
"""], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            check(writer.stdout.readline() == b"written\n", "the writer wrote")
            mounted.kill()
            writer.kill()
            writer.wait()
            subprocess.run(["umount", "-l", mounted.mountpoint], check=True)
            check(client.get("tree/old") == b"before", "the old object is as it was")
            check(client.get(f"tree/done{number}") == b"acknowledged", "what was closed is there")
            check(f"tree/new{number}" not in client.list("tree/"), "what was not is not")
            mounted = mount_writable(cluster, f"again{number}")
            mount = mounted.mountpoint + "/s3"
            check(read(f"{mount}/old") == b"before" and read(f"{mount}/done{number}") == b"acknowledged", "the next mount agrees")


def test_a_close_that_the_bucket_refuses_says_so():
    with S3Double() as server, Cluster() as cluster:
        mount = start(cluster, server).mountpoint + "/s3"
        client = server.client()
        client.put("tree/old", b"before")
        f = os.open(f"{mount}/old", os.O_WRONLY)
        os.write(f, b"AFTER!")
        cluster.workers[1].kill()
        try:
            os.close(f)
            check(False, "a close without a worker succeeded")
        except OSError:
            pass
        check(client.get("tree/old") == b"before", "and nothing was written")
        cluster.start_worker(1)
        cluster.wait_live(1)

        def works_again():
            try:
                with open(f"{mount}/old", "r+b") as again:
                    again.write(b"AFTER!")
            except OSError:
                return False
            return client.get("tree/old") == b"AFTER!"

        wait_for("the mount to find the worker", works_again)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
