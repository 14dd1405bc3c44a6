"""Trees at scale: a directory in a bucket is renamed with kills of the master in between and readers that look all the time, and
removed with all below. With --long (or HEARTH_MOVE_FILES) of 100,000 files instead of 10,000."""
import errno
import os
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "services", "s3"))
from server import S3Double  # noqa: E402
from support.cluster import BIN, Cluster, check, run_tests, wait_for  # noqa: E402

FILES = int(os.environ.get("HEARTH_MOVE_FILES", "100000" if "--long" in sys.argv else "10000"))
DIRECTORIES = [f"{i:02}" for i in range(10)]
KEPT = {"03": 0o750, "03/000003": 0o600, "07/000017": 0o640}
# What a reader may meet while the master is away; anything else is a finding.
AWAY = {errno.EIO, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ECONNREFUSED, errno.EAGAIN, errno.ENOTCONN, errno.ESTALE}


def start(cluster, server, uri="tree"):
    cluster.master_socket = f"unix:{cluster.dir}/master.sock"
    cluster.start()
    flags = [f"--option=endpoint={server.endpoint}", f"--option=credentials=file:{server.credentials_file}"]
    cluster.cli("attach", "/s3", f"s3://{server.bucket}/{uri}", "--metadata-ttl", "1s", *flags)


def mount(cluster, name, writable=True):
    options = [f"mount.master={cluster.master_socket}"] + (["mount.options=writable"] if writable else [])
    return cluster.mount(name, options=options).mountpoint + "/s3"


def hearth(cluster, *words, check_exit=True, **kwargs):
    done = subprocess.run([f"{BIN}/hearth", "--master", cluster.master_socket, *words], capture_output=True, text=True, timeout=900, **kwargs)
    check(not check_exit or done.returncode == 0, f"hearth {' '.join(words)} ended with {done.returncode}: {done.stderr}")
    return done


class Readers:
    """Lists the tree by a mount and by the command line, over and over: each listing is whole, or of a name that is not there."""

    def __init__(self, cluster, top):
        self.cluster, self.top = cluster, top
        self.findings, self.seen, self.looks, self.away = [], set(), 0, 0
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(look,)) for look in (self.look_at_mount, self.look_by_command)]

    def run(self, look):
        while not self.ended.is_set() and not self.findings:
            try:
                look()
            except OSError as error:
                if error.errno in AWAY:
                    self.away += 1
                elif error.errno != errno.ENOENT:
                    self.findings.append(repr(error))

    def judge(self, what, names, whole):
        self.looks += 1
        if len(names) != whole:
            self.findings.append(f"{what} has {len(names)} names, not {whole}: {sorted(names)[:5]}")

    def look_at_mount(self):
        shown = os.listdir(self.top)
        self.judge("the directory above, in the mount,", shown, 1)
        self.seen.update(shown)
        for name in ("old", "new"):
            for directory in ("", *DIRECTORIES[::4]):
                try:
                    names = os.listdir(f"{self.top}/{name}/{directory}")
                except FileNotFoundError:
                    continue
                self.judge(f"{name}/{directory} in the mount", names, FILES // 10 if directory else 10)

    def look_by_command(self):
        done = hearth(self.cluster, "ls", "/s3", check_exit=False)
        if done.returncode == 0:
            self.judge("the directory above", done.stdout.split(), 1)
        for name in ("old", "new"):
            done = hearth(self.cluster, "ls", f"/s3/{name}/05", check_exit=False)
            if done.returncode == 0:
                self.judge(f"{name}/05", done.stdout.split(), FILES // 10)
            elif "not exist" not in done.stderr and "not_found" not in done.stderr and "renamed" not in done.stderr:
                self.away += 1

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for thread in self.threads:
            thread.join()


def modes(top):
    return {name: os.stat(f"{top}/{name}").st_mode & 0o7777 for name in KEPT}


def kill_master(cluster):
    cluster.master.kill()
    cluster.start_master()


def test_a_directory_moves_whole_over_kills_of_the_master():
    with S3Double() as server, Cluster() as cluster:
        server.tell(f"fill tree/old/ {FILES}")
        start(cluster, server)
        top, other = mount(cluster, "mnt"), mount(cluster, "other", writable=False)
        client = server.client()
        for name, mode in KEPT.items():
            os.chmod(f"{top}/old/{name}", mode)
        check(len(os.listdir(f"{other}/old/05")) == FILES // 10, "all is there")
        server.tell("delay CopyObject 4")
        server.tell("delay DeleteObjects 300")
        outcome = []

        def rename():
            began = time.monotonic()
            try:
                os.rename(f"{top}/old", f"{top}/new")
                outcome.append(time.monotonic() - began)
            except OSError as error:
                outcome.append(error)

        with Readers(cluster, other) as readers:
            renaming = threading.Thread(target=rename)
            renaming.start()
            for part in (4, 2):
                wait_for(f"1/{part} of the copies", lambda: outcome or len(client.list("tree/new/")) >= FILES // part, 600)
                check(not outcome, f"the rename ended before it was killed: {outcome}")
                kill_master(cluster)
            renaming.join(900)
            check(outcome and isinstance(outcome[0], float), f"the rename ended: {outcome}")
            check(os.listdir(top) == ["new"], "the mount that renamed sees the new name")
            left = len(client.list("tree/old/"))
            kill_master(cluster)
            wait_for("the old keys are gone", lambda: readers.findings or not client.list("tree/old/"), 600)
            server.tell("forgive")
            time.sleep(0.5)
        check(not readers.findings, f"seen in part: {readers.findings[:3]}")
        check(readers.seen == {"old", "new"} and readers.looks > 20, f"readers looked {readers.looks} times and saw {readers.seen}")
        check(left > 0, "killed while old keys were removed")
        keys = [key for key in client.list("tree/") if not key.endswith("/")]
        check(sorted(keys) == sorted(f"tree/new/{i % 10:02}/{i:06}" for i in range(FILES)), f"{len(keys)} keys in the bucket")
        check(client.get("tree/new/03/000003") == b"tree/old/03/000003", "with their content")
        check(modes(f"{top}/new") == KEPT and modes(f"{other}/new") == KEPT, f"modes below are kept: {modes(top + '/new')}")
        print(f"    {FILES} files in {outcome[0]:.1f} s over 2 kills, and a third while {left} old keys were left; {readers.looks} listings whole, {readers.away} not answered")

        began = time.monotonic()
        done = hearth(cluster, "rm", "-r", "/s3/new", "--no-progress")
        print(f"    hearth rm -r: {done.stdout.strip()} in {time.monotonic() - began:.1f} s")
        check(client.list("tree/") == [], "nothing is left in the bucket")
        check(os.listdir(top) == [] and os.listdir(other) == [], "nor in the mounts")
        check(hearth(cluster, "rm", "-r", "/s3/new", check_exit=False).returncode != 0, "there is nothing of that name")
        hearth(cluster, "rm", "-rf", "/s3/new")


def test_a_rename_that_nobody_waits_for_goes_on():
    with S3Double() as server, Cluster() as cluster:
        server.tell("fill tree/old/ 500")
        start(cluster, server)
        top = mount(cluster, "mnt")
        os.chmod(f"{top}/old/03", 0o750)
        server.tell("delay CopyObject 50")
        renaming = subprocess.Popen([sys.executable, "-c", f"import os; os.rename('{top}/old', '{top}/new')"])
        client = server.client()
        wait_for("copies", lambda: len(client.list("tree/new/")) > 20, 60)
        check(os.listdir(top + "/..") == ["s3"], "the mount answers meanwhile")
        renaming.kill()
        renaming.wait(60)
        kill_master(cluster)
        server.tell("forgive")
        wait_for("the job ends", lambda: not client.list("tree/old/"), 120)
        wait_for("the new name", lambda: hearth(cluster, "ls", "/s3").stdout.split() == ["new"], 30)
        check(hearth(cluster, "stat", "--json", "/s3/new/03").stdout.count("0750") > 0, "what lies below keeps its mode")


def test_rm_of_a_local_tree_goes_name_by_name_as_the_caller():
    with Cluster() as cluster:
        cluster.master_socket = f"unix:{cluster.dir}/master.sock"
        cluster.start()
        data = os.path.join(cluster.dir, "data")
        for directory in ("a/b/c", "a/empty", "closed", "inner"):
            os.makedirs(f"{data}/{directory}")
        for i in range(700):
            open(f"{data}/a/b/f{i}", "w").close()
        os.symlink("/etc", f"{data}/a/link")
        os.mkfifo(f"{data}/a/fifo")
        open(f"{data}/closed/f", "w").close()
        open(f"{data}/f", "w").close()
        cluster.attach("/d", data)
        inner = os.path.join(cluster.dir, "inner")
        os.makedirs(inner)
        cluster.attach("/d/inner/nested", inner)
        refused = hearth(cluster, "rm", "-r", "/d/inner", check_exit=False)
        check(refused.returncode != 0 and "/d/inner/nested" in refused.stderr, f"a mount point below: {refused.stderr}")
        check(hearth(cluster, "rm", "-r", "/d", check_exit=False).returncode != 0, "an attachment is detached")
        check(hearth(cluster, "rm", "/d/a", check_exit=False).returncode != 0, "a directory needs -r")
        check(os.path.exists(f"{data}/a/b/f0") and os.path.isdir(inner), "nothing was done")
        removed = hearth(cluster, "rm", "-r", "/d/a")
        check("706" in removed.stdout, f"700 files, a link, a fifo and four directories: {removed.stdout}")
        check(not os.path.exists(f"{data}/a") and os.path.isdir("/etc"), "the tree is gone, and what its link leads to is not")
        hearth(cluster, "rm", "/d/f")
        check(not os.path.exists(f"{data}/f"), "a file")
        # As another user: the rights of the directories decide, and the rest goes on.
        os.chmod(data, 0o777)
        os.makedirs(f"{data}/t/mine")
        os.makedirs(f"{data}/t/roots")
        for path in ("t/mine/f", "t/roots/f"):
            open(f"{data}/{path}", "w").close()
        for path in ("t", "t/mine", "t/mine/f"):
            os.chown(f"{data}/{path}", 65534, 65534)
        os.chmod(cluster.dir, 0o755)
        os.chmod(f"{cluster.dir}/master.sock", 0o777)
        done = hearth(cluster, "rm", "-r", "/d/t", check_exit=False, user=65534, group=65534, extra_groups=[])
        check(done.returncode == 3 and "/d/t/roots/f" in done.stderr, f"what can not be removed is listed: {done.returncode} {done.stderr}")
        check(not os.path.exists(f"{data}/t/mine") and os.path.exists(f"{data}/t/roots/f"), "and the rest is removed")
        hearth(cluster, "rm", "-r", "/d/t")
        check(not os.path.exists(f"{data}/t"), "a second time removes what the first left")


if __name__ == "__main__":
    sys.argv = [word for word in sys.argv if word != "--long"]
    run_tests(sys.modules[__name__])
