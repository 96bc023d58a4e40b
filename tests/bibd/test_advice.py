"""What a new user is told: unread inputs, sizes of whole designs, certificates, wrong keywords."""

import inspect

import pytest
import torch
from torch import nn

import bibd
from bibd import BibdConv2d, BibdLinear, RandomSparseLinear, SparseConv2d, SparseLinear, certify
from bibd.__main__ import main


def test_unread_inputs_are_told_where_the_layer_is_made():
    words = r"bibd\(784, 10\): 513 of 784 inputs are read by no output; pattern 'bibd_dual' reads"
    with pytest.warns(bibd.UnreadInputs, match=words) as caught:
        layer = BibdLinear(784, 10)
    assert caught[0].filename == __file__  # and not a line of this package
    assert layer.pattern.unread == 513
    assert SparseLinear(784, 10, "bibd_dual").pattern.unread == 0


def test_who_brings_a_pattern_has_looked_at_it(recwarn):
    SparseLinear(784, 10, bibd.make_pattern("bibd", 784, 10))
    BibdLinear(100, 100)
    assert not [w for w in recwarn if issubclass(w.category, bibd.UnreadInputs)]


@pytest.mark.parametrize("wanted", [(100, 100), (784, 10), (64, 300), (1, 1), (5, 2000)])
def test_the_nearest_sizes_are_whole_designs(wanted):
    found = bibd.nearest(*wanted)
    assert len(set(found)) == 3
    for inputs, outputs in found:
        assert bibd.make_pattern("bibd", inputs, outputs).label == "BIBD"


def test_no_whole_size_is_nearer_than_the_nearest():
    whole = [(v, b) for v in range(80, 123) for b in range(v, v + 12) if _is_whole(v, b)]
    best = min(whole, key=lambda size: abs(_log(size[0])) + abs(_log(size[1])))
    assert bibd.nearest(100, 100)[0] == best == (91, 91)
    assert bibd.nearest(64, 72) == [(64, 72), (73, 73), (57, 57)]
    with pytest.raises(ValueError, match=r"in_features must be a whole number .* got 0"):
        bibd.nearest(0, 9)
    with pytest.raises(ValueError, match=r"out_features must be a whole number .* got 1\.5"):
        bibd.nearest(9, 1.5)


def _log(size):
    return torch.tensor(size / 100).log().item()


def _is_whole(v, b):
    return bibd.make_pattern("bibd", v, b).label == "BIBD"


def test_certify_takes_a_layer_its_pattern_and_a_design():
    layer = BibdLinear(64, 72)
    assert certify(layer) == certify(layer.pattern) == certify(layer.pattern.design())
    assert certify(layer).label == "BIBD"
    grouped = BibdConv2d(18, 24, 3, groups=2)
    assert certify(grouped).name.endswith("group 0 of 2")
    assert certify(grouped, group=1).v == 9
    with pytest.raises(ValueError, match="group must be one of 0 to 1, got 2"):
        certify(grouped, group=2)
    with pytest.raises(ValueError, match="a sparse layer, a Pattern or a Design, got Linear"):
        certify(nn.Linear(3, 3))


def test_a_printed_certificate_is_the_text_of_the_command_line(capsys):
    assert main(["certify", "--in", "100", "--out", "100"]) == 0
    printed = capsys.readouterr().out.rstrip("\n")
    assert printed == str(certify(BibdLinear(100, 100)))
    assert "whole nearby     91 x 91, 81 x 90, 121 x 132" in printed
    assert "whole nearby" not in str(certify(BibdLinear(81, 90)))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: BibdLinear(64, 64, sed=3), "BibdLinear has no keyword 'sed': did you mean 'seed'"),
        (lambda: BibdConv2d(8, 8, 3, strid=2), "BibdConv2d has no keyword 'strid': .* 'stride'"),
        (
            lambda: SparseConv2d(8, 8, 3, colour=2),
            "SparseConv2d has no keyword 'colour': it has in",
        ),
        (
            lambda: BibdLinear(64, 64, pattern="random"),
            r"BibdLinear has pattern 'bibd': take SparseLinear\(..., pattern='random'\)",
        ),
        (
            lambda: RandomSparseLinear(64, 64, pattern="bibd"),
            r"RandomSparseLinear has pattern 'random': take SparseLinear\(..., pattern='bibd'\)",
        ),
        (lambda: BibdConv2d(8, 8, 3, pattern="x"), r"take SparseConv2d\(..., pattern='x'\)"),
    ],
)
def test_a_wrong_keyword_is_answered_by_the_class_that_was_called(call, words):
    with pytest.raises(TypeError, match=words):
        call()


@pytest.mark.parametrize(
    "kind", [BibdLinear, RandomSparseLinear, SparseLinear, BibdConv2d, SparseConv2d]
)
def test_editors_see_every_option_by_name_with_its_type_and_text(kind):
    parameters = list(inspect.signature(kind).parameters.values())
    assert {"seed", "init", "backend", "device", "dtype"} <= {p.name for p in parameters}
    for p in parameters:
        assert p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        assert p.annotation is not p.empty
        assert f"\n        {p.name}: " in kind.__doc__, p.name


def test_the_modular_rule_has_two_names_and_one_pattern():
    one, other = (bibd.make_pattern(name, 64, 72) for name in ("iddl", "modular"))
    assert one.digest() == other.digest()
    assert one.family == other.family == "iddl"  # the name in records
    layer = SparseLinear(64, 72, "modular")
    assert "modular rule" in str(certify(layer))
    with pytest.raises(ValueError, match="did you mean 'modular'"):
        SparseLinear(64, 72, "modulra")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("expalin --in 4", "unknown verb 'expalin': did you mean 'explain'? there are"),
        ("explain --in 64 --out 64 --dtype float16", "--dtype must be one of float32, float64, bf"),
        ("explain --in 64 --out 64 --groups 2", "are for a convolution: add --kernel 3"),
        ("explain --in 64 --out 64 --threads 1000000", "--threads 0 to "),
        ("explain --in 64 --out 64 --kernel -1", "--kernel must be at least 0"),
        ("explain --in 64 --out 64 --batch 0", "--batch must be at least 1, got 0"),
        ("draw --in 16 --out 20 --kernel 5", "are for a convolution: add --conv"),
        ("draw --in 16 --out 9999", "too many to see"),
    ],
)
def test_wrong_words_on_the_command_line_are_answered_in_a_sentence(words, says, capsys):
    assert main(words.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert says.replace("bf", "bfloat16") in error


def test_what_does_not_fit_the_memory_is_no_traceback(monkeypatch, capsys):
    def too_large(*sizes):
        raise MemoryError("Unable to allocate 74.5 GiB")

    monkeypatch.setattr("bibd.__main__.make_pattern", too_large)
    assert main(["certify", "--in", "100000", "--out", "100000", "--pattern", "dense"]) == 1
    assert "too large for the memory here (Unable to allocate" in capsys.readouterr().err


@pytest.mark.parametrize("of_conv", ["channels last", "too few axes", "other channels"])
def test_wrong_images_are_told_with_the_way_out(of_conv):
    x, words = {
        "channels last": (torch.zeros(2, 16, 9, 8), r"x.movedim\(-1, -3\)"),
        "too few axes": (
            torch.zeros(8, 8),
            r"shape \(8, 8\): x has 2 axes, a batch of pictures 4 and one picture 3",
        ),
        "other channels": (torch.zeros(2, 3, 9, 9), "as many channels as x has"),
    }[of_conv]
    start = r"BibdConv2d\(8, 12\) takes torch.float32 input of shape \(batch, 8, height, width\)"
    for mode in ("zeros", "reflect"):
        with pytest.raises(ValueError, match=start + ".*" + words):
            BibdConv2d(8, 12, 3, padding=1, padding_mode=mode)(x)
