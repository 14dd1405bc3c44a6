"""kill -9 at random moments of a process that works on an NVMe tier: the next one finds no wrong byte and nothing leaked.

HEARTH_KILLS is how often (default 60), HEARTH_SEED repeats the moments and the work of an earlier run.
"""
import os
import random
import select
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.cluster import BIN, check, run_tests  # noqa: E402

KILLS = int(os.environ.get("HEARTH_KILLS", "60"))
SEED = int(os.environ.get("HEARTH_SEED", str(random.SystemRandom().randrange(1 << 32))))
PROGRAM = os.path.join(BIN, "hearth-tier-torture")
START_LIMIT = 60


class Life:
    """One process, from its start to its kill."""

    def __init__(self, directory, seed, engine):
        self.process = subprocess.Popen([PROGRAM, "--directory", directory, "--seed", str(seed), "--engine", engine],
                                        stdout=subprocess.PIPE)
        self.text = b""

    def read_until(self, deadline, wanted):
        """Collects output until a line starts with `wanted` or the moment has come; whether the line came."""
        while not any(line.startswith(wanted) for line in self.lines()):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                return False
            piece = os.read(self.process.stdout.fileno(), 65536)
            if not piece:
                return False
            self.text += piece
        return True

    def lines(self):
        return self.text.decode().splitlines()

    def kill(self):
        self.process.kill()
        self.text += self.process.stdout.read()
        code = self.process.wait()
        return code

    def last_pages(self):
        counts = [int(line.split()[1]) for line in self.lines() if line.startswith("pages ")]
        return counts[-1] if counts else None


def torture(engine, kills):
    dice = random.Random(SEED)
    directory = tempfile.mkdtemp(prefix="hearth-tier-kill-", dir=os.environ.get("HEARTH_SCRATCH", "/var/tmp"))
    early = verified = recovered_total = before_total = orphans = 0
    before = None
    try:
        for number in range(kills):
            life = Life(directory, dice.randrange(1 << 32), engine)
            where = f"kill {number} of HEARTH_SEED={SEED}, engine {engine}"
            if dice.random() < 0.2:  # while it still recovers and verifies
                life.read_until(time.monotonic() + dice.random() * 0.15, "verified")
                if not any(line.startswith("verified") for line in life.lines()):
                    early += 1
            else:
                check(life.read_until(time.monotonic() + START_LIMIT, "verified"), f"{where}: {life.lines()[-1:]}")
                life.read_until(time.monotonic() + dice.random() * 0.4, "nothing")
            code = life.kill()
            wrong = [line for line in life.lines() if not line.startswith(("verified", "pages"))]
            check(code == -9 and not wrong, f"{where}: ended with {code}: {wrong[:3]}")
            for line in life.lines():
                if line.startswith("verified"):
                    words = line.split()
                    verified += 1
                    orphans += int(words[7])
                    if before is not None:
                        recovered_total += int(words[3])
                        before_total += before
            before = life.last_pages()
        print(f"    {engine}: {kills} kills ({early} during recovery), {verified} times verified; "
              f"{recovered_total} pages recovered of {before_total} at the last count, {orphans} orphan files removed")
        check(verified > 0, "no life came to work: nothing was verified")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def test_kills_with_io_uring_or_what_there_is():
    torture("automatic", KILLS * 3 // 4)


def test_kills_with_threads():
    torture("threads", KILLS - KILLS * 3 // 4)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
