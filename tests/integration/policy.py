"""The policy of a cluster from the command line: apply, explain, refuse, roll back, survive the master, reach the workers.

And the documentation: every `hearth policy explain` that a page shows answers what the page says.
With HEARTH_UPDATE_DOCS=1 the pages are written anew instead.
"""
import glob
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.cluster import BIN, Cluster, check, need, run_tests, wait_for  # noqa: E402

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
KIB, MIB = 1 << 10, 1 << 20

FIRST = """[defaults]
admission = "second-read"

[[rule]]
name = "big"
path = "/data/**"
min_size = "1MiB"
tier = "nvme"
"""
SECOND = FIRST + 'ttl = "1d"\n'

# What the pages ask about.
FILES = {
    "/data/hot/a": 4 * KIB,
    "/data/train/shard-00001.tar": 256 * MIB,
    "/data/train/labels.json": 700 * KIB,
    "/lake/orders/year=2026/month=11/part-0.parquet": 128 * MIB,
    "/lake/countries/part-0.parquet": 40 * KIB,
    "/scratch/job-17/result/table.csv": 3 * MIB,
    "/scratch/job-17/spill.0001": 64 * MIB,
}


def make_file(path, size):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.truncate(size)


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


def value_of(explained, attribute):
    return next((a["value"], a["rule"], a["line"]) for a in explained["attributes"] if a["attribute"] == attribute)


def workers_run(cluster, version):
    workers = [w for w in cluster.json("policy", "show")["workers"] if w["state"] == "live"]
    return len(workers) == 2 and all(w["policy_version"] == version for w in workers)


def test_a_policy_lives_through_everything():
    with Cluster() as cluster:
        cluster.start(workers=2)
        source = f"{cluster.dir}/source"
        make_file(f"{source}/large", 2 * MIB)
        make_file(f"{source}/small", 10)
        cluster.attach("/data", source)
        first = write(f"{cluster.dir}/first.toml", FIRST)
        second = write(f"{cluster.dir}/second.toml", SECOND)
        bad = write(f"{cluster.dir}/bad.toml", FIRST + 'promote = "now"\nttl = 5\n')

        check(cluster.json("policy", "show")["version"] == 0, "no policy to begin with")
        check("rule" in cluster.json("policy", "explain", "/data/large")["attributes"][0], "the built-in one can be explained")
        cluster.cli("policy", "apply", first, "--comment", "the first")
        check(cluster.json("policy", "show")["text"] == FIRST, "what was applied is in force")
        explained = cluster.json("policy", "explain", "/data/large")
        check(value_of(explained, "tier") == ("nvme", "big", 8), f"the rule decides a large file: {explained}")
        check(value_of(cluster.json("policy", "explain", "/data/small"), "tier")[1] == "built-in", "and not a small one, by its real size")
        check("rule 'big', line 8" in cluster.cli("explain", "/data/large").stdout, "hearth explain names it, too")
        wait_for("both workers run version 1", lambda: workers_run(cluster, 1))

        refused = cluster.cli("policy", "apply", bad, check_exit=False)
        check(refused.returncode == 2, f"a bad policy is refused: {refused}")
        check(f"{bad}:9:1: error: unknown key 'promote'" in refused.stderr and f"{bad}:10:1: error: ttl '5'" in refused.stderr,
              f"with every line, column and reason: {refused.stderr}")
        check(cluster.json("policy", "show")["version"] == 1, "and changes nothing")
        checked = cluster.cli("policy", "check", bad, check_exit=False)
        check(checked.returncode == 7 and ":9:1:" in checked.stdout, f"check finds the same: {checked}")

        dry = cluster.cli("policy", "apply", second, "--dry-run").stdout
        check('+ttl = "1d"' in dry and cluster.json("policy", "show")["version"] == 1, f"a dry run shows and changes nothing: {dry}")
        cluster.cli("policy", "apply", second)
        conflict = cluster.cli("policy", "apply", first, "--expect", "1", check_exit=False)
        check(conflict.returncode == 1 and "version 2 is in force" in conflict.stderr, f"a conflict is one: {conflict}")
        check('+ttl = "1d"' in cluster.cli("policy", "diff").stdout, "diff shows the last change")
        check('-ttl = "1d"' in cluster.cli("policy", "diff", first).stdout, "and what a file would change")
        check("are the same" in cluster.cli("policy", "diff", "2", second).stdout, "and nothing where there is nothing")
        wait_for("both workers run version 2", lambda: workers_run(cluster, 2))

        cluster.cli("policy", "rollback", "1", "--comment", "it was better")
        check(cluster.json("policy", "show")["text"] == FIRST, "a rollback brings the old text")
        cluster.master.kill()
        cluster.start_master()
        history = cluster.json("policy", "history")["versions"]
        check([v["version"] for v in history] == [3, 2, 1], f"versions survive a kill of the master: {history}")
        check(history[0]["restored_from"] == 1 and history[0]["comment"] == "it was better" and "@" in history[0]["by"], f"with their story: {history}")
        check(cluster.json("policy", "show")["text"] == FIRST, "and the text")
        cluster.wait_live(2)
        wait_for("both workers run version 3", lambda: workers_run(cluster, 3))
        cluster.workers[1].kill()
        cluster.start_worker(1)
        wait_for("a new worker runs it as well", lambda: workers_run(cluster, 3))


def test_the_first_policy_can_come_from_a_file():
    with Cluster() as cluster:
        good = write(f"{cluster.dir}/good.toml", FIRST)
        bad = write(f"{cluster.dir}/bad.toml", "[default]\n")
        argv = [f"{BIN}/hearth-master", "--set", f"master.data_dir={cluster.dir}/master", "--set", f"master.listen={cluster.master_address}"]
        refused = subprocess.run([*argv, "--set", f"master.policy_file={bad}"], capture_output=True, text=True, timeout=30)
        check(refused.returncode != 0 and "1:2: error: unknown key 'default'" in refused.stderr, f"a bad one is said at once: {refused}")
        for path, version in ((good, 1), (good, 1)):
            master = cluster.run("master", [*argv, "--set", f"master.policy_file={path}"], cluster.master_host)
            wait_for("the master answers", lambda: cluster.master_ready() or not master.alive())
            check(cluster.json("policy", "show")["version"] == version, "it is applied once")
            master.kill()


PREFETCHING = """[[rule]]
name = "whole"
path = "/data/whole/**"
prefetch = "whole-file"

[[rule]]
name = "footers"
suffix = ".parquet"
prefetch = "footer 3MiB"

[[rule]]
name = "nothing"
prefetch = "none"
"""


def fetched_bytes(cluster):
    return sum(w["fetched_bytes"] for w in cluster.json("workers")["workers"])


def test_prefetch_brings_what_the_policy_says_and_no_more():
    with Cluster() as cluster:
        cluster.start(workers=1)
        source = f"{cluster.dir}/source"
        blocks = f"{cluster.dir}/blocks"
        make_file(f"{source}/whole/a", 24 * MIB)
        make_file(f"{source}/lake/part-0.parquet", 48 * MIB)
        make_file(f"{source}/other/a", 48 * MIB)
        make_file(f"{blocks}/a", 7 * MIB + 5)
        cluster.attach("/data", source)
        cluster.attach("/data/whole/blocks", blocks, "--block-size", "2MiB")
        cluster.cli("policy", "apply", write(f"{cluster.dir}/policy.toml", PREFETCHING))
        wait_for("the worker runs it", lambda: all(w["policy_version"] == 1 for w in cluster.json("policy", "show")["workers"]))
        mount = cluster.mount(options=("mount.options=prefetch=off",))  # the mount's own, which loads what is opened

        def read_a_little(path):
            """4 KiB at the front; the kernel may read 128 KiB around it, which is one page of Hearth."""
            before = fetched_bytes(cluster)
            with open(f"{mount.mountpoint}{path}", "rb", buffering=0) as f:
                check(f.read(4 * KIB) == bytes(4 * KIB), "the bytes are right")
            return before

        for path, brings in (("/data/whole/a", 24 * MIB), ("/data/whole/blocks/a", 7 * MIB + 5),
                             ("/data/other/a", MIB), ("/data/lake/part-0.parquet", 4 * MIB)):
            before = read_a_little(path)
            wait_for(f"{brings} bytes of {path} are fetched", lambda: fetched_bytes(cluster) - before >= brings)
            resident = sum(r["resident_bytes"] for b in cluster.json("locate", path)["files"][0]["blocks"] for r in b["replicas"])
            check(resident == brings, f"{path}: {resident} bytes are here, not {brings}")
            check(fetched_bytes(cluster) - before == brings, f"{path}: {fetched_bytes(cluster) - before} bytes were fetched, not {brings}")


# What is kept tells how the worker decided: every rule keeps out what it matches.
DECIDING = """[defaults]
prefetch = "none"

[[rule]]
name = "by id"
owner = "12345"
admission = "never"

[[rule]]
name = "by name"
owner = "daemon"
admission = "never"

[[rule]]
name = "scans"
tenant = "scans"
admission = "never"

[[rule]]
name = "small"
max_size = "9B"
admission = "never"

[[rule]]
name = "large"
min_size = "6MiB"
suffix = ".log"
admission = "never"

[[rule]]
name = "footers"
suffix = [".parquet", ".orc"]
last_bytes = "1MiB"
admission = "never"

[[rule]]
name = "heads"
suffix = ".tar"
first_bytes = "1MiB"
admission = "never"
"""


def test_workers_decide_as_it_is_explained():
    files = {  # path: length, owner, tenant of the reader, bytes kept
        "plain": (5 * MIB, 0, "", 5 * MIB),
        "by-id": (5 * MIB, 12345, "", 0),
        "by-name": (5 * MIB, 1, "", 0),
        "somebody": (5 * MIB, 12346, "", 5 * MIB),
        "scanned": (5 * MIB, 0, "scans", 0),
        "queried": (5 * MIB, 0, "queries", 5 * MIB),
        "nine": (9, 0, "", 0),
        "ten": (10, 0, "", 10),
        "large.log": (6 * MIB, 0, "", 0),
        "less.log": (6 * MIB - 1, 0, "", 6 * MIB - 1),
        "a.parquet": (5 * MIB + 7, 0, "", 4 * MIB),  # the last MiB begins in the fifth page: two are out
        "b.orc": (5 * MIB, 0, "", 4 * MIB),
        "c.tar": (5 * MIB, 0, "", 4 * MIB),
        "blocks/d.orc": (5 * MIB, 0, "", 4 * MIB),  # of three blocks: the end is the file's
        "blocks/large.log": (6 * MIB, 0, "", 0),
    }
    need(os.geteuid() == 0, "root, for files of others")
    with Cluster() as cluster:
        cluster.start(workers=1)
        source = f"{cluster.dir}/source"
        for name, (length, owner, _, _) in files.items():
            make_file(f"{source}/{name}", length)
            os.chown(f"{source}/{name}", owner, 0)
        cluster.attach("/data", source)
        cluster.attach("/data/blocks", f"{source}/blocks", "--block-size", "2MiB")
        cluster.cli("policy", "apply", write(f"{cluster.dir}/policy.toml", DECIDING))
        wait_for("the worker runs it", lambda: all(w["policy_version"] == 1 for w in cluster.json("policy", "show")["workers"]))
        for name, (length, _, tenant, kept) in files.items():
            path = f"/data/{name}"
            who = ("--tenant", tenant) if tenant else ()
            explained = 0
            for at in range(0, length, MIB):
                answer = cluster.json("policy", "explain", path, f"--at={at}B", *who)
                explained += min(MIB, length - at) if value_of(answer, "admission")[0] != "never" else 0
            content = cluster.cli("cat", path, *who, text=False).stdout
            check(content == bytes(length), f"{path} reads right")
            resident = sum(r["resident_bytes"] for b in cluster.json("locate", path)["files"][0]["blocks"] for r in b["replicas"])
            check(explained == kept and resident == kept, f"{path}: explained {explained}, kept {resident}, expected {kept}")


def documented():
    """(page, policy, command, output) of every explain that a page shows."""
    pages = [f"{ROOT}/docs/concepts/tiers-and-policy.md", *sorted(glob.glob(f"{ROOT}/docs/guides/policy-*.md"))]
    for page in pages:
        text = open(page, encoding="utf-8").read()
        policy = None
        for kind, body in re.findall(r"^```(toml|console)\n(.*?)^```", text, re.M | re.S):
            if kind == "toml":
                policy = body
                continue
            for command, output in re.findall(r"^\$ (hearth policy explain [^\n]*)\n((?:(?!\$ )[^\n]*\n)*)", body, re.M):
                yield page, policy, command, output


def comparable(text):
    """Without the owner, who is whoever runs the tests, and without spaces at the ends of lines."""
    return re.sub(r"[ \t]+$", "", re.sub(r"owner \d+( \([^)]*\))?", "owner", text), flags=re.M)


def test_the_documentation_explains_what_happens():
    with Cluster() as cluster:
        cluster.start_master()
        source = f"{cluster.dir}/source"
        for path, size in FILES.items():
            make_file(source + path, size)
        cluster.attach("/", source)
        seen = 0
        for page, policy, command, output in documented():
            write(f"{cluster.dir}/policy.toml", policy)
            argv = [f"{BIN}/hearth", "--master", cluster.master_address, *command.split()[1:]]
            answer = subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd=cluster.dir)
            check(answer.returncode == 0, f"{page}: {command}: {answer.stderr}")
            if os.environ.get("HEARTH_UPDATE_DOCS") == "1":
                text = open(page, encoding="utf-8").read()
                clean = re.sub(r"[ \t]+$", "", answer.stdout, flags=re.M)
                write(page, text.replace(f"$ {command}\n{output}", f"$ {command}\n{clean}"))
            else:
                check(comparable(answer.stdout) == comparable(output),
                      f"{page}: {command} answers\n{answer.stdout}\nand the page says\n{output}\n(HEARTH_UPDATE_DOCS=1 writes it anew)")
            seen += 1
        check(seen >= 8, f"{seen} examples were found")


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
