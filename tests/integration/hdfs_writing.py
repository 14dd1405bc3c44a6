"""A writable mount over a real HDFS: files are staged on this host and become files of HDFS when they are closed."""
import json
import os
import pwd
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.cluster import BIN, Cluster, check, oracle, run_tests  # noqa: E402
from support.hdfs_server import HdfsServer  # noqa: E402

MIB = 1 << 20
# What HDFS has not: docs/semantics.md "Stores that take objects whole".
LACKS = "tmpfile,acl,user-xattr,trusted-xattr,link,mknod,rename-exchange"
LEFT_OUT = [
    # no symlinks
    "Symlink.*", "*Symlink*", "Chmod.FollowsSymlinks", "Directory.IsNotMadeOverAnythingThatExists", "Directory.RmdirRefusesWhatIsNone",
    "Open.ExclusiveRefusesAnyExistingName", "Open.DirectoryFlagDemandsOne", "Rename.RefusesMixedTypes", "Rename.NoReplaceRefusesAnExistingName",
    "Name.TrailingSlashOfAFileIsRefused",
    # names are UTF-8
    "Name.IsAnyByteButSlashAndZero", "Name.ThatIsNoUtf8IsKept",
    # the users of the suite have no names on this host, so nothing can be theirs; test_owners_are_names looks at those that have
    "Chown.*", "Chmod.*", "SetidBits.*", "SetgidDirectory.*", "Permission.*", "Access.SpeaksOfTheRealUserAndOpenOfTheEffective",
    "Directory.BelongsToTheOneWhoMadeIt", "Directory.OfAnotherInAStickyDirectoryStays", "Rename.KeepsTheStickyRuleAtBothEnds",
    "Unlink.InAStickyDirectoryIsForTheOwnerOfTheFileOrTheDirectory", "Unlink.AnOpenFileHasNoLinksAndKeepsItsAttributes",
    # a file that is published is another one, so it has another st_ino
    "Rename.MovesAFileWithAllItHas", "Rename.ReplacesAFile", "Rename.MovesADirectoryWithItsTree", "Identity.StaysOverAllThatDoesNotReplaceTheFile",
    # times are whole milliseconds, and are moved by the namenode as HDFS sees fit
    "Times.*", "Utimens.*",
    # OFD locks are nobody's: what FUSE can not say
    "DescriptionLock.BelongsToNoProcess", "Rename.OneNameIsAlwaysThere",
    # hundreds and thousands of uploads, a terabyte of zeros
    "Readdir.*", "Hole.AFarOffsetNeedsNoSpaceBeforeIt",
]


def run(*command, seconds=600, **kwargs):
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds, **kwargs)
    check(done.returncode == 0, f"{' '.join(map(str, command[:4]))} ended with {done.returncode}:\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}")
    return done.stdout


def start(cluster):
    hdfs = HdfsServer(cluster)
    hdfs.put("/tree/old", b"before")
    cluster.master_socket = f"unix:{cluster.dir}/master.sock"
    cluster.start()
    cluster.attach("/h", hdfs.uri("/tree"), *hdfs.flags())
    mount = cluster.mount("mnt", options=["mount.options=writable", f"mount.master={cluster.master_socket}"])
    return hdfs, mount.mountpoint + "/h"


def names_in(hdfs, path):
    status, _, reply = hdfs.namenode_request("GET", path, "LISTSTATUS")
    check(status == 200, f"LISTSTATUS {path}: {status} {reply!r}")
    return sorted(entry["pathSuffix"] for entry in json.loads(reply)["FileStatuses"]["FileStatus"])


def test_programs_rules_and_random_operations():
    operations = str(int(os.environ.get("HEARTH_FSX_OPS", "40000")) // 40)
    with Cluster() as cluster:
        hdfs, mount = start(cluster)
        tree = os.path.join(cluster.dir, "tree")
        os.makedirs(f"{tree}/a/b")
        sizes = [0, 1, 4096, 100_000, MIB + 1, 70 * MIB + 7]
        for i, size in enumerate(sizes):
            with open(f"{tree}/a/b/f{i}", "wb") as f:
                f.write(oracle(f"f{i}", 1, size))
        os.chmod(f"{tree}/a/b/f2", 0o640)
        run("cp", "-r", "--preserve=mode,timestamps", f"{tree}/a", mount)
        for i, size in enumerate(sizes):
            check(hdfs.read(f"/tree/a/b/f{i}") == oracle(f"f{i}", 1, size), f"f{i} is a plain file of HDFS")
        check(hdfs.status("/tree/a/b/f2")["permission"] == "640", "with its mode")
        run("diff", "-r", f"{tree}/a", f"{mount}/a")
        run("tar", "-C", mount, "-cf", f"{cluster.dir}/a.tar", "a")
        run("tar", "-C", mount, "-df", f"{cluster.dir}/a.tar")
        run("mv", f"{mount}/a/b", f"{mount}/moved")
        run("diff", "-r", f"{tree}/a/b", f"{mount}/moved")
        check(os.stat(f"{mount}/moved/f2").st_mode & 0o777 == 0o640, "a directory moves with the modes below")
        with open(f"{mount}/moved/f1", "ab") as f:
            f.write(b"appended")
        check(hdfs.read("/tree/moved/f1") == oracle("f1", 1, 1) + b"appended", "an append is a new file")
        with open(f"{mount}/old", "r+b") as f:
            f.write(b"BE")
            check(hdfs.read("/tree/old") == b"before", "nobody sees it before it is closed")
        check(hdfs.read("/tree/old") == b"BEfore", "and everybody after")
        run("rm", "-r", f"{mount}/moved")
        check(names_in(hdfs, "/tree") == ["a", "old"], f"nothing else is there: {names_in(hdfs, '/tree')}")
        os.mkdir(f"{mount}/suite")
        os.chmod(f"{mount}/suite", 0o777)
        out = run(f"{BIN}/hearth-posix-suite", "--path", f"{mount}/suite", "--lacks", LACKS, f"--gtest_filter=-{':'.join(LEFT_OUT)}")
        print("    " + [line for line in out.splitlines() if "PASSED" in line][-1])
        os.mkdir(f"{mount}/random")
        out = run(f"{BIN}/hearth-fsx", "--path", f"{mount}/random", "--ops", operations, "--lacks", "link")
        print("    " + out.strip().splitlines()[-1])
        left = [name for path in ("/tree", "/tree/suite", "/tree/random") for name in names_in(hdfs, path) if name.endswith(".tmp")]
        check(not left, f"no temporary is left: {left}")


def test_owners_are_names():
    someone = pwd.getpwnam("daemon")
    with Cluster() as cluster:
        hdfs, mount = start(cluster)
        os.chmod(mount, 0o777)

        def as_someone():
            os.setgroups([])
            os.setgid(someone.pw_gid)
            os.setuid(someone.pw_uid)
        run("sh", "-c", f"umask 077; echo secret > {mount}/mine; mkdir {mount}/dir", preexec_fn=as_someone)
        for name, mode in (("mine", "600"), ("dir", "700")):
            status = hdfs.status(f"/tree/{name}")
            check((status["owner"], status["group"], status["permission"]) == ("daemon", "daemon", mode), f"{name} is its maker's: {status}")
            info = os.stat(f"{mount}/{name}")
            check((info.st_uid, info.st_gid) == (someone.pw_uid, someone.pw_gid), f"{name} as the mount shows it: {info}")
        check(run("cat", f"{mount}/mine", preexec_fn=as_someone) == "secret\n", "its owner reads it")
        other = subprocess.run(["cat", f"{mount}/mine"], capture_output=True, preexec_fn=lambda: os.setuid(pwd.getpwnam("bin").pw_uid))
        check(other.returncode != 0, "nobody else does")
        os.chown(f"{mount}/old", someone.pw_uid, someone.pw_gid)
        check(hdfs.status("/tree/old")["owner"] == "daemon", "root gives files away")
        try:
            os.chown(f"{mount}/old", 3_999_999, -1)
            check(False, "a user without a name owns a file")
        except PermissionError:
            pass


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
