"""Three workers and one master, clients on each, in network namespaces of their own.

Workers report the loss of a peer within `lost_after` (here 2 s) plus a heartbeat; readers never see an error.
"""
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.cluster import BIN, Cluster, check, need, oracle, run_tests, wait_for, write_file  # noqa: E402

MIB = 1 << 20
FILES, LENGTH = 60, 2 * MIB


def make(placement="hash", capacities=("256MiB", "256MiB", "512MiB")):
    cluster = Cluster(placement=placement)
    hosts = cluster.make_hosts(4)
    cluster.master_host, cluster.master_port = hosts[0], 19800
    source = os.path.join(cluster.dir, "source")
    os.makedirs(source)
    for i in range(FILES):
        write_file(f"{source}/f{i}", oracle(i, 1, LENGTH))
    cluster.start_master()
    for n in (1, 2, 3):
        cluster.start_worker(n, hosts[n], memory=capacities[n - 1])
    cluster.wait_live(3)
    cluster.attach("/d", source)
    return cluster, hosts


def cat(cluster, host, number):
    """Reads /d/fN as a client on `host` that shares nothing with the others but the network."""
    result = cluster.cli("cat", f"/d/f{number}", host=host, text=False, check_exit=False)
    check(result.returncode == 0, f"cat f{number} on {host.address}: {result.stderr!r}")
    check(result.stdout == oracle(number, 1, LENGTH), f"f{number} on {host.address}: right bytes")


def holders(cluster, number):
    located = cluster.json("locate", f"/d/f{number}")
    return [r["address"] for b in located["files"][0]["blocks"] for r in b["replicas"]]


def store_bytes(cluster):
    return sum(int(w["miss_bytes"]) for w in cluster.json("workers")["workers"])


def test_blocks_spread_by_capacity():
    cluster, hosts = make()
    with cluster:
        for i in range(FILES):
            cat(cluster, hosts[1], i)
        counts = {}
        for i in range(FILES):
            where = holders(cluster, i)
            check(len(where) == 1, f"f{i} is cached once: {where}")
            counts[where[0]] = counts.get(where[0], 0) + 1
        big = counts.get(f"{hosts[3].address}:19801", 0)
        print(f"    files per worker {counts}")
        check(len(counts) == 3, "every worker holds some")
        check(FILES * 0.3 < big < FILES * 0.7, f"the worker with half of the capacity holds about half: {big} of {FILES}")


def test_one_cache_serves_clients_everywhere():
    cluster, hosts = make(placement="local_first")
    with cluster:
        for i in range(10):
            cat(cluster, hosts[1], i)
        wait_for("reports reach the master", lambda: all(holders(cluster, i) for i in range(10)))
        wait_for("figures reach the master", lambda: store_bytes(cluster) >= 10 * LENGTH)
        before = store_bytes(cluster)
        for host in hosts[2:]:
            for i in range(10):
                cat(cluster, host, i)
        wait_for("hits reach the master",
                 lambda: sum(int(w["hit_bytes"]) for w in cluster.json("workers")["workers"]) >= 20 * LENGTH)
        check(store_bytes(cluster) == before, "no second request to the under-store")


def gone(cluster, address):
    return all(address not in holders(cluster, i) for i in range(FILES))


def lose_and_return(lose, back):
    cluster, hosts = make()
    with cluster:
        for i in range(FILES):
            cat(cluster, hosts[1], i)
        wait_for("all are reported", lambda: all(holders(cluster, i) for i in range(FILES)))
        victim = f"{hosts[2].address}:19801"
        check(not gone(cluster, victim), "the victim holds blocks")
        lose(cluster, hosts)
        for i in range(8):
            cat(cluster, hosts[1 + 2 * (i % 2)], i)
        wait_for("the master drops a lost worker within lost_after + 1 s", lambda: cluster.live_workers() == 2, 8)
        check(gone(cluster, victim), "its locations are gone with it")
        back(cluster, hosts)
        cluster.wait_live(3)
        for i in range(FILES):
            cat(cluster, hosts[3], i)
        return cluster.json("workers"), [holders(cluster, i) for i in range(FILES)]


def test_worker_dies():
    lose_and_return(lambda c, h: c.workers[2].kill(), lambda c, h: c.start_worker(2, memory="256MiB"))


def test_worker_freezes_and_comes_back_with_its_blocks():
    _, where = lose_and_return(lambda c, h: c.workers[2].signal(signal.SIGSTOP), lambda c, h: c.workers[2].signal(signal.SIGCONT))
    check(any(a.startswith("10.77.0.3:") for r in where for a in r), "the blocks it kept are known again")


def nft(host, *rule):
    subprocess.run(["ip", "netns", "exec", host.netns, "nft", *rule], check=True, capture_output=True)


def test_worker_cut_off_one_way():
    def cut(cluster, hosts):
        nft(hosts[2], "add", "table", "inet", "cut")
        nft(hosts[2], "add", "chain", "inet", "cut", "out", "{ type filter hook output priority 0; }")
        nft(hosts[2], "add", "rule", "inet", "cut", "out", "oif", "eth0", "drop")

    def heal(cluster, hosts):
        nft(hosts[2], "delete", "table", "inet", "cut")
    lose_and_return(cut, heal)


def test_drain_moves_reads_without_an_error():
    cluster, hosts = make()
    with cluster:
        for i in range(FILES):
            cat(cluster, hosts[1], i)
        reader = subprocess.Popen(hosts[1].command(["sh", "-c", f"while [ ! -e {cluster.dir}/stop ]; do "
                                  f"{BIN}/hearth --master {cluster.master_address} get /d {cluster.dir}/got || exit 1; done"]),
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        check(cluster.workers[2].stop() == 0, "a drained worker ends with 0")
        wait_for("two workers are left", lambda: cluster.live_workers() == 2)
        write_file(f"{cluster.dir}/stop", b"")
        _, errors = reader.communicate(timeout=120)
        check(reader.returncode == 0, f"no read failed: {errors!r}")
        for i in range(FILES):
            cat(cluster, hosts[3], i)


if __name__ == "__main__":
    need(os.geteuid() == 0, "root for network namespaces")
    run_tests(sys.modules[__name__])
