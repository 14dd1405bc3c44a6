"""kill -9 of the master at random points: no acknowledged attachment is lost, none is invented, no entry changes.

Rounds: 200 (HEARTH_KILLS sets another number). Every round restarts the master on the same directory.
"""
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.cluster import BIN, Cluster, check, run_tests, seed, wait_for, write_file  # noqa: E402

KILLS = int(os.environ.get("HEARTH_KILLS") or 200)


class Mutator(threading.Thread):
    """Attaches and detaches; knows what was acknowledged and which one call was in the air at the kill."""

    def __init__(self, cluster, source, acknowledged, random):
        super().__init__()
        self.cluster, self.source, self.random = cluster, source, random
        self.acknowledged = acknowledged
        self.in_flight = None
        self.stop = False

    def run(self):
        while not self.stop:
            path = f"/m{self.random.randrange(12)}"
            attach = path not in self.acknowledged
            self.in_flight = path
            command = ["attach", path, self.source] if attach else ["detach", path]
            result = self.cluster.cli(*command, check_exit=False, timeout=30)
            if result.returncode != 0:
                return  # the master was killed under it; in_flight says which path is open
            (self.acknowledged.add if attach else self.acknowledged.discard)(path)
            self.in_flight = None


def test_acknowledged_attachments_survive_every_kill():
    random = seed()
    with Cluster() as cluster:
        source = os.path.join(cluster.dir, "source")
        os.makedirs(f"{source}/sub")
        names = [f"n{i}" for i in range(50)]
        for name in names:
            write_file(f"{source}/sub/{name}", name.encode())
        cluster.start_master()
        cluster.cli("attach", "/keep", source)
        inodes = {e["name"]: e["inode"] for e in cluster.json("ls", "/keep/sub")["paths"][0]["entries"]}
        check(sorted(inodes) == sorted(names), "the directory lists right before the first kill")
        acknowledged = set()
        for kill in range(KILLS):
            mutator = Mutator(cluster, source, acknowledged, random)
            mutator.start()
            mutator.join(random.uniform(0, 0.12))
            cluster.master.kill()
            mutator.stop = True
            cluster.start_master()
            mutator.join()
            present = {a["path"] for a in cluster.json("attachments")["attachments"]}
            check("/keep" in present, f"kill {kill}: the first attachment is there")
            unsure = {mutator.in_flight} - {None}
            check(present - {"/keep"} - unsure == acknowledged - unsure,
                  f"kill {kill}: acknowledged {sorted(acknowledged)}, found {sorted(present)}, in flight {unsure}")
            acknowledged.clear()
            acknowledged.update(present - {"/keep"})
            if kill % 20 == 0:
                now = {e["name"]: e["inode"] for e in cluster.json("ls", "/keep/sub")["paths"][0]["entries"]}
                check(sorted(now) == sorted(names), f"kill {kill}: no entry lost or invented")
                check(len(set(now.values())) == len(names), f"kill {kill}: inode numbers are unique")
                cluster.processes = [p for p in cluster.processes if p.alive()]
        print(f"    {KILLS} kills, {len(acknowledged)} attachments at the end")


def test_second_master_on_one_directory_is_refused():
    with Cluster() as cluster:
        cluster.start_master()
        first = cluster.master
        port = cluster.master_port
        cluster.master_port = port + 1 if port < 60000 else port - 1
        second = cluster.run("second", [f"{BIN}/hearth-master", "--set", f"master.data_dir={cluster.dir}/master",
                                        "--set", f"master.listen=127.0.0.1:{cluster.master_port}"], cluster.master_host)
        wait_for("the second master gives up", lambda: not second.alive())
        check(second.popen.returncode != 0 and cluster.dir in second.tail(), f"it says why: {second.tail()}")
        cluster.master_port = port
        check(first.alive() and cluster.master_ready(), "the first goes on")


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
