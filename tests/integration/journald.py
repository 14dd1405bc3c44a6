"""Journald fields on a live journal socket: a receiver that takes nothing but the native protocol, byte for byte.

The protocol: https://systemd.io/JOURNAL_NATIVE_PROTOCOL/. The receiver's socket is bind-mounted to where the journal has its
own, in a mount namespace of the process under test.
"""
import array
import fcntl
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.cluster import BIN, Cluster, Failure, check, need, run_tests  # noqa: E402

F_GET_SEALS, ALL_SEALS = 1034, 0xF
KEY = re.compile(rb"[A-Z][A-Z0-9_]{0,63}")

# "$1" is the directory of the receiver's socket, or "" for no journal at all; the rest is the command.
WITH_JOURNAL = """
set -e
journal=$1; shift
mkdir -p /run && mount -t tmpfs none /run
if [ -n "$journal" ]; then mkdir -p /run/systemd/journal && mount --bind "$journal" /run/systemd/journal; fi
exec "$@"
"""


def parse(data):
    """One entry of the native protocol; anything that is not is a failure."""
    fields = {}
    at = 0
    while at < len(data):
        end = data.index(b"\n", at)
        line = data[at:end]
        if b"=" in line:
            key, value = line.split(b"=", 1)
            at = end + 1
        else:
            key = line
            length, = struct.unpack_from("<Q", data, end + 1)
            value = data[end + 9:end + 9 + length]
            check(len(value) == length and data[end + 9 + length:end + 10 + length] == b"\n", f"{key!r}: its length and newline")
            at = end + 10 + length
        check(KEY.fullmatch(key), f"a field name of the journal: {key!r}")
        fields.setdefault(key.decode(), []).append(value)
    for name in ("MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "HEARTH_EVENT"):
        check(len(fields.get(name, [])) == 1, f"{name} once: {list(fields)}")
    check(fields["PRIORITY"][0] in b"0 1 2 3 4 5 6 7".split(), f"a priority: {fields['PRIORITY']}")
    return {key: values[0] for key, values in fields.items()}


class Journal:
    def __init__(self, directory):
        self.directory = os.path.join(directory, "journal")
        os.makedirs(self.directory)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"{self.directory}/socket")
        self.by_memfd = set()

    def receive(self, seconds):
        self.socket.settimeout(max(seconds, 0.001))
        data, ancillary, flags, _ = self.socket.recvmsg(16 << 20, socket.CMSG_SPACE(4))
        check(not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC), "a datagram fits")
        if not ancillary:
            return parse(data)
        check(data == b"" and len(ancillary) == 1, "a descriptor comes alone")
        fd = array.array("i", ancillary[0][2])[0]
        try:
            check(fcntl.fcntl(fd, F_GET_SEALS) & ALL_SEALS == ALL_SEALS, "the memfd is sealed, or the journal would refuse it")
            with open(f"/proc/self/fd/{fd}", "rb") as f:
                entry = parse(f.read())
        finally:
            os.close(fd)
        self.by_memfd.add(entry["HEARTH_EVENT"])
        return entry

    def collect(self, until, seconds=15):
        """Entries by event, until the event `until` came."""
        entries = {}
        limit = time.monotonic() + seconds
        while until not in entries:
            try:
                entry = self.receive(limit - time.monotonic())
            except socket.timeout:
                raise Failure(f"no {until!r} within {seconds} s; there were {sorted(entries)}")
            entries[entry["HEARTH_EVENT"]] = entry
        return entries


def in_namespace(journal, *argv):
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", WITH_JOURNAL, "sh", journal, *argv]


def probe(journal):
    return subprocess.run(in_namespace(journal, f"{BIN}/hearth-journal-probe"), capture_output=True, timeout=60, text=True)


class Scratch:
    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="hearth-journal-")
        return self.dir

    def __exit__(self, *_):
        shutil.rmtree(self.dir, ignore_errors=True)


def test_a_worker_logs_fields():
    with Cluster() as cluster:
        journal = Journal(cluster.dir)
        cluster.start_master()
        worker = subprocess.Popen(in_namespace(journal.directory, f"{BIN}/hearth-worker",
                                               "--set", f"worker.master={cluster.master_address}",
                                               "--set", "worker.listen=127.0.0.1:0",
                                               "--set", f"worker.local_socket={cluster.socket_of(1)}",
                                               "--set", "worker.memory.capacity=64MiB",
                                               "--set", "log.format=journal"), stderr=subprocess.PIPE)
        try:
            entries = journal.collect(until=b"master_registered")
        finally:
            worker.terminate()
            _, errors = worker.communicate(timeout=30)
        check(worker.returncode == 0 and errors == b"", f"nothing is said twice: {errors!r}")
        entry = entries[b"master_registered"]
        check(entry["SYSLOG_IDENTIFIER"] == b"hearth-worker" and entry["PRIORITY"] == b"6", f"who and how grave: {entry}")
        check(entry["MESSAGE"].startswith(b"master_registered"), f"a line for people: {entry}")
        check(entry["HEARTH_MASTER"] == cluster.master_address.encode() and entry["HEARTH_WORKER"].isdigit(), f"each field is a field: {entry}")


def test_the_service_manager_chooses_the_journal():
    with Cluster() as cluster:
        journal = Journal(cluster.dir)
        master = subprocess.Popen(in_namespace(journal.directory, "env", "JOURNAL_STREAM=8:1", f"{BIN}/hearth-master",
                                               "--set", f"master.data_dir={cluster.dir}/m", "--set", "master.listen=127.0.0.1:0"),
                                  stderr=subprocess.DEVNULL)
        try:
            entry = journal.receive(15)
        finally:
            master.terminate()
            master.wait(30)
        check(entry["SYSLOG_IDENTIFIER"] == b"hearth-master", f"it came without being asked for: {entry}")


def test_any_bytes_and_any_length_arrive():
    with Scratch() as directory:
        journal = Journal(directory)
        command = subprocess.Popen(in_namespace(journal.directory, f"{BIN}/hearth-journal-probe"), stderr=subprocess.PIPE)
        entries = journal.collect(until=b"probe_large")
        _, errors = command.communicate(timeout=30)
        check(command.returncode == 0 and errors == b"", f"the probe: {errors!r}")
        plain, binary, empty, large = (entries[name] for name in (b"probe_plain", b"probe_binary", b"probe_empty", b"probe_large"))
        check(plain["HEARTH_PATH"] == b"/a b" and plain["HEARTH_BYTES"] == b"42" and plain["HEARTH_MIXED_KEY"] == b"x", f"{plain}")
        check(binary["HEARTH_PATH"] == b"line one\nline two\0end \xff\xfe"[:24], f"newline, zero and other bytes: {binary}")
        check(b"\n" not in binary["MESSAGE"], "the line for people stays one line")
        check(empty["HEARTH_PATH"] == b"", f"{empty}")
        check(large["HEARTH_BLOB"] == b"x" * (16 << 20) + b"\nlast", "16 MiB, byte for byte")
        check(b"probe_large" in journal.by_memfd and b"probe_plain" not in journal.by_memfd, "what fits no datagram comes as a memfd")
        check([entries[e]["PRIORITY"] for e in (b"probe_plain", b"probe_binary", b"probe_empty", b"probe_large")] == [b"7", b"6", b"4", b"3"],
              "levels become priorities")


def test_without_a_journal_standard_error_gets_the_message():
    done = probe("")
    check(done.returncode == 0, f"the probe: {done.returncode}")
    lines = [line.split(" ")[0] for line in done.stderr.splitlines()]
    check(lines == ["probe_plain", "probe_binary", "probe_empty", "probe_large"], f"each record once, without field syntax: {lines}")


def test_a_journal_that_died_is_like_none():
    with Scratch() as directory:
        journal = Journal(directory)
        journal.socket.close()
        done = probe(journal.directory)
        check(done.returncode == 0 and "probe_plain" in done.stderr, f"refused, so said on standard error: {done.stderr[:200]!r}")


if __name__ == "__main__":
    need(os.geteuid() == 0 and shutil.which("unshare"), "root and unshare for mount namespaces")
    run_tests(sys.modules[__name__])
