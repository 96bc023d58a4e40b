"""The bars on a terminal of 80 columns, read as the terminal would show them."""

import contextlib
import os
import pty
import re
import threading
from dataclasses import replace

import pytest

from harness import cli
from harness.job import Job
from harness.sweep.show import BAR, Bars
from mlp.experiments import PLANS

ARM = "bibd-canonical-fashion-short"
ROW = {"epoch": 3, "train_loss": 0.1413, "test_accuracy": 0.94}


def screen(raw, columns=80):
    """The lines that a terminal shows after these bytes: enough of one for what rich writes."""
    rows, y, x = [[]], 0, 0
    for token in re.findall(r"\x1b\[\??[\d;]*[A-Za-z]|[^\x1b]", raw.decode(), re.S):
        if token.startswith("\x1b[") and token[-1] == "A":
            y = max(0, y - int(token[2:-1] or 1))
        elif token.startswith("\x1b[") and token[-1] == "K":
            rows[y] = [] if token[2:-1] == "2" else rows[y][:x]
        elif token == "\r":
            x = 0
        elif token == "\n" or (token[0] != "\x1b" and x == columns):
            y, x = y + 1, x if token == "\n" else 0
            rows += [[]] * (y + 1 - len(rows))
        if len(token) == 1 and token >= " ":
            rows[y] = (rows[y] + [" "] * x)[: max(x, len(rows[y]))]
            rows[y][x : x + 1] = [token]
            x += 1
    return ["".join(row).rstrip() for row in rows]


@contextlib.contextmanager
def terminal(monkeypatch, columns=80):
    """Stderr as a terminal; gives the bytes that come out of it."""
    parent, child = pty.openpty()
    shown = bytearray()

    def read():
        with contextlib.suppress(OSError):  # the other end is closed
            while part := os.read(parent, 4096):
                shown.extend(part)

    reader = threading.Thread(target=read)
    reader.start()
    for name, value in {"COLUMNS": str(columns), "LINES": "40", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    with os.fdopen(child, "w") as stream:
        monkeypatch.setattr("sys.stderr", stream)
        yield shown, parent
    reader.join(30)
    os.close(parent)


def bars(monkeypatch, columns, interrupted=False):
    with terminal(monkeypatch, columns) as (shown, parent):
        show = Bars(2)
        show.begin(ARM, [0, 1, 2, 3, 4], 10, Job())
        show.rows(ARM, [0, 1, 2, 3, 4], [ROW])
        show.refresh()
        show.progress.refresh()
        if interrupted:
            os.write(parent, b"\x03")  # the terminal shows it as ^C, behind the last bar
        show.close()
    return screen(bytes(shown), columns)


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_bars_keep_their_width_and_no_number_is_cut(columns, monkeypatch):
    lines = bars(monkeypatch, columns)
    heads = [line for line in lines if re.match("[━╸╺]", line)]
    assert len(heads) == 2
    for line in heads:
        assert re.match(rf"[━╸╺]{{{BAR}}} +\d+% (\d:\d\d:\d\d|-:--:--) ", line), line
    text = " ".join(" ".join(lines).split())
    assert re.search(r"seeds 0-4 epoch 3/10 loss 0\.1413 accuracy 0\.9400$", text), text
    assert ARM in text.replace(" ", "")
    assert "…" not in text
    assert max(map(len, lines)) < columns


@pytest.mark.parametrize("columns", range(60, 120, 3))
def test_no_ghost_of_a_bar_is_left_after_ctrl_c(columns, monkeypatch):
    text = "\n".join(bars(monkeypatch, columns, interrupted=True))
    assert text.count("all arms") == 1, text


def test_no_bar_is_shown_where_there_is_nothing_to_train(tmp_path, monkeypatch, capsys):
    plan = {"smoke": replace(PLANS["smoke"], arms={"MLP-3-1": PLANS["smoke"].arms["MLP-3-1"]})}
    words = ["smoke", "--seeds", "1", "--epochs", "1", "--jobs", "1", "--results", str(tmp_path)]
    assert cli.main(plan, "mlp", {}, words) == 0
    with terminal(monkeypatch) as (shown, _):
        assert cli.main(plan, "mlp", {}, words) == 0
    text = "\n".join(screen(bytes(shown)))
    assert "nothing to train" in text
    assert "all arms" not in text
    assert "%" not in text
