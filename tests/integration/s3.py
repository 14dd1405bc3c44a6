"""A real S3 server (tests/services/s3/): the conformance suite, a tree through mount, client and command line, changes
underneath, refusals in one sentence, and an outage.

What is compared with was written by a client of another make (tests/services/s3/s3_client.py).
"""
import errno
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "services", "s3"))
from server import S3Server  # noqa: E402
from support.cluster import BIN, Cluster, check, oracle, run_tests, seed, wait_for  # noqa: E402

MIB = 1 << 20
BIG = 256 * MIB


def attach(cluster, server, path="/s3", prefix="tree", ttl="500ms", check_exit=True, **options):
    settings = {"endpoint": server.endpoint, "credentials": f"file:{server.credentials_file}", **options}
    flags = [f"--option={name}={value}" for name, value in settings.items()]
    return cluster.cli("attach", path, f"s3://{options.get('bucket', server.bucket)}/{prefix}", "--metadata-ttl", ttl, *flags, check_exit=check_exit)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def make_tree(server, random, files=300):
    """Objects of all sizes and with names that need encoding; returns name -> bytes."""
    client = server.client()
    names = ["with space", "plus+plus", "percent%41", "and&amp;", "question?", "hash#", "equals=", "caf\u00e9", "\u65e5\u672c\u8a9e", "quote\"", "a'b", "semi;colon",
             "tilde~", "x" * 200, "-rf", "...", "back\\slash", "comma,", "at@", "star*"]
    tree = {}
    for i in range(files):
        name = names[i] if i < len(names) else f"f{i}"
        size = random.choice([0, 1, 4095, 65536, random.randrange(200_000), MIB + 1])
        tree[f"d{i % 7}/{'deep/' if i % 3 else ''}{name}"] = oracle(name, 1, size)
    for name, data in tree.items():
        client.put("tree/" + name, data)
    return tree


def test_conformance_suite():
    with S3Server() as server:
        environment = {**os.environ, "HEARTH_TEST_S3_ENDPOINT": server.endpoint, "HEARTH_TEST_S3_BUCKET": server.bucket,
                       "HEARTH_TEST_S3_CREDENTIALS": server.credentials_file}
        result = subprocess.run([f"{BIN}/s3_store_test", "--gtest_filter=S3Real*", "--gtest_brief=1"], env=environment, capture_output=True, text=True, timeout=300)
        check(result.returncode == 0, f"the conformance suite on a real server:\n{result.stdout[-3000:]}")
        check(" 0 tests" not in result.stdout, f"no test ran: {result.stdout}")


def test_tree_through_every_way():
    random = seed()
    with S3Server() as server, Cluster(memory="512MiB") as cluster:
        tree = make_tree(server, random)
        big = oracle("big", 1, 8 * MIB) * (BIG // (8 * MIB))
        server.client().put_parts("tree/big", [big[i:i + 64 * MIB] for i in range(0, BIG, 64 * MIB)])
        cluster.start()
        attach(cluster, server)
        mount = cluster.mount().mountpoint + "/s3"
        for when in ("cold", "warm"):
            start = time.monotonic()
            for name, data in tree.items():
                check(read(f"{mount}/{name}") == data, f"{when}: {name} through the mount")
            print(f"    {when}: {len(tree)} files through the mount in {time.monotonic() - start:.2f} s", flush=True)
            start = time.monotonic()
            check(read(f"{mount}/big") == big, f"{when}: 256 MiB through the mount")
            print(f"    {when}: 256 MiB through the mount in {time.monotonic() - start:.2f} s", flush=True)
            for name in random.sample(sorted(tree), 40):
                check(cluster.cli("cat", f"/s3/{name}", text=False).stdout == tree[name], f"{when}: {name} through the command line")
        seen = {os.path.relpath(os.path.join(root, name), mount) for root, _, names in os.walk(mount) for name in names}
        check(seen == set(tree) | {"big"}, f"the mount lists every key: {seen ^ set(tree)}")
        got = subprocess.run([f"{BIN}/hearth-tree-check", "--source", mount, "--master", cluster.master_address, "--namespace", "/s3", "--threads", "8"],
                             capture_output=True, text=True, timeout=300)
        check(got.returncode == 0, f"client and mount agree: {got.stdout}{got.stderr[-2000:]}")


def test_changes_underneath():
    with S3Server() as server, Cluster() as cluster:
        client = server.client()
        old, new = oracle("f", 1, 9 * MIB), oracle("f", 2, 9 * MIB)
        client.put("tree/f", old)
        cluster.start()
        attach(cluster, server)
        mount = cluster.mount().mountpoint + "/s3"
        check(read(f"{mount}/f") == old, "the first version")
        with open(f"{mount}/f", "rb") as handle:
            check(handle.read(MIB) == old[:MIB], "the open handle reads the first version")
            client.put("tree/f", new)
            took = wait_for("a new open sees the new version", lambda: read(f"{mount}/f") == new, 5)
            print(f"    seen after {took:.2f} s (metadata_ttl 0.5 s)", flush=True)
            try:
                rest = handle.read()
                check(rest == old[MIB:], "an open handle keeps its version")
            except OSError as error:
                check(error.errno == errno.ESTALE, f"an open handle that can not keep its version says ESTALE, not {error}")
        client.put("tree/new/file", b"new")
        wait_for("a new file is seen", lambda: os.path.exists(f"{mount}/new/file"), 5)
        client.delete("tree/f")
        wait_for("a deleted file is gone", lambda: not os.path.exists(f"{mount}/f"), 5)


def refusal(cluster, server, says, exit_code, **changes):
    result = attach(cluster, server, path="/refused", check_exit=False, **changes)
    check(result.returncode == exit_code, f"{changes}: exit {result.returncode}, not {exit_code}: {result.stderr}")
    check(says in result.stderr, f"{changes}: does not say {says!r}: {result.stderr}")
    check(result.stderr.strip().count("\n") <= 1, f"{changes}: more than one sentence: {result.stderr}")
    check(server.secret not in result.stderr, "no secret is shown")


def test_refusals_in_one_sentence():
    with S3Server() as server, Cluster() as cluster:
        server.client().put("tree/f", b"x")
        wrong = os.path.join(server.dir, "wrong")
        with open(os.open(wrong, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write(f"aws_access_key_id={server.access_key}\naws_secret_access_key=canary-wrong-secret\n")
        unknown = os.path.join(server.dir, "unknown")
        with open(os.open(unknown, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write("aws_access_key_id=nobody\naws_secret_access_key=canary-secret\n")
        cluster.start()
        refusal(cluster, server, "SignatureDoesNotMatch", 6, credentials=f"file:{wrong}")
        refusal(cluster, server, "does not know the access key id", 6, credentials=f"file:{unknown}")
        refusal(cluster, server, "can not be opened", 6, credentials="file:/nonexistent/keys")
        refusal(cluster, server, "did you mean region?", 2, regoin="x")
        refusal(cluster, server, "127.0.0.1", 4, endpoint="http://127.0.0.1:1")
        result = cluster.cli("attach", "/refused", "s3://no-such-bucket/x", f"--option=endpoint={server.endpoint}",
                             f"--option=credentials=file:{server.credentials_file}", check_exit=False)
        check(result.returncode == 4 and "NoSuchBucket" in result.stderr, f"a missing bucket: {result.stderr}")
        # The region is learned from the refusal.
        attach(cluster, server, path="/learned", region="eu-west-3")
        check(cluster.cli("cat", "/learned/f", text=False).stdout == b"x", "a wrong region is corrected")
        for process in cluster.processes:
            with open(process.log_path, errors="replace") as f:
                text = f.read()
            check("canary" not in text and server.secret not in text, f"no secret in the log of {process.name}")


def test_dry_run_names_the_step():
    with S3Server() as server, Cluster() as cluster:
        server.client().put("tree/a/f", b"x")

        def steps(uri="s3://bucket/tree", **options):
            settings = {"endpoint": server.endpoint, "credentials": f"file:{server.credentials_file}", **options}
            return cluster.cli("attach", "--dry-run", "/s3", uri, *[f"--option={n}={v}" for n, v in settings.items()], check_exit=False)
        good = steps()
        check(good.returncode == 0, f"access works: {good.stderr}")
        for step in ("options", "resolve", "connect", "http", "credentials", "access", "list", "read"):
            check(f"ok  {step} " in good.stdout, f"{step} is proven: {good.stdout}")
        for step, result in {"options": steps(regoin="x"), "resolve": steps(endpoint="http://no-such-host.invalid:1"), "connect": steps(endpoint="http://127.0.0.1:1"),
                             "credentials": steps(credentials="file:/nonexistent"), "access": steps(uri="s3://no-such-bucket"), "tls": steps(endpoint=f"https://127.0.0.1:{server.port}")}.items():
            check(result.returncode != 0 and f"step {step} failed" in result.stderr, f"{step} is named: {result.stdout}{result.stderr}")
        local = cluster.cli("attach", "--dry-run", "/d", server.dir)
        check("ok  read" in local.stdout, f"any scheme: {local.stdout}")


def test_outage():
    with S3Server() as server, Cluster(memory="256MiB") as cluster:
        client = server.client()
        cached, cold = oracle("cached", 1, 20 * MIB), oracle("cold", 1, MIB)
        client.put("tree/cached", cached)
        client.put("tree/cold", cold)
        cluster.start()
        attach(cluster, server)
        mount = cluster.mount().mountpoint + "/s3"
        check(read(f"{mount}/cached") == cached, "read once")
        check(sorted(os.listdir(mount)) == ["cached", "cold"], "listed once")
        server.kill()
        for _ in range(20):
            check(read(f"{mount}/cached") == cached, "cached reads go on")
        try:
            read(f"{mount}/cold")
            check(False, "what is not cached can not be read")
        except OSError as error:
            check(error.errno in (errno.EIO, errno.ETIMEDOUT, errno.EAGAIN), f"away, not deleted: {error}")
        server.start()
        took = wait_for("reads recover", lambda: recovered(f"{mount}/cold", cold), 20)
        print(f"    recovered {took:.2f} s after the server", flush=True)
        check(took < 10, f"recovery took {took:.1f} s")


def recovered(path, data):
    try:
        return read(path) == data
    except OSError:
        return False


if __name__ == "__main__":
    run_tests(sys.modules["__main__"])
