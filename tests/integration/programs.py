"""Programs that people run, on a writable mount over a local directory: rsync, PostgreSQL, find and grep, editors, git."""
import glob
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.cluster import check, need, oracle, run_tests, wait_for, write_file  # noqa: E402
from writing import content, run, writable  # noqa: E402

MIB = 1 << 20


def program(name, *others):
    found = next((path for path in map(shutil.which, (name, *others)) if path), None)
    need(found, name)
    return found


def described(path):
    """All that a copy has to keep of one file, by name, and which hard link group it is of."""
    info = os.lstat(path)
    what = {"type": stat.S_IFMT(info.st_mode), "mode": oct(info.st_mode & 0o7777), "owner": (info.st_uid, info.st_gid),
            "links": info.st_nlink if not stat.S_ISDIR(info.st_mode) else 0}
    if not stat.S_ISLNK(info.st_mode):
        what["attributes"] = {name: os.getxattr(path, name) for name in sorted(os.listxattr(path))}
    if stat.S_ISREG(info.st_mode):
        what["content"] = content(path)
        what["mtime_ns"] = info.st_mtime_ns
    elif stat.S_ISLNK(info.st_mode):
        what["target"] = os.readlink(path)
    elif stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode):
        what["device"] = info.st_rdev
    return what, info.st_ino


def tree_of(top):
    tree, groups = {}, {}
    for directory, names, files in os.walk(top):
        for name in [*names, *files]:
            path = os.path.join(directory, name)
            relative = os.path.relpath(path, top)
            tree[relative], inode = described(path)
            if tree[relative]["links"] > 1:
                groups.setdefault(inode, []).append(relative)
    return tree, sorted(sorted(group) for group in groups.values())


def shortened(value):
    return f"{len(value)} bytes" if isinstance(value, bytes) and len(value) > 40 else repr(value)


def check_same(one, other, what):
    (one_tree, one_groups), (other_tree, other_groups) = tree_of(one), tree_of(other)
    names = sorted(one_tree.keys() ^ other_tree.keys())
    check(not names, f"{what}: only in one of the two: {names[:10]}")
    for name, expected in one_tree.items():
        for key, value in expected.items():
            found = other_tree[name].get(key)
            check(found == value, f"{what}: {name}: {key} is {shortened(found)}, not {shortened(value)}")
    check(one_groups == other_groups, f"{what}: the hard links are {other_groups}, not {one_groups}")


def make_tree(tree):
    os.makedirs(f"{tree}/sub/deep")
    for i in range(120):
        write_file(f"{tree}/sub/f{i}", oracle(f"r{i}", 1, 700 * i))
    write_file(f"{tree}/sub/big", oracle("big", 1, 8 * MIB + 5))
    write_file(f"{tree}/empty", b"")
    write_file(f"{tree}/sub/strange \n'\xe4\" name".encode("latin-1"), b"raw bytes")
    for i in range(3):
        os.link(f"{tree}/sub/f7", f"{tree}/hard{i}")
    os.link(f"{tree}/sub/big", f"{tree}/sub/deep/big")
    os.symlink("sub/f2", f"{tree}/soft")
    os.symlink("/nowhere", f"{tree}/sub/dangling")
    os.mkfifo(f"{tree}/fifo")
    with open(f"{tree}/sparse", "wb") as f:
        f.write(oracle("sparse", 1, 70_000))
        f.seek(40 * MIB)
        f.write(oracle("sparse", 2, 70_000))
        f.truncate(64 * MIB)
    os.chown(f"{tree}/sub/f4", 1234, 2345)
    os.chmod(f"{tree}/sub/f3", 0o6751)
    os.chmod(f"{tree}/sub/deep", 0o3770)
    os.setxattr(f"{tree}/sub/f5", "user.one", b"value")
    os.setxattr(f"{tree}/sub/f5", "user.two", bytes(range(256)))
    os.setxattr(f"{tree}/sub", "user.of.a.directory", b"\0")
    run("setfacl", "-m", "u:1234:rw,g:2345:r,m::rw", f"{tree}/sub/f6")
    # Not one whose mask is the group's own entry: rsync's copies of those differ on every file system.
    run("setfacl", "-m", "d:u:1234:rwx,u:4321:x,g::rx,m::rwx", f"{tree}/sub/deep")
    os.utime(f"{tree}/sub/f8", ns=(10**18 + 1, 10**18 + 987_654_321))


def rsync(source, target, *flags):
    """What it transferred or changed: its lines of -i."""
    out = run("rsync", "-aHAXSi", "--numeric-ids", "--delete", *flags, f"{source}/", f"{target}/", seconds=120)
    return sorted(line for line in out.splitlines() if line.strip())


def test_rsync_there_and_back():
    program("rsync")
    program("setfacl")
    cluster, source, (mount,) = writable()
    with cluster:
        tree, back = f"{cluster.dir}/tree", f"{cluster.dir}/back"
        make_tree(tree)
        check(len(rsync(tree, f"{mount}/t")) > 120, "the first run copies")
        check_same(tree, f"{mount}/t", "on the mount")
        check_same(tree, f"{source}/t", "in the under-store")
        check(os.stat(f"{mount}/t/sparse").st_blocks * 512 < 2 * MIB, "the sparse file has its holes")
        check(rsync(tree, f"{mount}/t") == [], "a second run has nothing to do")
        check(rsync(tree, f"{mount}/t", "--checksum") == [], "nor has one that compares the bytes")
        rsync(f"{mount}/t", back)
        check_same(tree, back, "back again")
        check(rsync(f"{mount}/t", back) == [], "back again: a second run has nothing to do")

        write_file(f"{tree}/sub/f9", oracle("changed", 1, 5000))
        with open(f"{tree}/sub/big", "r+b") as f:
            f.seek(3 * MIB)
            f.write(b"changed in the middle")
        os.unlink(f"{tree}/sub/f10")
        os.chmod(f"{tree}/sub/f11", 0o600)
        os.rename(f"{tree}/hard1", f"{tree}/sub/deep/hard1")
        done = rsync(tree, f"{mount}/t", "--no-whole-file", "--inplace")
        moved = [line.split()[-1] for line in done if line.startswith((">f", "<f"))]
        check(sorted(moved) == ["sub/big", "sub/f9"] or sorted(moved) == ["sub/deep/big", "sub/f9"], f"what changed is transferred, and no more: {done}")
        check_same(tree, f"{mount}/t", "after changes")
        check_same(tree, f"{source}/t", "after changes, in the under-store")
        check(rsync(tree, f"{mount}/t") == [], "after changes, a second run has nothing to do")


class Postgres:
    """A server whose data directory is on the mount, run by a user who is not root."""

    def __init__(self, cluster, data):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"))
        need(found, "PostgreSQL (Debian: postgresql)")
        self.bin = os.path.dirname(found[-1])
        self.user = pwd.getpwnam("postgres")
        self.data = data
        self.run_dir = f"{cluster.dir}/pg"
        os.makedirs(self.run_dir)
        os.chown(self.run_dir, self.user.pw_uid, self.user.pw_gid)
        self.log = f"{self.run_dir}/log"
        self.server = None

    def command(self, name, *words):
        return [f"{self.bin}/{name}", *words]

    def identity(self):
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": [], "cwd": self.run_dir,
                "env": {"PATH": os.environ["PATH"], "HOME": self.run_dir, "PGHOST": self.run_dir, "PGUSER": "postgres",
                        "PGDATABASE": "postgres", "LC_ALL": "C", "PGCONNECT_TIMEOUT": "10"}}

    def do(self, name, *words, seconds=60):
        return run(*self.command(name, *words), seconds=seconds, **self.identity())

    def ask(self, question):
        return self.do("psql", "-XAtq", "-c", question).strip()

    def start(self):
        options = ["-k", self.run_dir, "-c", "listen_addresses=", "-c", "shared_buffers=16MB", "-c", "max_wal_size=64MB"]
        with open(self.log, "ab") as log:  # a child of ours: once it is waited for, its number is free
            self.server = subprocess.Popen(self.command("postgres", "-D", self.data, *options), stdout=log, stderr=log,
                                           stdin=subprocess.DEVNULL, **self.identity())
        ready = self.command("pg_isready", "-q")
        wait_for("the server answers", lambda: self.server.poll() is not None or
                 subprocess.run(ready, timeout=20, **self.identity()).returncode == 0, 60)
        check(self.server.poll() is None, f"the server ended with {self.server.returncode}:\n{self.tail()}")

    def tail(self):
        return b"\n".join(content(self.log).splitlines()[-25:]).decode(errors="replace")

    def family(self):
        """The server's processes that live, by what they are and not by whose children: orphans of a killed one count."""
        found = []
        for entry in os.scandir("/proc"):
            try:
                if entry.name.isdigit() and os.readlink(f"/proc/{entry.name}/cwd") == self.data:
                    found.append(int(entry.name))
            except OSError:
                pass  # it ended meanwhile
        return found

    def stop(self):
        self.server.send_signal(signal.SIGINT)  # a fast shutdown
        check(self.server.wait(30) == 0, f"the server stops orderly:\n{self.tail()}")

    def kill(self, numbers):
        for number in numbers:
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.server is not None:
            self.server.wait(20)
        wait_for("the server's processes are gone", lambda: not self.family(), 20)


def check_balances(postgres, acknowledged):
    """pgbench adds each delta to an account, a teller and a branch, and notes it, in one transaction."""
    sums = postgres.ask("select (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers), "
                        "(select sum(bbalance) from pgbench_branches), (select coalesce(sum(delta), 0) from pgbench_history)")
    check(len(set(sums.split("|"))) == 1, f"accounts, tellers, branches and history have the same sum: {sums}")
    kept = int(postgres.ask("select count(*) from pgbench_history"))
    check(kept >= acknowledged, f"{acknowledged} transactions were acknowledged, {kept} are there")
    return kept


def test_postgresql_is_killed_and_recovers():
    cluster, source, (mount,) = writable()
    with cluster:
        data = f"{mount}/data"
        postgres = Postgres(cluster, data)
        os.makedirs(data, mode=0o700)
        os.chown(data, postgres.user.pw_uid, postgres.user.pw_gid)
        try:
            postgres.do("initdb", "-D", data, "-k", "-A", "trust", "-U", "postgres", "--locale=C", "-E", "UTF8", "-N")
            postgres.start()
            postgres.do("pgbench", "-i", "-q", "-s", "1")
            for number in range(2):
                bench = subprocess.Popen(
                    postgres.command("pgbench", "-n", "-c", "6", "-j", "2", "-T", "60", "-l", f"--log-prefix={postgres.run_dir}/round{number}"),
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **postgres.identity())
                try:
                    before = int(postgres.ask("select count(*) from pgbench_history"))
                    # Each looks through a new connection, as the clients' transactions go on.
                    wait_for("200 transactions", lambda: int(postgres.ask("select count(*) from pgbench_history")) > before + 200, 40)
                    check(bench.poll() is None, "pgbench is running when the server is killed")
                    killed = postgres.family()
                    check(postgres.server.pid in killed and len(killed) > 6, f"the server's processes: {killed}")
                    postgres.kill(killed if number == 0 else [postgres.server.pid])
                finally:
                    try:
                        bench.wait(20)  # its clients lost their server
                    except subprocess.TimeoutExpired:
                        bench.kill()
                        bench.wait()
                        raise
                length = os.path.getsize(postgres.log)
                postgres.start()
                check(b"automatic recovery in progress" in content(postgres.log)[length:], f"it recovers:\n{postgres.tail()}")
                logs = glob.glob(f"{postgres.run_dir}/round*")
                kept = check_balances(postgres, sum(content(path).count(b"\n") for path in logs))
                print(f"    {kept} transactions after kill {number + 1}")
            postgres.do("pgbench", "-n", "-c", "6", "-j", "2", "-t", "30")
            check_balances(postgres, kept + 180)
            postgres.ask("vacuum full pgbench_accounts")
            postgres.ask("reindex table pgbench_history")
            postgres.stop()
            found = postgres.do("pg_checksums", "--check", "-D", data)
            check("Bad checksums:  0" in found, f"every page has its checksum: {found}")
            in_store = postgres.do("pg_checksums", "--check", "-D", f"{source}/data")
            check(in_store == found, f"and the same pages are in the under-store: {in_store}")
        finally:
            postgres.kill(postgres.family())


def test_find_and_grep_see_the_same_tree():
    rg, repository = program("rg"), os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
    cluster, source, (mount,) = writable()
    with cluster:
        run("sh", "-c", f"mkdir {mount}/tree && cd {repository} && tar -c --exclude __pycache__ bench c[!m]* docs fuse master tests tiering understore worker | "
                        f"tar -C {mount}/tree -xp")

        def seen(*command):
            at = {}
            for top in (f"{source}/tree", f"{mount}/tree"):
                done = subprocess.run(command, cwd=top, capture_output=True, timeout=60, env=dict(os.environ, LC_ALL="C"))
                check(done.returncode == 0, f"{command} at {top} ended with {done.returncode}: {done.stderr[-500:]}")
                at[top] = sorted(done.stdout.splitlines())
            one, other = at.values()
            different = sorted(set(one) ^ set(other))
            check(one == other, f"{' '.join(command)}: {len(one)} lines in the store, {len(other)} on the mount; different: {different[:6]}")
            return len(one)

        # A directory has no length there.
        names = seen("find", ".", "-printf", "%p %y %m %U %G %n %T@ %l\\n")
        seen("find", ".", "-type", "f", "-printf", "%p %s\\n")
        check(names > 500, f"a tree that is worth it: {names} names")
        seen("find", ".", "-type", "f", "-size", "+20k", "-exec", "cksum", "{}", "+")
        hits = seen("grep", "-rnIF", "#include", ".")
        check(seen(rg, "-nF", "--no-heading", "-uu", "#include") > 500 and hits > 500, f"grep finds: {hits}")
        check(seen(rg, "-c", "-uu", "--mmap", r"\breturn\s+(true|false)\b") > 50, "ripgrep finds through mappings")


def test_editors_save_files():
    vim = program("vim", "vim.tiny")
    cluster, source, (mount, other) = writable(ttl="200ms", mounts=2)
    with cluster:
        path = f"{mount}/text"
        lines = [f"line {i}" for i in range(2000)]

        def expect(what, where=None):
            wanted = ("\n".join(lines) + "\n").encode()
            for there in (where or path, (where or path).replace(mount, source, 1)):
                check(content(there) == wanted, f"{what}: {there} has {len(content(there))} bytes, not the {len(wanted)} that were saved")
            wait_for(f"{what}: the other mount sees it", lambda: content((where or path).replace(mount, other, 1)) == wanted, 5)
            odd = [name for name in os.listdir(mount) if name not in ("text", "hard")]
            check(not odd, f"{what}: files that it made are gone again: {odd}")

        def edit(number, text, *settings):
            words = [word for line in (*settings, f"{number}s/.*/{text}/", "wq") for word in ("-c", line)]
            run(vim, "-es", "-u", "NONE", "-i", "NONE", "-N", "-c", "set swapfile fsync backupskip=", *words, path, seconds=30,
                env=dict(os.environ, HOME=cluster.dir))
            lines[number - 1] = text

        write_file(path, ("\n".join(lines) + "\n").encode())
        os.chmod(path, 0o640)
        os.chown(path, 1234, 2345)
        for number, settings in enumerate((["set nowritebackup"], ["set writebackup backupcopy=yes"], ["set writebackup backupcopy=no"], [])):
            with open(path, "rb") as reader:
                inode, first = os.fstat(reader.fileno()).st_ino, reader.read(6)
                edit(10 + number, f"edited {number}", *settings)
                expect(f"vim with {settings}")
                info = os.stat(path)
                check((oct(info.st_mode & 0o777), info.st_uid, info.st_gid) == ("0o640", 1234, 2345), f"vim with {settings}: mode and owner stay: {info}")
                if "backupcopy" in "".join(settings):
                    check((info.st_ino != inode) == ("backupcopy=no" in settings[0]), f"vim with {settings}: a new file only where that was asked for")
                check(first == b"line 0", "an older handle reads on")
        os.link(path, f"{mount}/hard")
        edit(20, "through a hard link")
        check(os.stat(path).st_ino == os.stat(f"{mount}/hard").st_ino, "vim keeps hard links")
        expect("vim at a file with two names")
        expect("and its other name", f"{mount}/hard")
        os.unlink(f"{mount}/hard")

        run("sed", "-i", "s/^line 30$/by sed/", path)
        lines[30] = "by sed"
        expect("sed -i")
        for number in range(40):  # what careful programs do
            lines[40 + number] = f"version {number}"
            directory = os.open(mount, os.O_RDONLY | os.O_DIRECTORY)
            fresh = os.open(f"{mount}/.text.new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
            os.write(fresh, ("\n".join(lines) + "\n").encode())
            os.fsync(fresh)
            os.close(fresh)
            os.rename(f"{mount}/.text.new", path)
            os.fsync(directory)
            os.close(directory)
            check(content(path) == content(f"{source}/text") == ("\n".join(lines) + "\n").encode(), f"saved by rename, time {number}")
        expect("a file that was replaced 40 times")


def test_git_with_thousands_of_files():
    files = 5200
    program("git")
    cluster, source, (mount,) = writable()
    environment = dict(os.environ, GIT_AUTHOR_NAME="t", GIT_AUTHOR_EMAIL="t@t", GIT_COMMITTER_NAME="t",
                       GIT_COMMITTER_EMAIL="t@t", HOME=cluster.dir)
    with cluster:
        def git(at, *words):
            return run("git", "-C", at, "-c", "gc.auto=0", *words, env=environment, seconds=200)

        origin, there, back = f"{cluster.dir}/origin", f"{mount}/repo", f"{cluster.dir}/back"
        git(cluster.dir, "init", "-q", "-b", "main", origin)
        stream = [b"commit refs/heads/main\ncommitter t <t@t> 1700000000 +0000\ndata 4\none\n\n"]
        for i in range(files):
            data = oracle(f"G{i}", 1, 100 + i % 900)
            stream.append(f"M 100644 inline d{i % 40}/e{i % 7}/f{i}\ndata {len(data)}\n".encode() + data + b"\n")
        made = subprocess.run(["git", "-C", origin, "fast-import", "--quiet"], input=b"".join(stream), capture_output=True, timeout=60)
        check(made.returncode == 0, f"a repository is made: {made.stderr[-500:]}")
        git(mount, "clone", "-q", "--no-local", f"file://{origin}", there)
        check(git(there, "status", "--porcelain") == "", "a fresh clone has no changes")
        check(len(git(there, "ls-files").splitlines()) == files, "all files are in it")
        for i in range(0, files, 13):
            write_file(f"{there}/d{i % 40}/e{i % 7}/f{i}", oracle(f"G{i}", 2, 300))
        os.rename(f"{there}/d3", f"{there}/moved")
        git(there, "add", "-A")
        git(there, "commit", "-qm", "two")
        git(there, "gc", "-q", "--prune=now")
        git(there, "fsck", "--full", "--strict")
        check(git(there, "status", "--porcelain") == "", "no changes after gc")
        run("git", "clone", "-q", "--no-local", f"file://{there}", back, env=environment)
        for repository in (there, f"{source}/repo"):
            run("diff", "-r", "-x", ".git", repository, back)
        log = git(there, "log", "--stat", "--oneline", "-M", "-1")
        check(re.search(r"\d+ files changed", log), f"the second commit is there: {log[-300:]}")


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
