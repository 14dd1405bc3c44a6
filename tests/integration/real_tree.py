"""A real tree of at least 30,000 files reads byte-identical through mount, client and command line,
cold and warm, with 1 and 16 readers, with a memory tier ten times smaller than the tree."""
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.cluster import BIN, Cluster, check, run_tests, seed  # noqa: E402

TREES = ["/usr/include", "/usr/share"]
MORE_TREES = ["/usr/lib/python3", "/usr/lib/x86_64-linux-gnu", "/usr/lib"]  # on a machine where those are small


def count(tree):
    files = size = 0
    for root, _, names in os.walk(tree):
        for name in names:
            path = os.path.join(root, name)
            if os.path.isfile(path) and not os.path.islink(path):
                files += 1
                size += os.path.getsize(path)
    return files, size


def tree_check(*flags):
    result = subprocess.run([f"{BIN}/hearth-tree-check", *flags], capture_output=True, text=True, timeout=1200)
    check(result.returncode == 0, f"hearth-tree-check {' '.join(flags)}: {result.stdout}{result.stderr[-2000:]}")
    return dict(pair.split("=") for pair in result.stdout.split())


def test_every_byte_of_a_real_tree():
    random = seed()
    trees, counts = list(TREES), [count(tree) for tree in TREES]
    for more in MORE_TREES:
        if sum(c[0] for c in counts) < 30_000:
            trees.append(more)
            counts.append(count(more))
    files, size = (sum(c) for c in zip(*counts))
    check(files >= 30_000, f"the machine's own trees hold {files} files; 30,000 are needed")
    memory = max(size // 10, 16 << 20) // (1 << 20)
    print(f"    {files} files, {size >> 20} MiB, memory tier {memory} MiB", flush=True)
    with Cluster(memory=f"{memory}MiB", metadata_ttl="60s") as cluster:
        cluster.start()
        for tree in trees:
            cluster.attach("/" + os.path.basename(tree), tree)
        mount = cluster.mount().mountpoint
        for threads, when in ((16, "cold"), (1, "again"), (16, "again")):
            for tree in trees:
                name = os.path.basename(tree)
                got = tree_check("--source", tree, "--mount", f"{mount}/{name}", "--threads", str(threads),
                                 "--seed", str(random.randrange(1 << 30)))
                print(f"    mount, {when}, {threads} readers: {name} {got}", flush=True)
        for tree in trees:
            name = os.path.basename(tree)
            for threads in (16, 1):
                got = tree_check("--source", tree, "--master", cluster.master_address, "--namespace", "/" + name,
                                 "--threads", str(threads))
                print(f"    client, {threads} readers: {name} {got}", flush=True)
            out = os.path.join(cluster.dir, "got")
            cluster.cli("get", "/" + name, out, timeout=600)
            differ = subprocess.run(["diff", "-r", "--no-dereference", tree, out], capture_output=True, text=True, errors="replace")
            check(differ.returncode == 0, f"hearth get of {name} differs: {differ.stdout[:2000]}")
            shutil.rmtree(out)


def test_warm_reads_come_from_memory():
    # More small files than the process may have descriptors: short blocks must not take one each.
    tree = TREES[0]
    files, size = count(tree)
    print(f"    {tree}: {files} files, {size >> 20} MiB", flush=True)
    with Cluster(memory="2GiB", metadata_ttl="60s") as cluster:
        cluster.start()
        cluster.attach("/include", tree)
        cluster.cli("load", "/include", timeout=600)
        before = cluster.settled_fetched_bytes()
        tree_check("--source", tree, "--master", cluster.master_address, "--namespace", "/include", "--threads", "16")
        after = cluster.settled_fetched_bytes()
        check(after == before, f"a loaded tree is read without the under-store ({after - before} bytes fetched)")


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
