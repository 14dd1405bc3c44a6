"""A real HDFS beneath: conformance, trees cold and warm, changes underneath, and daemons that die."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.cluster import Cluster, check, oracle, run_tests, wait_for  # noqa: E402
from support.hdfs_server import DATANODE_NAME, HdfsServer  # noqa: E402
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

    def __init__(self, **server):
        self.server = server

    def __enter__(self):
        self.cluster = Cluster(metadata_ttl="200ms")
        self.cluster.__enter__()
        try:
            self.hdfs = HdfsServer(self.cluster, **self.server)
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
        token = hdfs.fetch_delegation_token()
        by_token = hdfs.conformance(some, who="nobody")
        check(by_token.returncode == 0 and by_token.stdout.count("[       OK ]") >= 5, f"a token needs no ticket: {by_token.stdout[-3000:]}")
        check(token not in by_token.stdout + by_token.stderr, "the token is not shown")
        hdfs.cancel_delegation_token(token)
        refused = hdfs.conformance("*ReadsWhatWasPut*", who="nobody")
        check(refused.returncode != 0 and "InvalidToken" in refused.stdout and "fetch a new one" in refused.stdout, f"a cancelled token is said to be one: {refused.stdout[-3000:]}")
        check(token not in refused.stdout + refused.stderr, "and is not shown")


def test_httpfs():
    """The gateway: a real one in front of real HDFS."""
    with Cluster() as cluster:
        hdfs = HdfsServer(cluster)
        hdfs.put("/data set/large", oracle("large", 1, TREE["large"]))
        hdfs.put("/data set/plus+percent%and&quest?", b"name")
        hdfs.start_httpfs()
        check(conforms(hdfs) >= 15, "the conformance suite through HttpFS")
        cluster.start()
        cluster.attach("/h", hdfs.uri("/data set"), *hdfs.flags())
        mount = cluster.mount().mountpoint + "/h"
        check(read(f"{mount}/large") == oracle("large", 1, TREE["large"]), "a file through HttpFS and the mount")
        check(read(f"{mount}/plus+percent%and&quest?") == b"name", "and one with a name that needs encoding")
        proven = cluster.cli("attach", "--dry-run", "/again", hdfs.uri("/data set"), *hdfs.flags())
        check("ok  read" in proven.stdout, f"the way is proven: {proven.stdout}")


def test_swebhdfs():
    """Namenode and datanode that serve TLS only."""
    with World(tls=True) as world:
        some = "*SaysWhatIsWrong*:RealHdfs*MakesMoves*:RealHdfs*WritesReplace*:RealHdfs*KeepsEvil*:RealHdfs*SeesAReplacement*"
        check(conforms(world.hdfs, some) >= 5, "over TLS everything is as ever")
        for name in ("large", "with space", "dir/deep/er/file"):
            check(read(f"{world.mount}/{name}") == oracle(name, 1, TREE[name]), f"{name} over TLS")
        uri = f"swebhdfs://{world.hdfs.host}:{world.hdfs.http_port}/data%20set"
        rest = ["-o", "user=root", "-o", f"host_map={DATANODE_NAME}=127.0.0.1"]
        proven = world.cluster.cli("attach", "--dry-run", "/again", uri, *rest, "-o", f"ca_file={world.hdfs.ca_file}")
        check("ok  tls" in proven.stdout and "ok  read" in proven.stdout, f"the other spelling: {proven.stdout}")
        stranger = world.cluster.cli("attach", "--dry-run", "/again", uri, *rest, check_exit=False)
        check("step tls failed" in stranger.stderr and "authority" in stranger.stderr, f"an authority that nobody trusts: {stranger.stderr}")


def test_two_namenodes():
    """The first of the list is down, then in standby: readers notice nothing but time."""
    with World(namenodes=2) as world:
        hdfs = world.hdfs
        check(read(f"{world.mount}/one") == oracle("one", 1, 1), "with the first namenode active")
        hdfs.kill(hdfs.namenodes[0])
        check(read(f"{world.mount}/one") == oracle("one", 1, 1), "cached bytes are served")
        hdfs.make_active(1)
        world.sees("large", oracle("large", 1, TREE["large"]), "a file that was not cached, with the first namenode down")
        down = world.cluster.cli("attach", "--dry-run", "/again", hdfs.uri("/data set"), *hdfs.flags())
        check("ok  read" in down.stdout and "but nobody answers" in down.stdout, f"one namenode is enough: {down.stdout}")
        hdfs.start_namenode(0)
        world.cluster.attach("/again", hdfs.uri("/data set"), *hdfs.flags())
        again = world.cluster.cli("cat", "/again/dir/deep/er/file", text=False)
        check(again.stdout == oracle("dir/deep/er/file", 1, 70000), "with the first namenode in standby")


def test_dry_run_names_the_step():
    with World() as world:
        hdfs, good = world.hdfs, dict(option.split("=", 1) for option in world.hdfs.options())

        def steps(path="/data set", **changes):
            options = {**good, **changes}
            flags = [word for name, value in options.items() if value is not None for word in ("-o", f"{name}={value}")]
            return world.cluster.cli("attach", "--dry-run", "/again", hdfs.uri(path), *flags, check_exit=False)
        proven = steps()
        check(proven.returncode == 0, f"access works: {proven.stderr}")
        for step in ("options", "resolve", "connect", "http", "credentials", "access", "list", "read"):
            check(f"ok  {step} " in proven.stdout, f"{step} is proven: {proven.stdout}")
        failures = {"options": steps(usre="x"), "resolve": steps(http_address="no-such-host.invalid:1"), "connect": steps(http_port="1"),
                    "credentials": steps(delegation_token_file="/nonexistent/token"), "access": steps("/no such directory"), "read": steps(host_map=None)}
        for step, result in failures.items():
            check(result.returncode != 0 and f"step {step} failed" in result.stderr, f"{step} is named: {result.stdout}{result.stderr}")
        check(DATANODE_NAME in failures["read"].stderr, f"the datanode that nobody resolves is named: {failures['read'].stderr}")
        check("FileNotFoundException" in failures["access"].stderr, f"with the store's own word: {failures['access'].stderr}")


def test_safe_mode_still_serves():
    with World() as world:
        entered = world.hdfs.run_java("dfsadmin", "tools.DFSAdmin", "-safemode", "enter")
        check(entered.wait(120) == 0, "the namenode enters safe mode")
        check(read(f"{world.mount}/large") == oracle("large", 1, TREE["large"]), "reads go on")
        check(sorted(os.listdir(f"{world.mount}/many")) == sorted(f"{i:03d}" for i in range(45)), "and listings")
        refused = world.hdfs.conformance("*ReadsWhatWasPut*")
        check(refused.returncode != 0 and "SafeModeException" in refused.stdout and "is in safe mode" in refused.stdout, f"a change says why not: {refused.stdout[-2000:]}")


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
