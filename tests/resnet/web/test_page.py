"""The folder of `python -m resnet page`: its files, what they hold, and what it refuses."""

import base64
import gzip
import json
import re
from contextlib import redirect_stdout
from io import StringIO

import pytest
import torch

from bibd.onnx.extras import session
from harness.cli import main
from harness.data.pictures import images
from resnet.experiments import PLANS, VERBS
from resnet.trainer import layout
from resnet.web import facts, packed, runtime
from resnet.web import write as writing
from tests.bibd.onnx.needs import needs_the_extra
from tests.resnet.web.net import PLAIN, ROW, kept


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """A folder with the names of the runtime's files."""
    folder = tmp_path_factory.mktemp("engine")
    (folder / "dist").mkdir()
    for name in (runtime.FACE, *runtime.CORE.values()):
        (folder / "dist" / name).write_text(f"/* ONNX Runtime Web v9.8.7: {name} */")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory, engine):
    """The folder of a page, its net and data, and what the command printed."""
    place, said = tmp_path_factory.mktemp("made"), StringIO()
    folder, net, data = kept(place)
    with redirect_stdout(said):
        assert page(folder, "--out", place / "page", "--runtime", engine, "--pictures", 12) == 0
    return place / "page", net, data, said.getvalue()


def page(*words):
    return main(PLANS, "resnet", VERBS, ["page", *map(str, words)])


def unpacked(path):
    """The files in a script of the page, by name."""
    found = re.findall(r'^files\["(.*)"\] = "(.*)";$', path.read_text(), re.MULTILINE)
    return {name: gzip.decompress(base64.b64decode(text)) for name, text in found}


def known(path):
    """What the program of a page knows."""
    (text,) = re.findall(
        r'<script type="application/json" id="net">(.*)</script>', path.read_text()
    )
    return json.loads(text)


@needs_the_extra
@torch.no_grad()
def test_the_folder_holds_the_net_in_parts(made):
    """Each part takes what the one before passes on; the logits are those of the exits."""
    out, net, data, _ = made
    x = images(data.test_x[:8], data, layout(PLANS["smoke"].arms[PLAIN], "cpu"))
    found = {"on": x.numpy()}
    for k, logits in enumerate(net.forward_exits(x)):
        part = session(unpacked(out / "net.js")[f"part.{k}"])
        said = [output.name for output in part.get_outputs()]
        found = dict(zip(said, part.run(said, {"x": found["on"]}), strict=True))
        got = torch.from_numpy(found["logits"])
        torch.testing.assert_close(got, logits, rtol=0, atol=1e-5)
    text = (out / "index.html").read_text()
    assert "<td>40.0%</td>" in text
    assert "the runtime computes all others too" in text


@needs_the_extra
def test_the_folder_holds_the_runtime(made, engine):
    out, *_ = made
    core = unpacked(out / "runtime.js")
    assert core == {k: (engine / "dist" / name).read_bytes() for k, name in runtime.CORE.items()}
    assert (out / "ort.js").read_bytes() == (engine / "dist" / runtime.FACE).read_bytes()
    assert runtime.read(engine / "dist") == runtime.read(engine)


@needs_the_extra
def test_page_and_command_say_what_it_takes(made):
    out, *_, said = made
    sizes = {path.name: path.stat().st_size for path in out.iterdir()}
    assert set(sizes) == {"index.html", "ort.js", "runtime.js", "net.js"}
    for name, size in sizes.items():
        assert f"{name} {size:,} bytes" in said
    text = (out / "index.html").read_text()
    beside = sum(sizes.values()) - sizes["index.html"]
    assert f"Beside this page lie {beside / 1e3:.0f} kB: onnxruntime-web 9.8.7, " in text
    assert f"the net in 3 parts, {sizes['net.js'] / 1e3:.0f} kB (" in text
    assert "://" not in text
    assert not re.findall(r"{{|@import|url\(|fetch\(|src=\"(?!ort|runtime|net)", text)


def test_what_the_page_knows_is_of_the_net_and_the_test_set(tmp_path):
    folder, net, data = kept(tmp_path)
    found = facts.facts(net, data, folder, 23)
    assert found["macs"] == [cost.macs for cost in net.costs()]
    assert found["thresholds"] == [0.13, 0.3]
    whole = base64.b64decode(found["pixels"])
    shown = torch.frombuffer(bytearray(whole), dtype=torch.uint8).view(23, *data.shape)
    classes = data.classes
    seen = {}
    for k, label in enumerate(found["labels"]):
        assert label == k % classes
        same = (data.test_y == label).nonzero().flatten()
        original = data.test_x[same[seen.setdefault(label, 0)]]
        seen[label] += 1
        assert ((shown[k] / 255 - original).abs() <= 0.5 / 255 + 2**-24).all()


def test_a_run_that_fitted_nothing_has_thresholds_all_the_same(tmp_path):
    bare = {k: v for k, v in ROW.items() if k != "exits"}
    for place, rows in (("none", ()), ("bare", (bare,))):
        folder, *_ = kept(tmp_path / place, rows=rows)
        assert facts.thresholds(folder, 2) == [facts.SURE] * 2


def test_a_threshold_that_lets_some_leave_is_never_that_of_nobody(tmp_path):
    line = {"name": facts.AIM, "held_out": {"thresholds": [0.07, 0.995, 1.0, 0.0, 0.121]}}
    folder, *_ = kept(tmp_path, rows=({"epoch": 1, "exits": {"fitted": [line]}},))
    assert facts.thresholds(folder, 5) == [0.07, 0.99, 1.0, 0.0, 0.13]


def test_the_same_files_make_the_same_script():
    assert packed.script({"a": b"1" * 99}) == packed.script({"a": b"1" * 99})


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--runtime", "{place}/nowhere"], "no onnxruntime-web in .*nowhere .*npm install onnxrun"),
        (["--pictures", "0"], "--pictures is a number from 1 to 1000, got 0"),
        (["--out", "{place}/file"], "is a file: name a folder by --out, such as page"),
    ],
)
def test_wrong_words_are_answered(tmp_path, capsys, words, text):
    (tmp_path / "file").write_text("")
    assert page("anywhere", *(word.format(place=tmp_path) for word in words)) == 2
    assert re.search(text, " ".join(capsys.readouterr().err.split()))


def test_runs_that_do_not_fit_are_answered(tmp_path, engine, capsys):
    folder, *_ = kept(tmp_path, arm=PLAIN)
    assert page(folder, "--runtime", engine, "--out", tmp_path / "page") == 2
    assert "has no early exits, and the page is about these" in capsys.readouterr().err
    assert page(tmp_path, "--runtime", engine, "--out", tmp_path / "page") == 2
    assert "is no finished run" in capsys.readouterr().err
    (folder / "weights.pt").unlink()
    assert page(folder, "--runtime", engine, "--out", tmp_path / "page") == 1
    assert "--keep-weights" in capsys.readouterr().err
    assert not (tmp_path / "page").exists()


def test_a_runtime_that_says_no_version_has_none_on_the_page():
    files = dict.fromkeys(("ort.js", "runtime.js", "net.js"), 1000)
    for version, said in (("", "onnxruntime-web, 2 kB"), ("1.2", "onnxruntime-web 1.2, 2 kB")):
        engine = runtime.Runtime("face", {}, version)
        assert f"lie 3 kB: {said} (" in writing.sizes(engine, [b"part"], files)
