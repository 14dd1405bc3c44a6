"""A worker with a small memory and a device below it: a working set many times its memory, kept over restarts and kills,
right whatever happens to the files of the device."""
import glob
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.cluster import Cluster, check, need, oracle, run_tests, seed, wait_for, write_file  # noqa: E402

MIB = 1 << 20
FILES, LENGTH = 40, 4 * MIB + 123
TREE = FILES * LENGTH


class Tiered:
    """A cluster whose worker has 16 MiB of memory and one device, and a tree of ten times that."""

    def __init__(self, capacity="1GiB", directory=None, settings=()):
        self.cluster = Cluster(memory="16MiB")
        self.source = os.path.join(self.cluster.dir, "source")
        os.makedirs(self.source)
        for i in range(FILES):
            write_file(f"{self.source}/f{i}", oracle(i, 1, LENGTH))
        self.device = directory or os.path.join(self.cluster.dir, "nvme")
        os.makedirs(self.device, exist_ok=True)
        self.settings = (f'worker.nvme.directories={self.device}', f"worker.nvme.capacity={capacity}", *settings)
        self.cluster.start(workers=0)
        self.start_worker()
        self.cluster.attach("/d", self.source)

    def __enter__(self):
        self.cluster.__enter__()
        return self

    def __exit__(self, *what):
        return self.cluster.__exit__(*what)

    def start_worker(self):
        self.cluster.start_worker(1, settings=self.settings)
        self.cluster.wait_live(1)

    def worker(self):
        return next(w for w in self.cluster.json("workers")["workers"] if w["state"] == "live")

    def tiers(self):
        return {tier["name"]: tier for tier in self.worker()["tiers"]}

    def fetched(self):
        return self.cluster.settled_fetched_bytes()

    def use(self, text):
        path = os.path.join(self.cluster.dir, "policy.toml")
        write_file(path, text.encode())
        self.cluster.cli("policy", "apply", path)
        version = self.cluster.json("policy", "show")["version"]
        wait_for("the worker to run the policy",
                 lambda: all(w["policy_version"] == version for w in self.cluster.json("policy", "show")["workers"]))

    def read_all(self, order=None):
        for i in order or range(FILES):
            got = self.cluster.cli("cat", f"/d/f{i}", text=False).stdout
            check(got == oracle(i, 1, LENGTH), f"f{i} differs")

    def fill_device(self):
        self.use('[defaults]\ntier = "nvme"\n')
        self.fill()

    def keep_some(self):
        """Until the device keeps a file of these: on a busy machine it may be suspect, and takes no writes meanwhile."""
        until = time.monotonic() + 120
        while self.tiers()["nvme0"]["block_count"] == 0 and time.monotonic() < until:
            self.cluster.cli("free", "-R", "/d")
            self.read_all(order=[0, 1, 2, 3])
        check(self.tiers()["nvme0"]["block_count"] > 0, f"the device keeps nothing: {self.tiers()}")

    def fill(self):
        self.read_all()
        # On a busy machine the device may be suspect for some seconds; what comes meanwhile stays in memory.
        until = time.monotonic() + 120
        while self.tiers()["nvme0"]["used_bytes"] < TREE and time.monotonic() < until:
            self.cluster.cli("free", "-R", "/d")
            self.read_all()
        check(self.tiers()["nvme0"]["used_bytes"] >= TREE, f"the device does not hold the tree: {self.tiers()}")


def test_a_tree_ten_times_the_memory_is_fetched_once_and_kept_over_restart_and_kill():
    with Tiered() as t:
        t.fill_device()
        before = t.fetched()
        t.read_all()
        check(t.fetched() == before, "the second pass fetched again")
        t.cluster.workers[1].stop()
        t.start_worker()
        check(t.tiers()["nvme0"]["used_bytes"] >= TREE, "a restart lost pages")
        t.read_all()
        check(t.fetched() == 0, f"{t.fetched()} bytes were fetched again after the restart")
        t.cluster.workers[1].kill()
        t.start_worker()
        t.read_all()
        check(t.fetched() <= TREE // 100, f"{t.fetched()} bytes were fetched again after kill -9")


def test_memory_overflows_into_the_device_by_itself():
    with Tiered() as t:
        t.use("[tier.memory]\nhigh_watermark = \"60%\"\nlow_watermark = \"40%\"\nmovement_share = \"100%\"\n")
        t.read_all()
        wait_for("pages to move down", lambda: t.tiers()["nvme0"]["used_bytes"] > 0, 30)
        t.read_all(order=reversed(range(FILES)))
        check(t.tiers()["memory"]["used_bytes"] <= 16 * MIB, "memory over its capacity")


def test_damaged_truncated_foreign_and_missing_files_never_reach_a_reader():
    random_number = seed()
    with Tiered() as t:
        t.fill_device()
        t.cluster.workers[1].stop()
        files = [f for f in glob.glob(f"{t.device}/*/*") if os.path.isfile(f)]
        check(len(files) == FILES, f"{len(files)} block files for {FILES} blocks")
        random_number.shuffle(files)
        for path in files[:10]:  # one byte anywhere
            with open(path, "r+b") as f:
                at = random_number.randrange(os.path.getsize(path))
                f.seek(at)
                old = f.read(1)
                f.seek(at)
                f.write(bytes([old[0] ^ 0x40]))
        for path in files[10:15]:
            os.truncate(path, random_number.randrange(LENGTH))
        for path in files[15:20]:
            os.unlink(path)
        for one, other in zip(files[20:25], files[25:30]):  # swapped
            os.rename(one, one + ".x")
            os.rename(other, one)
            os.rename(one + ".x", other)
        write_file(f"{t.device}/somebody-elses.txt", b"not ours")
        with open(f"{t.device}/index", "r+b") as f:
            for _ in range(20):
                at = random_number.randrange(4096, os.path.getsize(f.name))
                f.seek(at)
                f.write(random_number.randbytes(1))
        t.start_worker()
        t.read_all()
        t.read_all()
        check(os.path.exists(f"{t.device}/somebody-elses.txt"), "a foreign file was removed")


def test_a_second_worker_on_the_same_directory_is_refused():
    with Tiered() as t:
        process = subprocess.run(
            [os.path.join(os.environ["HEARTH_BIN"], "hearth-worker"), "--set", f"worker.master={t.cluster.master_address}",
             "--set", "worker.listen=127.0.0.1:0", "--set", "worker.local_socket=", "--set", "worker.memory.capacity=16MiB",
             *[word for setting in t.settings for word in ("--set", setting)]],
            capture_output=True, text=True, timeout=30)
        check(process.returncode != 0, "a second worker started on the same directory")
        check(t.device in process.stderr, f"the sentence does not name the directory: {process.stderr}")
        t.read_all(order=[0, 1])


def test_a_full_file_system_costs_misses_only():
    need(os.geteuid() == 0, "root, to mount a small file system")
    with Tiered() as outer:
        outer.cluster.workers[1].stop()
        small = os.path.join(outer.cluster.dir, "small")
        os.makedirs(small)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "hearth-test", small], check=True)
        try:
            # The configuration promises more than the file system has.
            outer.settings = (f'worker.nvme.directories={small}', "worker.nvme.capacity=1GiB")
            outer.start_worker()
            outer.use('[defaults]\ntier = "nvme"\n')
            outer.read_all()
            outer.read_all()
            check(outer.cluster.live_workers() == 1, "the worker is gone")
        finally:
            outer.cluster.workers[1].stop()
            subprocess.run(["umount", small], check=True)


def test_watermarks_of_a_policy_reach_devices_that_are_open():
    with Tiered() as t:
        t.fill_device()
        t.use('[defaults]\ntier = "nvme"\n[tier.nvme]\neviction = "lru"\nhigh_watermark = "10%"\nlow_watermark = "8%"\n')
        wait_for("the device to come down to the low watermark", lambda: t.tiers()["nvme0"]["used_bytes"] <= (1 << 30) * 8 // 100, 30)
        t.read_all()


def test_a_time_to_live_goes_on_over_a_restart():
    with Tiered() as t:
        t.use('[[rule]]\nname = "brief"\npath = "/d/f1"\nttl = "20s"\nttl_action = "free"\n[defaults]\ntier = "nvme"\n')
        t.read_all(order=[1, 2])
        until = time.monotonic() + 120
        while t.tiers()["nvme0"]["block_count"] < 2 and time.monotonic() < until:  # as in fill()
            t.cluster.cli("free", "-R", "/d")
            t.read_all(order=[1, 2])
        t.cluster.workers[1].stop()
        t.start_worker()
        wait_for("what the rule names to be freed", lambda: t.tiers()["nvme0"]["block_count"] == 1, 60)
        t.read_all(order=[2])
        check(t.fetched() == 0, "the other file was fetched again")
        t.read_all(order=[1])
        fetched = t.fetched()
        check(fetched == LENGTH, f"{fetched} bytes were fetched for the freed file of {LENGTH}")


def mount_small(path):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300m", "hearth-test", path], check=True)


def test_an_empty_disk_in_a_devices_place_is_taken_into_use():
    need(os.geteuid() == 0, "root, to mount small file systems")
    with Tiered() as outer:
        outer.cluster.workers[1].stop()
        place = os.path.join(outer.cluster.dir, "disk")
        os.makedirs(place)
        mount_small(place)
        mounted = 1
        try:
            outer.settings = (f"worker.nvme.directories={place}", "worker.nvme.capacity=256MiB")
            outer.start_worker()
            outer.use('[defaults]\ntier = "nvme"\n')
            outer.keep_some()
            subprocess.run(["umount", "-l", place], check=True)
            mounted = 0
            wait_for("the device to be missed", lambda: outer.tiers()["nvme0"]["state"] == "fenced", 30)
            check("nothing is mounted" in outer.tiers()["nvme0"]["reason"], f"it says why: {outer.tiers()['nvme0']}")
            outer.read_all(order=[0, 1, 2])
            check(not os.listdir(place), "the directory below the mount point was filled")
            mount_small(place)
            mounted = 1
            wait_for("the empty disk to be taken into use",
                     lambda: outer.tiers()["nvme0"]["state"] == "healthy" and outer.tiers()["nvme0"]["block_count"] == 0, 30)
            outer.keep_some()
            check(os.listdir(place), "the new disk holds something")
            outer.read_all()
        finally:
            outer.cluster.workers[1].stop()
            if mounted:
                subprocess.run(["umount", place], check=True)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
