"""A real S3 server (tests/services/s3/): the conformance suite, a tree through mount, client and command line, changes
underneath, refusals in one sentence, and an outage.

What is compared with was written by a client of another make (tests/services/s3/s3_client.py).
"""
import errno
import os
import subprocess
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "services", "s3"))
from server import S3Double, S3Server  # noqa: E402
from support.cluster import BIN, Cluster, check, free_port, oracle, run_tests, seed, wait_for  # noqa: E402

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
        token = os.path.join(server.dir, "token")
        with open(os.open(token, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write(f"aws_access_key_id={server.access_key}\naws_secret_access_key={server.secret}\naws_session_token=canary-token\n")
        cluster.start()
        refusal(cluster, server, "InvalidToken", 6, credentials=f"file:{token}")
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


def test_a_prefix_without_permission():
    with S3Server() as server, Cluster() as cluster:
        for key in ("tree/open/f", "tree/closed/f"):
            server.client().put(key, oracle(key, 1, 1000))
        bucket = f"arn:aws:s3:::{server.bucket}"
        keys = server.add_user("reader", [
            {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetBucketLocation"], "Resource": [bucket]},
            {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": [f"{bucket}/*"]},
            {"Effect": "Deny", "Action": ["s3:GetObject"], "Resource": [f"{bucket}/tree/closed/*"]}])
        cluster.start()
        attach(cluster, server, credentials=f"file:{keys}")
        mount = cluster.mount().mountpoint + "/s3"
        check(read(f"{mount}/open/f") == oracle("tree/open/f", 1, 1000), "what is not forbidden is read")
        check(sorted(os.listdir(mount)) == ["closed", "open"], f"both are listed: {os.listdir(mount)}")
        try:
            read(f"{mount}/closed/f")
            check(False, "what is forbidden can not be read")
        except PermissionError:
            pass
        result = cluster.cli("cat", "/s3/closed/f", check_exit=False)
        check(result.returncode == 6 and "tree/closed/f" in result.stderr, f"one clear sentence: exit {result.returncode}, {result.stderr}")
        check(read(f"{mount}/open/f") == oracle("tree/open/f", 1, 1000), "and the rest is read on")


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


def test_every_key_that_s3_holds():
    """On the double: no server that keeps objects as files has all of these keys."""
    zoo = ["a b", "a+b", "a%b", "a%2Bb", "a&b", "a?b", "a#b", "a=b", "a&b=c", "a;b", "a,b", "a'b", 'a"b', "a<b>", "a\\b", "a:b", "a@b", "a*b", "~a", "...", "-rf", " ",
           "tab\tb", "new\nline", "\x01", "caf\u00e9", "\u65e5\u672c", "\U0001f525", "x" * 255]
    long = "/".join(["k" * 99] * 10)
    long = "tree/" + long + "/" + "z" * (1024 - len("tree/" + long + "/"))
    no_paths = ["tree//leading", "tree/d//twice", "tree/d/./dot", "tree/d/../dots", "tree/d//", "/outside"]
    with S3Double() as server, Cluster() as cluster:
        client = server.client()
        for key in zoo:
            client.put(f"tree/zoo/{key}", oracle(key, 1, 1000))
        for key in [long, "tree/both", "tree/both/child", "tree/d/ok", "tree/full/y", *no_paths]:
            client.put(key, oracle(key, 1, 1000))
        client.put("tree/marked/", b"")
        client.put("tree/full/", b"bytes in a marker")
        cluster.start()
        attach(cluster, server)
        mount = cluster.mount().mountpoint + "/s3"
        for when in ("cold", "warm"):
            check(sorted(os.listdir(f"{mount}/zoo")) == sorted(zoo), f"{when}: {sorted(os.listdir(mount + '/zoo'))}")
            for key in zoo:
                check(read(f"{mount}/zoo/{key}") == oracle(key, 1, 1000), f"{when}: {key!r}")
            check(len(long) == 1024 and read(f"{mount}/{long[5:]}") == oracle(long, 1, 1000), f"{when}: a key of 1,024 bytes")
            check(not os.path.exists(f"{mount}/{long[5:]}z"), f"{when}: no key is longer")
            # An object that is a prefix too is the file; what lies below it has no path in a file system.
            check(sorted(os.listdir(mount)) == ["both", "d", "full", "k" * 99, "marked", "zoo"], f"{when}: {sorted(os.listdir(mount))}")
            check(read(f"{mount}/both") == oracle("tree/both", 1, 1000), f"{when}: the object of the two")
            try:
                read(f"{mount}/both/child")
                check(False, f"{when}: a file below a file")
            except NotADirectoryError:
                pass
            check(os.listdir(f"{mount}/d") == ["ok"], f"{when}: keys without a path are left out: {os.listdir(mount + '/d')}")
            check(os.path.isdir(f"{mount}/marked") and os.listdir(f"{mount}/marked") == [], f"{when}: a marker is an empty directory")
            check(os.listdir(f"{mount}/full") == ["y"], f"{when}: a marker's bytes have no path")


def test_refusals_that_only_the_double_gives():
    with S3Double() as server, Cluster() as cluster:
        client = server.client()
        for key in ("tree/open/f", "tree/closed/f"):
            client.put(key, oracle(key, 1, 1000))
        cluster.start()
        server.tell("deny tree/closed/")
        attach(cluster, server)
        mount = cluster.mount().mountpoint + "/s3"
        check(read(f"{mount}/open/f") == oracle("tree/open/f", 1, 1000), "what is not forbidden is read")
        try:
            read(f"{mount}/closed/f")
            check(False, "what is forbidden can not be read")
        except PermissionError:
            pass
        shown = cluster.cli("cat", "/s3/closed/f", check_exit=False).stderr
        check("AccessDenied" in shown and "request id req-" in shown and "may not do this" in shown, f"one clear sentence: {shown}")
        for status, code, words in ((400, "ExpiredToken", "have expired"), (403, "RequestTimeTooSkewed", "clock is more than 15 minutes off"),
                                    (403, "InvalidAccessKeyId", "does not know the access key id"), (403, "AccessDenied", "may not do this")):
            server.tell(f"refuse {status} {code}")
            result = attach(cluster, server, path="/refused", check_exit=False)
            check(result.returncode != 0 and code in result.stderr and words in result.stderr and "request id req-" in result.stderr, f"{code}: {result.stderr}")
            check(result.stderr.strip().count("\n") <= 1 and server.secret not in result.stderr, f"one sentence without a secret: {result.stderr}")
            server.tell("forgive")
    with S3Double(clock_offset=3600) as server, Cluster() as cluster:
        cluster.start()
        result = attach(cluster, server, check_exit=False)
        check("this host's clock is more than 15 minutes off" in result.stderr and "RequestTimeTooSkewed" in result.stderr, f"a wrong clock: {result.stderr}")


def breaker_of(port):
    """The worst state of the circuit breakers that a process tells: 0 answers, 1 away, 2 probed."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
        states = [int(float(line.rsplit(" ", 1)[1])) for line in reply.read().decode().splitlines() if line.startswith("hearth_understore_breaker_state{")]
    return max(states, default=0)


def test_the_cache_serves_while_the_breaker_is_open():
    with S3Server() as server, Cluster(memory="256MiB") as cluster:
        client = server.client()
        cached = {f"cached{i}": oracle(f"cached{i}", 1, 3 * MIB) for i in range(8)}
        for name, data in {**cached, **{f"cold{i}": oracle(f"cold{i}", 1, 1000) for i in range(200)}}.items():
            client.put(f"tree/{name}", data)
        metrics = free_port()
        cluster.start_master()
        cluster.start_worker(settings=[f"metrics.listen=127.0.0.1:{metrics}"])
        cluster.wait_live(1)
        attach(cluster, server, ttl="200ms")
        mount = cluster.mount(options=["mount.read_deadline=2s"]).mountpoint + "/s3"
        for name, data in cached.items():
            check(read(f"{mount}/{name}") == data, "read once")
        check(breaker_of(metrics) == 0, "the breaker is closed")
        for i in range(200):
            os.stat(f"{mount}/cold{i}")  # the worker has to be asked for their bytes
        server.kill()
        failures, stop = [], threading.Event()

        def read_what_is_not_cached():
            while not stop.is_set():
                try:
                    read(f"{mount}/cold{len(failures) % 100}")
                    failures.append(None)
                except OSError as error:
                    failures.append(error.errno)
        readers = [threading.Thread(target=read_what_is_not_cached) for _ in range(8)]
        for reader in readers:
            reader.start()
        try:
            reads, opened, start = [0, 0], None, time.monotonic()  # with the breaker closed, and not
            while opened is None or time.monotonic() - opened < 5:
                check(time.monotonic() - start < 90, "the breaker opens")
                for name, data in cached.items():
                    check(read(f"{mount}/{name}") == data, "every cached read succeeds")
                    reads[opened is not None] += 1
                if opened is None and breaker_of(metrics) != 0:
                    opened = time.monotonic()
            said = cluster.cli("cat", "/s3/cold150", "--timeout=5s", check_exit=False)
            check(said.returncode != 0 and "not found" not in said.stderr, f"away, not deleted: {said.stderr}")
        finally:
            stop.set()
            for reader in readers:
                reader.join()
        check(failures and not {None, errno.ENOENT} & set(failures), f"what is not cached fails, and is not taken for deleted: {set(failures)}")
        print(f"    cached reads: {reads[0]} until the breaker opened, {reads[1]} afterwards, all good; {len(failures)} others failed", flush=True)
        server.start()
        back = time.monotonic()
        took = wait_for("cold reads succeed", lambda: recovered(f"{mount}/cold199", oracle("cold199", 1, 1000)), 20)
        check(took < 8, f"recovery took {took:.1f} s")  # 5 s by the clock (guard_test); this machine is shared
        unread = iter(range(100, 199))  # while the worker says "away", the mount reads from the store itself

        def worker_reads_again():
            name = f"cold{next(unread)}"
            check(read(f"{mount}/{name}") == oracle(name, 1, 1000), "the store is back for the mount")
            time.sleep(0.2)
            return breaker_of(metrics) == 0
        wait_for("the worker's breaker is closed", worker_reads_again, 20)
        closed = time.monotonic() - back
        print(f"    the mount reads again {took:.2f} s after the server, its worker {closed:.2f} s", flush=True)
        check(closed < 8, f"the breaker closed after {closed:.1f} s")


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
