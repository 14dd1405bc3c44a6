"""A real HDFS beneath: conformance, trees cold and warm, changes underneath, and daemons that die."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.cluster import Cluster, check, oracle, run_tests, wait_for  # noqa: E402
from support.hdfs_server import HdfsServer  # noqa: E402
from support.kerberos import Kerberos  # noqa: E402

MIB = 1 << 20
TREE = {
    "empty": 0, "one": 1, "page": MIB, "large": 3 * MIB + 17, "dir/deep/er/file": 70000,
    "with space": 10, "plus+percent%and&quest?": 11, "caf\u00e9/\u20ac": 12, "semi;colon": 13, "dots...": 14,
    **{f"many/{i:03d}": 100 + i for i in range(45)},
}


def read(path):
    with open(path, "rb") as f:
        return f.read()


class World:
    """HDFS with a tree in it, attached at /h of a cluster with one worker, mounted."""

    def __enter__(self):
        self.cluster = Cluster(metadata_ttl="200ms")
        self.cluster.__enter__()
        try:
            self.hdfs = HdfsServer(self.cluster)
            for name, length in TREE.items():
                self.hdfs.put(f"/data set/{name}", oracle(name, 1, length))
            self.cluster.start()
            self.cluster.attach("/h", self.hdfs.uri("/data set"), *self.hdfs.flags())
            self.mount = self.cluster.mount().mountpoint + "/h"
        except BaseException:
            self.cluster.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, *error):
        return self.cluster.__exit__(*error)

    def sees(self, name, expected, what):
        def now():
            try:
                return read(f"{self.mount}/{name}") == expected
            except FileNotFoundError:
                return expected is None
            except OSError:
                return False
        wait_for(f"{what} is seen", now, 15)


def walked(mount):
    found = {}
    for directory, _, files in os.walk(mount):
        for name in files:
            path = os.path.join(directory, name)
            found[os.path.relpath(path, mount)] = read(path)
    return found


def conforms(hdfs, only="*"):
    """Runs the conformance suite against the server; returns how many tests passed."""
    ran = hdfs.conformance(only)
    passed = ran.stdout.count("[       OK ]")
    print(f"         {passed} tests of the conformance suite", flush=True)
    check(ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-1000:])
    return passed


def test_conformance():
    with Cluster() as cluster:
        passed = conforms(HdfsServer(cluster))
        check(passed >= 15, f"only {passed} tests ran")


def test_kerberos():
    with Cluster() as cluster:
        hdfs = HdfsServer(cluster, Kerberos(cluster))
        some = "*SaysWhatIsWrong*:RealHdfs*MakesMoves*:RealHdfs*WritesReplace*:RealHdfs*KeepsEvil*:RealHdfs*SeesAReplacement*"
        check(conforms(hdfs, some) >= 5, "with a ticket everything is as ever")
        refused = hdfs.conformance("*ReadsWhatWasPut*", who="nobody")
        check(refused.returncode != 0 and "unauthenticated" in refused.stdout,
              f"without a ticket the login is what fails: {refused.stdout[-3000:]}")


def test_a_tree_reads_the_same_cold_and_warm():
    with World() as world:
        expected = {name: oracle(name, 1, length) for name, length in TREE.items()}
        for round_name in ("cold", "warm"):
            found = walked(world.mount)
            check(sorted(found) == sorted(expected), f"{round_name}: the same names")
            for name, data in expected.items():
                check(found[name] == data, f"{round_name}: {name} has the right bytes")
        for name in ("large", "with space"):
            shown = world.cluster.cli("cat", f"/h/{name}", text=False)
            check(shown.stdout == expected[name], f"the command line reads {name}")


def test_changes_underneath_are_seen():
    with World() as world:
        check(read(f"{world.mount}/large") == oracle("large", 1, TREE["large"]), "the first version")
        before = world.hdfs.status("/data set/large")
        world.hdfs.put("/data set/large", oracle("large", 2, TREE["large"]))
        world.hdfs.set_times("/data set/large", before["modificationTime"])
        world.sees("large", oracle("large", 2, TREE["large"]), "a replacement of the same length and mtime")
        world.hdfs.append("/data set/large", b"more")
        world.sees("large", oracle("large", 2, TREE["large"]) + b"more", "an append")
        world.hdfs.remove("/data set/large")
        world.sees("large", None, "a deletion")
        world.hdfs.put("/data set/large", b"back again")
        world.sees("large", b"back again", "a new file of the old name")


def test_a_dead_datanode_costs_only_what_is_not_cached():
    with World() as world:
        warm = oracle("page", 1, TREE["page"])
        check(read(f"{world.mount}/page") == warm, "the file is cached")
        world.hdfs.kill(world.hdfs.datanode)
        for _ in range(3):
            check(read(f"{world.mount}/page") == warm, "cached bytes are served")
        cold = world.cluster.cli("cat", "/h/large", check_exit=False, timeout=120)
        check(cold.returncode != 0, "a file that is not cached fails")
        check("datanode" in cold.stderr, f"the message names the datanode: {cold.stderr}")
        check(os.path.exists(f"{world.mount}/large"), "and it is not taken for deleted")
        world.hdfs.start_datanode()
        world.sees("large", oracle("large", 1, TREE["large"]), "the file, when the datanode is back")


def test_a_dead_namenode_deletes_nothing():
    with World() as world:
        warm = oracle("page", 1, TREE["page"])
        check(read(f"{world.mount}/page") == warm, "the file is cached")
        world.hdfs.kill(world.hdfs.namenode)
        for _ in range(3):
            check(read(f"{world.mount}/page") == warm, "cached bytes are served")
        check(os.path.exists(f"{world.mount}/page"), "and the name stays")
        world.hdfs.start_namenode()
        world.sees("one", oracle("one", 1, 1), "a file that was not cached, when the namenode is back")


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
