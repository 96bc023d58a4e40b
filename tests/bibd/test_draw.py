"""Pictures of patterns, and the command that writes them."""

import json

import numpy as np
import pytest

from bibd import __main__ as cli
from bibd import draw, make_pattern


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("--in 16 --out 20", "bibd_bibd_16x20"),
        ("--in 64 --out 72 --pattern iddl", "bibd_iddl_64x72"),
        ("--in 300 --out 200 --pattern random --seed 1", "bibd_random_300x200"),
        ("--in 16 --out 20 --conv", "bibd_conv_bibd_16x20"),
        ("--in 8 --out 12 --conv --groups 2 --kernel 1", "bibd_conv_bibd_8x12"),
        ("--in 1 --out 1", "bibd_bibd_1x1"),
    ],
)
def test_draw_writes_a_triple(words, kind, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["draw", *words.split(), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["paths"] == [f"{kind}.{suffix}" for suffix in ("png", "eps", "json")]
    assert (tmp_path / f"{kind}.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / f"{kind}.eps").read_text()[:4] == "%!PS"
    data = json.loads((tmp_path / f"{kind}.json").read_text())
    assert (data["pattern"], data["label"]) == (found["pattern"], found["label"])
    assert sum(map(len, data["blocks"])) >= len(data["blocks"])


def test_names_with_dots_and_folders(tmp_path, capsys):
    for to in (tmp_path / "v1.0", tmp_path / "v1.5", tmp_path):
        assert cli.main(["draw", "--in", "4", "--out", "6", "--to", str(to)]) == 0
    names = {path.name for path in tmp_path.glob("*.png")}
    assert names == {"v1.0.png", "v1.5.png", "bibd_bibd_4x6.png"}


def test_kernels_are_where_the_pattern_is():
    pattern = make_pattern("random", 6, 8, 3, groups=2)
    picture = draw.kernels(pattern, 3)
    for row in range(8):
        for column in range(6):
            cell = picture[row * 4 + 1 : row * 4 + 4, column * 4 + 1 : column * 4 + 4]
            group, inside = column // 3, column % 3
            if group != row // 4:
                assert (cell == 3).all()
            else:
                connected = pattern.mask()[row, inside]
                assert ((cell == 1) | (cell == 2)).all() if connected else (cell == 0).all()


def test_colours_are_the_parallel_classes():
    found = draw.classes(make_pattern("bibd", 25, 30))
    assert found.tolist() == np.repeat(np.arange(6), 5).tolist()


def test_pictures_show_every_line_and_say_what_it_is():
    fig = draw.layer(make_pattern("bibd", 16, 20))
    graph, table, met = fig.axes[:3]
    assert len(graph.collections[0].get_segments()) == 80
    assert table.images[0].get_array().sum() == 80
    values = met.images[0].get_array()
    assert set(values.compressed().tolist()) == {1}
    assert "BIBD" in fig._suptitle.get_text()
    assert len(draw.layer(make_pattern("dense", 100, 100)).axes) == 3  # no graph; with colour bar


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--in 16 --out 20 --groups 2", "add --conv"),
        ("--in 16 --out 20 --conv --kernel 0", "--kernel must be 1 to 15"),
        ("--in 16 --out 20 --kernel 5", "add --conv"),
        ("--in 1000 --out 1000 --conv", "too many to see"),
        ("--in 100000 --out 2", "too many to see"),
        ("--in 16 --out 20 --pattern bibdd", "did you mean 'bibd'"),
        ("--in 16 --out 20 --conv --groups 3", "groups=3 must divide"),
        ("--in 16 --out 20 --to file/x", ""),
    ],
)
def test_wrong_input(words, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")  # where a folder would have to be: also root cannot
    try:
        status = cli.main(["draw", *words.split()])
    except SystemExit as end:  # tyro reports what the options themselves refuse
        status = end.code
    assert status == (2 if says else 1)
    assert says in " ".join(capsys.readouterr().err.split())
