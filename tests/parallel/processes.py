"""What tests with real processes need: an end to every wait, and a death while a file is written."""

import contextlib
import signal
import subprocess
import sys
import textwrap
import time

from harness.record.checkpoint import load_checkpoint
from tests.tree import ROOT

SAVING = """
from pathlib import Path
from harness.record.checkpoint import save_checkpoint
{begin}
place = Path({place!r})
session.step()
save_checkpoint(place, session.state_dict())
print("saved", flush=True)
while True:
    session.step()
    save_checkpoint(place, session.state_dict())
"""


@contextlib.contextmanager
def limit(seconds):
    """Fail rather than hang."""

    def late(*_):
        raise AssertionError(f"still running after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def killed_while_saving(begin, place):
    """What a process has saved, which is killed while it saves a `session` step after step."""
    code = SAVING.format(begin=textwrap.dedent(begin), place=str(place))
    argv = [sys.executable, "-c", code]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "saved\n"
        time.sleep(0.3)
        process.kill()
        process.wait(20)
    return load_checkpoint(place)
