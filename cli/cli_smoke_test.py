#!/usr/bin/env python3
"""The command line end to end: a real `hearth up`, every command as text and as JSON, every class of error.

cli_smoke_test.py --bin DIR    DIR holds hearth, hearth-master, hearth-worker, hearth-fuse
"""
import argparse
import base64
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

BIN = pathlib.Path()
CAN_MOUNT = os.geteuid() == 0 and os.path.exists("/dev/fuse")
BAD_NAME = b"odd\xff\nname"


def mounts_below(directory):
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as info:
        return [line.split()[4] for line in info if line.split()[4].startswith(str(directory))]


def processes_with(text):
    """Processes of Hearth whose command line names `text`."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"hearth" in os.path.basename(words[0]) and any(str(text).encode() in word for word in words):
            found.append(int(entry.name))
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Area(unittest.TestCase):
    """A directory of its own, an environment that finds nothing else, and nothing left behind."""

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="hearth-cli-"))
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("HEARTH_")}
        self.env["HEARTH_RUNTIME_DIR"] = str(self.dir / "run")
        self.source = self.dir / "source"
        self.make_source()

    def tearDown(self):
        self.hearth("up", "--stop", "--data-dir", self.dir / "state", code=None)
        left_mounts = mounts_below(self.dir)
        left_processes = processes_with(self.dir)
        for mount in left_mounts:
            subprocess.run(["umount", "-l", mount], check=False)
        for pid in left_processes:
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.dir)
        self.assertEqual(left_mounts, [], "left mounted")
        self.assertEqual(left_processes, [], "left running")

    def make_source(self):
        random.seed(7)
        (self.source / "sub").mkdir(parents=True)
        (self.source / "small").write_text("hello\n")
        (self.source / "empty").write_bytes(b"")
        (self.source / "sub" / "big").write_bytes(random.randbytes(5_000_000))
        (self.source / "link").symlink_to("small")
        with open(os.fsencode(self.source) + b"/" + BAD_NAME, "wb") as file:
            file.write(b"odd bytes")
        os.chmod(self.source / "small", 0o640)
        os.utime(self.source / "small", ns=(10**18, 10**18 + 7))

    def run_words(self, words, **options):
        options.setdefault("env", self.env)
        if "input" not in options:
            options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run([os.fspath(word) if not isinstance(word, str) else word for word in words],
                              capture_output=True, timeout=60, check=False, **options)

    def hearth(self, *words, code=0):
        done = self.run_words([BIN / "hearth", *words])
        if code is not None:
            self.assertEqual(done.returncode, code, f"{words}\n{done.stdout.decode(errors='replace')}\n{done.stderr.decode(errors='replace')}")
        return done

    def text(self, *words, code=0):
        return self.hearth(*words, code=code).stdout.decode(errors="surrogateescape")

    def json(self, *words, code=0):
        return json.loads(self.hearth(*words, "--json", code=code).stdout)

    def refused(self, code, *words, says):
        """An error is one sentence on standard error, and the same in the JSON document."""
        done = self.hearth(*words, code=code)
        said = done.stderr.decode()
        self.assertIn(says, said)
        self.assertEqual(said.count("\n"), 1, said)
        error = self.json(*words, code=code)["error"]
        self.assertEqual(error["exit_code"], code)
        self.assertIn(says, error["message"])

    def wait_for(self, condition):
        deadline = time.monotonic() + 20
        while not condition():
            self.assertLess(time.monotonic(), deadline, "it did not happen within 20 s")

    def up(self, *words):
        return self.json("up", self.source, "--at=/data", "--port=0", "--memory=64MiB", "--background",
                         "--data-dir", self.dir / "state", *words)


class Commands(Area):
    def setUp(self):
        super().setUp()
        self.state = self.up()

    def test_up_says_what_runs_and_status_agrees(self):
        self.assertEqual(self.state["attachments"], [{"path": "/data", "uri": f"file://{self.source}"}])
        status = self.json("up", "--status", "--data-dir", self.dir / "state")
        self.assertEqual((status["pid"], status["master"]), (self.state["pid"], self.state["master"]))
        self.assertIn("stop  hearth up --stop", self.text("up", "--status"))
        self.assertEqual((self.dir / "state" / "master.address").read_text(), self.state["master"] + "\n")
        self.assertEqual(oct((self.dir / "run").stat().st_mode & 0o777), "0o750")

    def test_ls(self):
        self.assertEqual(self.text("ls", "/data").split("\n")[0], "empty")
        long = self.text("ls", "-l", "/data/small")
        self.assertTrue(long.startswith("-rw-r-----"), long)
        entries = self.json("ls", "-R", "/data")["paths"][0]["entries"]
        big = next(entry for entry in entries if entry["path"] == "/data/sub/big")
        self.assertEqual((big["type"], big["length_bytes"]), ("file", 5_000_000))
        odd = next(entry for entry in entries if "name_base64" in entry)
        self.assertEqual(base64.b64decode(odd["name_base64"]), BAD_NAME)

    def test_stat(self):
        self.assertIn("-rw-r-----", self.text("stat", "/data/small"))
        status = self.json("stat", "/data/small")["paths"][0]
        self.assertEqual((status["mode"], status["length_bytes"]), ("0640", 6))
        self.assertEqual(status["modified_at"], "2001-09-09T01:46:40.000000007Z")
        self.assertIsInstance(status["inode"], str)
        self.assertEqual(self.json("stat", "/data/link")["paths"][0]["symlink_target"], "small")

    def test_cat_is_binary_safe_and_goes_on_after_an_error(self):
        self.assertEqual(self.hearth("cat", "/data/sub/big").stdout, (self.source / "sub" / "big").read_bytes())
        self.assertEqual(self.hearth("cat", os.fsencode("/data/") + BAD_NAME).stdout, b"odd bytes")
        mixed = self.hearth("cat", "/data/small", "/data/none", "/data/empty", "/data/small", code=3)
        self.assertEqual(mixed.stdout, b"hello\nhello\n")
        document = self.json("cat", "/data/small", "/data/none", code=3)
        self.assertEqual(base64.b64decode(document["files"][0]["content_base64"]), b"hello\n")
        self.assertEqual(document["files"][1]["error"]["code"], "not_found")

    def test_cat_is_quiet_when_the_reader_goes_away(self):
        line = f"'{BIN}/hearth' cat /data/sub/big | head -c 1 >/dev/null; echo ${{PIPESTATUS[0]}}"
        done = self.run_words(["bash", "-c", line])
        self.assertEqual((done.stdout, done.stderr), (b"141\n", b""))

    def test_get_copies_a_tree_with_modes_and_times(self):
        target = self.dir / "copy"
        document = self.json("get", "/data", target)
        self.assertEqual((document["files"], document["failed_files"]), (5, 0))
        self.assertEqual((target / "sub" / "big").read_bytes(), (self.source / "sub" / "big").read_bytes())
        self.assertEqual((target / "small").stat().st_mode & 0o7777, 0o640)
        self.assertEqual((target / "small").stat().st_mtime_ns, 10**18 + 7)
        self.assertEqual(os.readlink(target / "link"), "small")
        self.assertEqual(sorted(os.listdir(os.fsencode(target))), sorted(os.listdir(os.fsencode(self.source))))
        self.assertIn("copied 1 files", self.hearth("get", "/data/small", self.dir / "one").stderr.decode())
        self.hearth("get", "/data/small", target / "sub")
        self.assertTrue((target / "sub" / "small").exists())

    def names(self, directory):
        return sorted(os.listdir(os.fsencode(directory)))

    def test_put_copies_a_tree_that_appears_whole(self):
        local = self.dir / "local"
        (local / "deep").mkdir(parents=True)
        content = random.Random(3).randbytes(9_000_001)
        (local / "deep" / "big").write_bytes(content)
        (local / "empty").write_bytes(b"")
        (local / "tool").write_text("#!/bin/sh\n")
        os.chmod(local / "tool", 0o750)
        os.chmod(local / "deep", 0o710)
        os.utime(local / "tool", ns=(10**18, 10**18 + 9))
        os.utime(local / "deep", ns=(10**18, 10**18 + 11))
        (local / "soft").symlink_to("deep/big")
        os.mkfifo(local / "fifo")
        with open(os.fsencode(local) + b"/" + BAD_NAME, "wb") as file:
            file.write(b"odd")
        os.umask(0o022)
        self.refused(1, "put", local, "/data/tree", says="hearth put -r")
        document = self.json("put", "-r", local, "/data/tree")
        self.assertEqual((document["files"], document["bytes"], document["failed_files"], document["skipped_files"]), (5, 9_000_014, 0, 1))
        there = self.source / "tree"
        names = sorted([b"deep", b"empty", b"tool", b"soft", BAD_NAME])
        self.assertEqual(self.names(there), names, "and nothing is left beside")
        self.assertEqual((there / "deep" / "big").read_bytes(), content)
        self.assertEqual(self.hearth("cat", "/data/tree/deep/big").stdout, content)
        self.assertEqual((there / "tool").stat().st_mode & 0o7777, 0o750)
        self.assertNotEqual((there / "tool").stat().st_mtime_ns, 10**18 + 9)
        self.assertEqual(os.readlink(there / "soft"), "deep/big")
        # Once more, over what is there, with times: into the existing directory under its own name.
        self.json("put", "-r", "--preserve", local, "/data/tree")
        again = there / "local"
        self.assertEqual(((again / "tool").stat().st_mtime_ns, (again / "deep").stat().st_mtime_ns), (10**18 + 9, 10**18 + 11))
        self.assertEqual((again / "deep").stat().st_mode & 0o7777, 0o710)
        self.json("put", "-r", "-p", local, "/data/tree")
        self.assertEqual(self.names(again), names, "and again over them")

    def test_put_of_one_file_and_of_standard_input(self):
        (self.dir / "one").write_text("first")
        self.assertIn("copied 1 files, 5 B", self.hearth("put", self.dir / "one", "/data/sub").stderr.decode())
        self.assertEqual(self.text("cat", "/data/sub/one"), "first")
        (self.dir / "one").write_text("second")
        self.hearth("put", self.dir / "one", "/data/sub/one")
        self.assertEqual(self.text("cat", "/data/sub/one"), "second", "replaced")
        words = [BIN / "hearth", "put", "-", "/data/sub/piped"]
        done = self.run_words(words, input=b"x" * 5_000_000)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((self.source / "sub" / "piped").read_bytes(), b"x" * 5_000_000)
        self.refused(1, "put", "-", "/data/sub", says="name a file in it")
        self.refused(5, "put", self.dir / "absent", "/data/x", says="absent")
        self.refused(5, "put", self.dir / "one", "/data/no/where", says="hearth mkdir -p /data/no")
        self.refused(5, "put", self.dir / "one", "/above", says="/above lies in no attachment")
        self.assertEqual([name for name in self.names(self.source) + self.names(self.source / "sub") if b"hearth-put" in name], [])

    def test_cp_copies_within_the_namespace(self):
        self.hearth("cp", "/data/small", "/data/copy")
        self.assertEqual((self.source / "copy").read_text(), "hello\n")
        self.assertEqual((self.source / "copy").stat().st_mode & 0o7777, 0o640)
        self.hearth("cp", "-p", "/data/small", "/data/sub")
        self.assertEqual((self.source / "sub" / "small").stat().st_mtime_ns, 10**18 + 7)
        document = self.json("cp", "-r", "/data/sub", "/data/sub2")
        self.assertEqual((document["files"], document["bytes"]), (2, 5_000_006))
        self.assertEqual((self.source / "sub2" / "big").read_bytes(), (self.source / "sub" / "big").read_bytes())
        self.refused(2, "cp", "-r", "/data/sub", "/data/sub/below", says="into itself")
        self.refused(2, "cp", "/data/small", "/data/small", says="into itself")
        self.refused(1, "cp", "/data/sub", "/data/x", says="hearth cp -r")
        self.refused(5, "cp", "/data/none", "/data/x", says="/data/none")

    def test_names_are_made_moved_and_linked(self):
        self.assertEqual(self.hearth("mkdir", "/data/new").stderr, b"")
        self.refused(1, "mkdir", "/data/new", says="exists")
        self.hearth("mkdir", "-p", "/data/new", "/data/a/b/c")
        self.assertTrue((self.source / "a" / "b" / "c").is_dir())
        self.refused(5, "mkdir", "/data/x/y", says="x/y")
        self.refused(1, "mkdir", "-p", "/data/small/y", says="/data/small is not a directory")
        made = self.json("mkdir", "-m", "2775", "/data/shared")["paths"][0]
        self.assertEqual((made["type"], made["mode"]), ("directory", "2775"))
        self.refused(2, "mkdir", "-m", "worldwide", "/data/y", says="no mode")

        moved = self.json("mv", "/data/small", "/data/a/renamed")
        self.assertEqual((moved["destination"], moved["length_bytes"]), ("/data/a/renamed", 6))
        self.hearth("mv", "/data/a", "/data/new")
        self.assertEqual((self.source / "new" / "a" / "renamed").read_text(), "hello\n")
        self.refused(1, "mv", "-n", "/data/empty", "/data/new/a/renamed", says="exists")
        self.hearth("mv", "/data/empty", "/data/new/a/renamed")
        self.assertEqual((self.source / "new" / "a" / "renamed").read_text(), "")
        self.refused(5, "mv", "/data/none", "/data/x", says="none")

        self.hearth("ln", "-s", "../sub/big", "/data/new/soft")
        self.assertEqual(os.readlink(self.source / "new" / "soft"), "../sub/big")
        self.hearth("ln", "/data/sub/big", "/data/new")
        self.assertEqual((self.source / "new" / "big").stat().st_nlink, 2)
        self.refused(2, "ln", "big", "/data/x", says="use -s")

    def test_attributes_are_changed(self):
        self.hearth("touch", "/data/made", "/data/small")
        self.assertEqual((self.source / "made").read_bytes(), b"")
        self.assertGreater((self.source / "small").stat().st_mtime_ns, 10**18 + 10**17)
        self.hearth("touch", "-c", "/data/none")
        self.assertFalse((self.source / "none").exists())
        self.hearth("chmod", "u=rw,go=r", "/data/small", "/data/made")
        self.assertEqual((self.source / "small").stat().st_mode & 0o7777, 0o644)
        self.assertEqual(self.json("chmod", "0600", "/data/small")["paths"][0]["mode"], "0600")
        self.hearth("chmod", "-R", "a+rX", "/data/sub")
        self.assertEqual((self.source / "sub" / "big").stat().st_mode & 0o777, 0o644)
        self.assertEqual(self.json("chmod", "-R", "g-w", "/data/sub")["changed"], 2)
        self.refused(1, "chmod", "0600", "/data/link", says="is a symlink")
        self.refused(2, "chmod", "rw", "/data/small", says="no mode")
        self.refused(5, "chmod", "0600", "/data/none", says="none")
        self.hearth("chown", f":{os.getegid()}", "/data/small")
        self.refused(2, "chown", "no-such-user-anywhere", "/data/small", says="no user")
        self.refused(2, "chown", ":", "/data/small", says="OWNER:GROUP")
        if os.geteuid() == 0:
            self.hearth("chown", "-R", "12345:12346", "/data/sub", "/data/link")
            for name in ("sub", "sub/big", "link"):
                info = (self.source / name).lstat()
                self.assertEqual((info.st_uid, info.st_gid), (12345, 12346), name)
            self.assertEqual((self.source / "small").stat().st_uid, 0, "what a symlink leads to is left alone")

    def test_changes_are_refused_over_tcp_and_in_read_only_attachments(self):
        self.refused(6, "mkdir", "/data/x", f"--master={self.state['master']}", says="Unix socket")
        frozen = self.dir / "frozen"
        frozen.mkdir()
        self.text("attach", "/frozen", frozen, "--read-only")
        self.refused(1, "mkdir", "/frozen/x", says="read-only")
        self.refused(1, "put", self.source / "small", "/frozen/x", says="read-only")
        self.assertEqual(os.listdir(frozen), [])

    def test_load_locate_explain_and_free(self):
        self.assertIn("loaded 4 files", self.text("load", "/data"))
        self.assertEqual(self.json("load", "/data", "-j", "2")["bytes"], 5_000_015)
        block = self.json("locate", "/data/sub/big")["files"][0]["blocks"][0]
        self.assertTrue(block["replicas"][0]["complete"])
        self.assertIn("100.0%", self.text("locate", "/data/sub/big"))
        explained = self.json("explain", "/data/sub/big")
        self.assertEqual((explained["resident_bytes"], explained["attachment_path"]), (5_000_000, "/data"))
        self.assertIn("short circuit", self.text("explain", "/data/sub/big"))
        self.assertGreaterEqual(self.json("free", "-R", "/data")["freed_bytes"], 5_000_000)
        self.assertEqual(self.json("explain", "/data/sub/big")["resident_bytes"], 0)
        self.assertIn("freed 0 blocks", self.text("free", "/data/sub/big"))
        # Right after a load: the master has not heard of the blocks yet.
        self.text("load", "/data/sub/big")
        self.assertEqual(self.json("free", "/data/sub/big")["freed_bytes"], 5_000_000)
        self.assertEqual(self.json("explain", "/data/sub/big")["resident_bytes"], 0)
        self.refused(1, "free", "/data", says="hearth free -R")

    def test_load_says_when_later_files_pushed_out_earlier_ones(self):
        random.seed(9)
        (self.source / "many").mkdir()
        for number in range(12):
            (self.source / "many" / f"f{number:02}").write_bytes(random.randbytes(8 << 20))
        fits = self.json("load", "/data/sub")
        self.assertEqual((fits["bytes"], fits["resident_bytes"]), (5_000_000, 5_000_000))
        document = self.json("load", "/data/many", "-j", "1", code=3)
        self.assertEqual((document["files"], document["bytes"], document["failures"]), (12, 96 << 20, []))
        self.assertGreater(document["resident_bytes"], 32 << 20)
        self.assertLessEqual(document["resident_bytes"], 64 << 20)
        said = self.hearth("load", "/data/many", code=3).stderr.decode()
        self.assertIn("of these 96.0 MiB only", said)
        self.assertIn("pushed out", said)
        self.assertIn("worker.memory.capacity", said)
        self.assertEqual(said.count("\n"), 1, said)

    def test_load_lists_what_failed(self):
        document = self.json("load", "/data/small", "/data/none", code=3)
        self.assertEqual(document["failures"][0]["path"], "/data/none")
        self.assertIn("/data/none", self.hearth("load", "/data/small", "/data/none", code=3).stderr.decode())
        self.refused(5, "load", "/data/none", says="/data/none")

    def test_attach_and_detach(self):
        other = self.dir / "other"
        other.mkdir()
        self.text("attach", "/more/deep", other, "--metadata-ttl=10s", "--placement=hash", "--serve-stale=until_ttl")
        attached = self.json("attachments")["attachments"][1]
        self.assertEqual((attached["uri"], attached["metadata_ttl_ms"], attached["placement"], attached["serve_stale"]),
                         (f"file://{other}", 10000, "hash", "until_ttl"))
        self.assertIn("/more/deep", self.text("attachments"))
        self.text("detach", "/more/deep")
        self.assertEqual(len(self.json("attachments")["attachments"]), 1)
        self.refused(5, "detach", "/more/deep", says="/more/deep")
        self.refused(5, "attach", "/x", self.dir / "absent", says="absent")

    def test_attach_takes_options_for_the_store_and_the_store_refuses_unknown_ones(self):
        self.refused(2, "attach", "/y", self.source, "--option", "endpoint=http://127.0.0.1:9", says="it takes none")
        self.refused(2, "attach", "/y", self.source, "--option=endpoint", says="NAME=VALUE")
        self.refused(2, "attach", "/y", self.source, "-o", "a=1", "-o", "a=2", says="given twice")
        self.assertEqual(self.json("attachments")["attachments"][0]["store_options"], {})

    def test_policy(self):
        policy = self.dir / "policy.toml"
        policy.write_text('[[rule]]\nname = "sub"\npath = "/data/sub/**"\ntier = "nvme"\n')
        self.assertIn("1 rules, 0 quotas; valid", self.text("policy", "check", policy))
        self.assertTrue(self.json("policy", "check", policy)["valid"])
        self.assertIn("none was applied", self.text("policy", "show"))
        self.assertIn("is valid; nothing was changed", self.text("policy", "apply", policy, "--dry-run"))
        self.assertIn("version 1 is in force; it was no policy", self.text("policy", "apply", policy, "--comment=a test"))
        self.assertIn("has this text already", self.text("policy", "apply", policy))
        self.assertIn("a test", self.text("policy", "history"))
        self.assertIn("rule 'sub', line 4", self.text("policy", "explain", "/data/sub/big"))
        self.assertIn("rule 'sub', line 4", self.text("explain", "/data/sub/big"))
        self.assertEqual(self.json("explain", "/data/sub/big")["policy"]["attributes"][0]["rule"], "sub")
        self.assertIn('+name = "sub"', self.text("policy", "diff"))
        policy.write_text("[defaults]\nreplicas = 0\n")
        self.refused(2, "policy", "apply", policy, says=f"{policy}:2:1: error: replicas is 0; allowed is 1 to 16")
        self.refused(2, "policy", "explain", "/data/small", "--file", policy, says=":2:1:")
        self.refused(2, "policy", "rollback", "first", says="is not a policy version")
        self.refused(5, "policy", "rollback", "9", says="version 9 is not kept")
        self.refused(2, "policy", "apply", says="hearth policy apply FILE")
        self.refused(2, "policy", "aply", policy, says="apply")
        policy.write_text("# nothing\n")
        self.assertEqual(self.json("policy", "apply", policy)["version"], 2)
        self.assertIn("version 3 is in force, with the text of version 1", self.text("policy", "rollback", "1"))
        self.assertTrue(self.json("policy", "show", "--version=3")["in_force"])
        self.assertIn("runs version", self.text("policy", "show"))
        self.assertIn("# The policy file", self.text("policy", "reference"))

    def test_report_workers_doctor_version(self):
        self.assertIn("1 live, 0 lost", self.text("report"))
        self.assertEqual(self.json("report")["capacity_bytes"], 64 << 20)
        worker = self.json("workers")["workers"][0]
        self.assertEqual((worker["state"], worker["address"]), ("live", self.state["worker"]))
        self.assertIn(worker["address"], self.text("workers"))
        self.assertEqual(self.hearth("cat", "/data/sub/big").stdout, (self.source / "sub" / "big").read_bytes())
        self.wait_for(lambda: int(self.json("workers")["workers"][0]["fetched_bytes"]) >= 5_000_000)
        self.assertGreater(int(self.json("report")["fetches"]), 0)
        self.assertIn(" 0.0% saved", self.text("report"), "a first read saves nothing, though readahead fetched just before")
        checks = {check["check"]: check["verdict"] for check in self.json("doctor", code=None)["checks"]}
        self.assertEqual(checks["workers"], "ok")
        self.assertIn("/dev/fuse", self.text("doctor", code=None))
        self.assertEqual(self.json("version")["master_version"], self.json("version")["version"])

    def test_errors_have_their_exit_codes(self):
        self.refused(5, "stat", "/data/none", says="/data/none")
        self.refused(1, "cat", "/data/sub", says="/data/sub")
        self.refused(2, "stat", "/data/../etc", says="/data/../etc")
        self.refused(2, "ls", "--lnog", says="did you mean --long?")
        self.refused(2, "statt", "/", says="did you mean `hearth stat`?")
        self.refused(2, "fs", "mount", "/a", says="hearth attach")
        self.refused(2, "attach", "/y", self.source, "--block-size=10", says="--block-size")
        self.refused(4, "ls", "/", "--master=127.0.0.1:1", "--timeout=300ms", says="127.0.0.1:1")

    def test_a_second_up_on_the_same_directory_is_refused(self):
        words = ("up", "--port=0", "--data-dir", self.dir / "state")
        self.refused(1, *words, "--background", says=f"process {self.state['pid']}")
        self.refused(1, *words, says="hearth up --stop")

    def test_a_port_in_use_is_named_and_nothing_is_left(self):
        port = self.state["master"].split(":")[1]
        self.refused(1, "up", "--port", port, "--data-dir", self.dir / "state2", "--background", says=port)
        self.refused(1, "up", "--port", port, "--data-dir", self.dir / "state2", says=port)
        self.assertEqual(processes_with(self.dir / "state2"), [])
        self.assertEqual(self.json("up", "--status", "--data-dir", self.dir / "state2"), {"running": False})

    def test_up_keeps_its_attachments_over_a_restart(self):
        self.assertEqual(self.json("up", "--stop"), {"stopped": True})
        self.assertEqual(self.json("up", "--stop"), {"stopped": False})
        self.refused(4, "ls", "/", "--timeout=300ms", says="hearth up")
        again = self.json("up", "--port=0", "--background", "--data-dir", self.dir / "state")
        self.assertEqual(again["attachments"], self.state["attachments"])
        self.assertEqual(self.text("cat", "/data/small"), "hello\n")


class WithoutCluster(Area):
    def test_policy_test_replays_a_trace(self):
        trace = self.dir / "loop.csv"
        trace.write_text("time,id,size\n" + "".join(f"{i},{i % 10},4096\n" for i in range(1000)))
        policy = self.dir / "trace.toml"
        policy.write_text('[tier.memory]\neviction = "lru"\n[[rule]]\nname = "none"\nmin_size = "1MiB"\nadmission = "never"\n')
        table = self.text("policy", "test", "--trace", trace, "--memory=64KiB")
        for eviction in ("lru", "s3-fifo", "w-tinylfu"):
            self.assertRegex(table, rf"{eviction} +1000 +3.91 MiB +99.00 %")
        # A loop of ten pages in memory for eight: LRU loses all of them, and nvme below holds the rest.
        small = self.json("policy", "test", "--trace", trace, "--memory=32KiB", "--policy", policy)["runs"][0]
        self.assertEqual((small["eviction"], small["total"]["fetches"], small["rules"][0]["rule"]), ("lru", 1000, "[defaults]"))
        both = self.json("policy", "test", "--trace", trace, "--memory=32KiB", "--nvme=32KiB", "--eviction=lru",
                         "--request-price=5")["runs"][0]["total"]
        self.assertEqual((both["fetches"], both["memory_hits"] + both["nvme_hits"], both["cost"]), (10, 990, 0.05))
        self.refused(2, "policy", "test", says="needs a trace")
        self.refused(2, "policy", "test", "--trace", trace, "--eviction=lru,best", says='eviction "best" is not known')
        self.refused(5, "policy", "test", "--trace", self.dir / "absent", says="can not be opened")
        trace.write_text("1,2,3\n1,2\n")
        self.refused(1, "policy", "test", "--trace", trace, says="line 2: fewer than three columns")

    def test_policy_test_applies_rules_by_owner_and_tenant(self):
        trace = self.dir / "golden.trace"  # the golden bytes of docs/formats/trace.md: one read of 1001's /b.parquet for bi
        page = pathlib.Path(__file__).resolve().parent.parent / "docs/formats/trace.md"
        golden = re.findall(r"^\| (?:header|files|tenants|record) \| `([0-9a-f ]+)` \|$", page.read_text(), re.MULTILINE)
        trace.write_bytes(bytes.fromhex("".join(golden)))
        policy = self.dir / "who.toml"

        def deciding(condition):
            policy.write_text(f'[[rule]]\nname = "who"\n{condition}\nadmission = "never"\n')
            run = self.json("policy", "test", "--trace", trace, "--memory=64MiB", "--policy", policy)["runs"][0]
            return run["rules"][0]["rule"]

        for condition in ('owner = "1001"', 'tenant = "bi"', 'owner = "1001"\ntenant = ["ml", "bi"]'):
            self.assertEqual(deciding(condition), "who", condition)
        for condition in ('owner = "0"', 'owner = "root"', 'tenant = "ml"', 'owner = "1001"\ntenant = "ml"'):
            self.assertEqual(deciding(condition), "[defaults]", condition)

    def test_help_completion_and_config(self):
        self.assertIn("usage: hearth COMMAND", self.text())
        self.assertIn("--metadata-ttl", self.text("help", "attach"))
        self.assertEqual(self.text("attach", "--help"), self.text("help", "attach"))
        self.assertIn("help", self.json("help"))
        for shell in ("bash", "zsh", "fish"):
            script = self.text("completion", shell)
            self.assertIn("attach", script)
            if shutil.which(shell):
                self.assertEqual(self.run_words([shell, "-n", "-c", script] if shell == "bash" else [shell, "-c", ":"]).returncode, 0)
        self.assertEqual(self.json("version", "--timeout=200ms")["master_version"], None)
        self.assertIn("script", self.json("completion", "bash"))
        self.refused(2, "help", "atach", says="did you mean")

    def test_config_says_what_is_wrong_and_where(self):
        good = self.dir / "worker.toml"
        good.write_text('[worker.memory]\ncapacity = "2GiB"\n[master]\nlisten = ["x:1"]\n')
        self.text("config", "check", "worker", "--config", good)
        shown = self.text("config", "show", "worker", "--origin", "--config", good, "--set", "worker.fetch_timeout=9s")
        self.assertRegex(shown, r"worker\.memory\.capacity +\"2GiB\" +\S*worker\.toml:2")
        self.assertRegex(shown, r"worker\.fetch_timeout +\"9s\" +--set")
        fields = {field["key"]: field for field in self.json("config", "show", "worker", "--config", good)["fields"]}
        self.assertTrue(fields["worker.memory.capacity"]["origin"].endswith("worker.toml:2"))
        bad = self.dir / "bad.toml"
        bad.write_text('[worker.memory]\ncapcity = "2GiB"\n')
        self.refused(2, "config", "check", "worker", "--config", bad, says="capacity")
        self.refused(2, "config", "show", "worker", "--set", "worker.memory.capacity=12", says="worker.memory.capacity")
        self.refused(2, "config", "show", says="name the process")

    def test_up_begins_with_a_policy_or_says_what_is_wrong_with_it(self):
        policy = self.dir / "policy.toml"
        policy.write_text("[defaults]\nreplcas = 2\n")
        self.refused(2, "up", "--port=0", "--data-dir", self.dir / "state", "--policy", policy, says=f"{policy}:2:1: error: unknown key")
        policy.write_text("[defaults]\nreplicas = 2\n")
        self.up("--policy", policy)
        self.assertEqual(self.json("policy", "show")["text"], policy.read_text())

    def test_up_refuses_wrong_words_before_it_starts_anything(self):
        data = ("--data-dir", self.dir / "state", "--background")
        self.refused(5, "up", self.dir / "absent", *data, says="absent")
        self.refused(5, "up", "--mount", self.dir / "absent", *data, says="mount point")
        self.refused(1, "up", "--mount", self.source / "small", *data, says="not a directory")
        self.refused(2, "up", "--port=70000", *data, says="70000")
        self.refused(2, "up", "--at=/x", *data, says="--at=/x")
        self.refused(2, "up", "--memory=64", *data, says="--memory")
        self.assertFalse((self.dir / "state").exists())

    def test_up_in_the_foreground_ends_on_sigterm(self):
        process = subprocess.Popen([BIN / "hearth", "up", self.source, "--port=0", "--data-dir", self.dir / "state", "--json"],
                                   env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.wait_for(lambda: self.json("up", "--status", "--data-dir", self.dir / "state")["running"])
        self.assertEqual(self.text("cat", "/source/small"), "hello\n")
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=30)
        self.assertEqual((process.returncode, errors), (0, ""))
        self.assertTrue(json.loads(out)["running"])


class Daemons(Area):
    """hearth-master, hearth-worker and hearth-fuse as systemd starts them."""

    def setUp(self):
        super().setUp()
        self.running = []

    def tearDown(self):
        try:
            for process in reversed(self.running):
                self.end(process)
        finally:
            super().tearDown()

    def start(self, program, *words):
        """Starts a daemon and waits for READY=1 as systemd would."""
        path = str(self.dir / f"{program}.notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(path)
            notify.settimeout(30)
            process = subprocess.Popen([BIN / program, *words], env={**self.env, "NOTIFY_SOCKET": path},
                                       stderr=subprocess.PIPE, text=True)
            self.running.append(process)
            said = notify.recv(4096).decode()
        os.unlink(path)
        self.assertTrue(said.startswith("READY=1"), said)
        return process, said.split("STATUS=")[1]

    def end(self, process):
        if process.stderr.closed:
            return ""
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        errors = process.communicate(timeout=30)[1]
        self.assertEqual(process.returncode, 0, errors)
        return errors

    def start_master(self):
        return self.start("hearth-master", "--set", f"master.data_dir={self.dir}/master", "--set", "master.listen=127.0.0.1:0")

    def test_they_say_in_one_sentence_what_is_wrong(self):
        cases = [
            (["hearth-master", "--set", "master.lsiten=x"], 2, "master.listen"),
            (["hearth-master", "--frob"], 2, "no option --frob"),
            (["hearth-master", "--config", self.dir / "absent.toml"], None, "absent.toml"),
            (["hearth-worker", "--set", "worker.memory.capacity=1"], 2, "worker.memory.capacity"),
            (["hearth-worker", "--set", "metrics.listen=nonsense"], 2, "nonsense"),
            (["hearth-fuse"], 2, "needs MOUNTPOINT"),
            (["hearth-fuse", self.dir / "absent", "--set", "mount.master=127.0.0.1:1"], None, ""),
        ]
        for words, code, says in cases:
            done = self.run_words([BIN / words[0], *words[1:]])
            said = done.stderr.decode()
            self.assertNotEqual(done.returncode, 0, said)
            if code is not None:
                self.assertEqual(done.returncode, code, said)
            self.assertTrue(said.startswith(words[0] + ": ") and says in said and said.count("\n") == 1, said)

    def test_master_second_instance_reload_and_stop(self):
        master, address = self.start_master()
        second = self.run_words([BIN / "hearth-master", "--set", f"master.data_dir={self.dir}/master", "--set", "master.listen=127.0.0.1:0"])
        self.assertEqual(second.returncode, 1, second.stderr)
        self.assertTrue(second.stderr.splitlines()[-1].startswith(b"hearth-master: "), second.stderr)
        taken = self.run_words([BIN / "hearth-master", "--set", f"master.data_dir={self.dir}/m2", "--set", f"master.listen={address}"])
        self.assertEqual(taken.returncode, 1, taken.stderr)
        self.assertIn(address.encode(), taken.stderr.splitlines()[-1])
        master.send_signal(signal.SIGHUP)
        self.text("attachments", "--master", address)
        self.assertIn("reloaded", self.end(master))

    def test_worker_joins_and_serves_metrics(self):
        _, address = self.start_master()
        port = free_port()
        worker, _ = self.start("hearth-worker", "--set", f"worker.master={address}", "--set", "worker.listen=127.0.0.1:0",
                               "--set", f"worker.local_socket={self.dir}/w.sock", "--set", "worker.memory.capacity=64MiB",
                               "--set", f"metrics.listen=127.0.0.1:{port}")
        self.text("attach", "/data", self.source, "--master", address)
        self.assertEqual(self.text("cat", "/data/small", "--master", address), "hello\n")
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            reply = b"".join(iter(lambda: connection.recv(65536), b""))
        self.assertIn(b"200", reply.split(b"\r\n")[0])
        self.assertIn(b"hearth_worker_", reply)
        self.end(worker)

    def test_put_without_a_worker_says_that_one_is_needed(self):
        self.start("hearth-master", "--set", f"master.data_dir={self.dir}/master", "--set",
                   f"master.listen=127.0.0.1:0,unix:{self.dir}/m.sock")
        at = f"--master=unix:{self.dir}/m.sock"
        self.text("attach", "/data", self.source, at)
        self.refused(1, "put", self.source / "small", "/data/x", at, says="start hearth-worker here")
        self.assertFalse((self.source / "x").exists())
        self.hearth("mkdir", "/data/x", at)

    @unittest.skipUnless(CAN_MOUNT, "needs root and /dev/fuse")
    def test_fuse_daemon_mounts_and_unmounts(self):
        _, address = self.start_master()
        self.text("attach", "/data", self.source, "--master", address)
        mountpoint = self.dir / "mnt"
        mountpoint.mkdir()
        fuse, _ = self.start("hearth-fuse", mountpoint, "--set", f"mount.master={address}", "--set", "mount.subtree=/data")
        self.assertEqual((mountpoint / "small").read_text(), "hello\n")
        self.end(fuse)
        self.assertEqual(mounts_below(self.dir), [])


@unittest.skipUnless(CAN_MOUNT, "needs root and /dev/fuse")
class Mounts(Area):
    def setUp(self):
        super().setUp()
        self.mountpoint = self.dir / "mnt"
        self.mountpoint.mkdir()

    def test_up_mounts_and_stop_unmounts(self):
        state = self.up("--mount", self.mountpoint)
        self.assertEqual(state["mountpoint"], str(self.mountpoint))
        self.assertEqual((self.mountpoint / "data" / "sub" / "big").read_bytes(), (self.source / "sub" / "big").read_bytes())
        doctor = self.json("doctor", "--mount", self.mountpoint, code=None)
        self.assertIn({"check": f"mount {self.mountpoint}", "verdict": "ok", "finding": "answers"}, doctor["checks"])
        self.text("up", "--stop")
        self.assertEqual(mounts_below(self.dir), [])

    def test_what_a_killed_up_left_is_cleaned(self):
        state = self.up("--mount", self.mountpoint)
        os.kill(state["pid"], signal.SIGKILL)
        while pathlib.Path(f"/proc/{state['pid']}").exists() and "Z" not in pathlib.Path(f"/proc/{state['pid']}/stat").read_text().split(")")[1]:
            pass
        problems = self.json("doctor", "--mount", self.mountpoint, code=7)
        self.assertIn("stale: its daemon is gone", [check["finding"] for check in problems["checks"]])
        self.assertEqual(self.json("up", "--stop", "--data-dir", self.dir / "state"), {"stopped": False})
        self.assertEqual(mounts_below(self.dir), [])
        self.up("--mount", self.mountpoint)
        self.assertEqual((self.mountpoint / "data" / "small").read_text(), "hello\n")

    def test_mount_umount_and_the_mount_helper(self):
        master = self.up()["master"]
        self.hearth("mount", self.mountpoint, "--subtree=/data")
        self.assertEqual((self.mountpoint / "small").read_text(), "hello\n")
        self.refused(1, "mount", self.mountpoint, says="Hearth mount already")
        with open(self.mountpoint / "small", encoding="utf-8"):
            self.refused(1, "umount", self.mountpoint, says="--lazy")
        self.hearth("umount", self.mountpoint)
        self.refused(5, "umount", self.mountpoint, says="not a mount of Hearth")
        self.refused(5, "mount", self.dir / "absent", says="absent")
        self.refused(2, "mount", self.mountpoint, "-o", "allow_othr", says="allow_other")
        self.refused(4, "mount", self.mountpoint, "--master=127.0.0.1:1", says="127.0.0.1:1")
        helper = self.dir / "mount.hearth"
        helper.symlink_to(BIN / "hearth")
        done = self.run_words([helper, f"hearth://{master}/data", self.mountpoint, "-o", "ro,_netdev,nofail"])
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertEqual((self.mountpoint / "small").read_text(), "hello\n")
        self.hearth("umount", self.mountpoint)
        wrong = self.run_words([helper, "/dev/sda1", self.mountpoint])
        self.assertEqual((wrong.returncode, wrong.stderr.count(b"\n")), (2, 1))


def main():
    global BIN
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    known, rest = parser.parse_known_args()
    BIN = pathlib.Path(known.bin).resolve()
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
