"""After 10,000 open/read/close cycles and a remount, descriptors and memory are back where they were."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.cluster import Cluster, check, oracle, run_tests, wait_for, write_file  # noqa: E402

CYCLES = 10_000


def fds(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def anonymous_kib(process):
    with open(f"/proc/{process.pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("RssAnon"))


def test_cycles_leak_nothing():
    with Cluster(memory="64MiB") as cluster:
        source = os.path.join(cluster.dir, "source")
        os.makedirs(source)
        for i in range(20):
            write_file(f"{source}/f{i}", oracle(i, 1, 700_000))
        cluster.start()
        cluster.attach("/d", source)
        fuse = cluster.mount()
        mount = fuse.mountpoint + "/d"

        def cycles(count):
            for n in range(count):
                with open(f"{mount}/f{n % 20}", "rb") as f:
                    f.read(4096)
        cycles(1000)
        watched = [fuse, cluster.workers[1], cluster.master]
        before = [(fds(p), anonymous_kib(p)) for p in watched]
        cycles(CYCLES)
        for process, (fd_count, memory) in zip(watched, before):
            wait_for(f"{process.name} has no more descriptors than before ({fd_count})", lambda: fds(process) <= fd_count + 2)
            grown = anonymous_kib(process) - memory
            print(f"    {process.name}: {fd_count} descriptors, {grown} KiB grown over {CYCLES} cycles")
            check(grown < 8192, f"{process.name} grew by {grown} KiB over {CYCLES} cycles")

        worker_before = fds(cluster.workers[1])
        check(fuse.stop() == 0, "SIGTERM ends the mount with 0")
        check(not os.path.ismount(fuse.mountpoint), "and unmounts it")
        wait_for("the worker freed what the mount held", lambda: fds(cluster.workers[1]) <= worker_before)
        again = cluster.mount()
        with open(f"{again.mountpoint}/d/f3", "rb") as f:
            check(f.read() == oracle(3, 1, 700_000), "the new mount reads")
        check(again.stop() == 0, "and ends")


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
