"""Pages of the site: what they are made of, what they refuse, and that no link leads nowhere."""

import base64
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import nbformat
import pytest

from primer.site import demo, index, markup, report
from primer.site.__main__ import follow, main
from primer.site.leaf import Leaf
from resnet.model import resnet
from tests.tree import ROOT

pytest.importorskip("nbconvert", reason="pip install 'iddl[dev]'")
PNG = base64.b64encode((ROOT / "figure/mlp/balance/effects.png").read_bytes()).decode()
IMG = f'<img src="data:image/png;base64,{PNG}" alt="lines that rise from left to right">'
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="600pt" height="9pt"/>'
SVG64 = base64.b64encode(SVG.encode()).decode()


class Links(HTMLParser):
    """Every address in a page."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found += [v for k, v in attrs if k in ("href", "src")]


def made(tmp_path, *cells, name="99_note"):
    """The page of a notebook with these cells."""
    from primer.site import notebook

    path = tmp_path / f"{name}.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=list(cells)), path)
    leaf = notebook.write(path, tmp_path, lambda link: link)
    return leaf, (tmp_path / leaf.place).read_text()


def shown(**data):
    output = nbformat.v4.new_output(
        "execute_result", {k.replace("_", "/"): v for k, v in data.items()}
    )
    return nbformat.v4.new_code_cell("x = 1\n" * 20, outputs=[output])


HEAD = nbformat.v4.new_markdown_cell("# Who is *first*?\n\nA question. And more.")
SHOWN = shown(text_html=IMG, text_plain="words")


def test_a_notebook_becomes_a_page_with_its_title_formulas_and_folded_code(tmp_path):
    formula = nbformat.v4.new_markdown_cell(r"Of $x_1^2$ and" + "\n\n$$\\frac{a}{b}$$")
    leaf, page = made(tmp_path, HEAD, formula, SHOWN)
    assert (leaf.title, leaf.words) == ("Who is *first*?", "A question. And more.")
    assert leaf.seen == "lines that rise from left to right"
    assert "<title>Who is *first*?</title>" in page
    assert page.count("<h1") == 1
    assert page.count("<math") == 2
    assert "<mfrac>" in page
    assert not re.search(r"\$|<script|https?://(?!www\.w3\.org/1998/Math)", page)
    assert "<details><summary>Code, 21 lines</summary>" in page


def test_a_drawing_is_taken_before_its_pixels(tmp_path):
    svg = {"image/svg+xml": SVG, "text/html": IMG, "text/plain": 'says "what"'}
    cell = nbformat.v4.new_code_cell("", outputs=[nbformat.v4.new_output("display_data", svg)])
    leaf, page = made(tmp_path, HEAD, cell)
    assert leaf.seen == 'says "what"'
    assert leaf.picture.startswith("data:image/svg+xml;base64,")
    assert "image/png" not in page
    assert 'style="min-width:480px"' in page  # of 600 points, which are 800 pixels


@pytest.mark.parametrize(("points", "pixels"), [(12, 480), (9, 600), (7.5, 720), (6.3, 800)])
@pytest.mark.parametrize("style", ["font: {}px sans", "fill: red; font-size:{}px;text-anchor:end"])
def test_small_letters_stay_legible_where_the_page_is_narrow(points, pixels, style):
    """Nine pixels are three quarters of twelve, which nine points are; none grows."""
    letters = f'<text style="{style.format(points)}">a</text>'
    svg = base64.b64encode(SVG.replace("/>", f">{letters}</svg>").encode()).decode()
    image = f'<img src="data:image/svg+xml;base64,{svg}" alt="a letter">'
    assert f"min-width:{pixels}px" in markup.repaired(image, str)


def test_a_short_sentence_takes_the_next_one_along():
    first, second = "It is <b>short</b>.", "This one goes on until there are eighty letters, about."
    assert markup.plain(f"<p>{first} {second} And more.</p>") == f"It is short. {second} And more."
    assert markup.plain(f"<p>{second} {second} And more.</p>") == f"{second} {second}"
    assert markup.plain("<p>Alone</p>") == "Alone"


def test_a_picture_without_a_text_and_a_notebook_without_a_title_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"99_note.ipynb: a picture has no text .* end the cell"):
        made(tmp_path, HEAD, shown(image_png=PNG))
    with pytest.raises(ValueError, match=r"begins with its title, '# ...', got 'no'"):
        made(tmp_path, nbformat.v4.new_markdown_cell("no"))


def test_a_notebook_without_cells_or_without_a_picture_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"99_note.ipynb: .*begins with its title"):
        made(tmp_path)
    outside = nbformat.v4.new_markdown_cell("![a picture that lies elsewhere](../a.png)")
    for cells in ([HEAD], [HEAD, outside]):
        with pytest.raises(ValueError, match=r"99_note.ipynb: no picture for the index"):
            made(tmp_path, *cells)


def test_what_is_wide_scrolls_and_what_a_library_left_is_gone():
    table = "<style scoped>b</style><table border='1'><thead><tr><th></th><th>a</th></tr></thead>"
    table += "<tbody><tr><th>row</th><td>1</td></tr></tbody></table>"
    html = markup.repaired(f"{table}<pre>long</pre>{IMG}<script>x</script>", lambda link: link)
    assert html.count('class="scroll"') == html.count('tabindex="0"') == 3
    assert "<style" not in html
    assert "<script" not in html
    assert '<td></td><th scope="col">a</th>' in html
    assert '<th scope="row">row</th>' in html
    assert re.search(r"min-width:\d{3,4}px", html)


def test_links_lead_to_pages_of_the_site_or_nowhere(tmp_path):
    assert follow("02_bibd_designs.ipynb", tmp_path) == "02_bibd_designs.html"
    assert follow("https://a.b", tmp_path) == "https://a.b"
    assert follow("../primer/tape.py", tmp_path) == "../source/primer/tape.py.html"
    assert "class" in (tmp_path / "source/primer/tape.py.html").read_text()
    assert follow("../bibd/README.md", tmp_path) == ""
    with pytest.raises(ValueError, match=r"leads to .*, which is not there"):
        follow("99_none.ipynb", tmp_path)
    assert markup.repaired('<a href="x">words</a>', lambda link: "") == "words"


def test_a_link_to_a_notebook_whose_page_is_not_made_leads_nowhere(tmp_path):
    """`--only` makes some; the others are followed where an earlier call left them."""
    link = "10_autodiff.ipynb#what"
    assert follow(link, tmp_path, only="autodiff") == "10_autodiff.html#what"
    assert follow(link, tmp_path, only="graphs") == ""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks/10_autodiff.html").write_text("")
    assert follow(link, tmp_path, only="graphs") == "10_autodiff.html#what"
    assert main(["--out", str(tmp_path / "fresh"), "--only", "11_graphs"]) == 0
    (page,) = (tmp_path / "fresh").rglob("11_graphs.html")
    for address in Links(page.read_text()).found:
        if not address.startswith(("data:", "http", "#")):
            assert (page.parent / address.split("#")[0]).exists(), address


def test_the_index_has_a_card_for_each_page_and_every_address_is_there(tmp_path, capsys):
    for name in ("11_graphs", "parallel-gossip_cifar10"):
        assert main(["--out", str(tmp_path), "--only", name]) == 0
        assert capsys.readouterr().out == f"{tmp_path / 'index.html'}: 1 pages\n"
    pages = [path for path in tmp_path.rglob("*.html") if "notebooks" not in path.parts]
    assert len(pages) >= 3
    for path in pages:
        for address in Links(path.read_text()).found:
            if not address.startswith(("data:", "http", "#")):
                assert (path.parent / address).exists(), (path, address)
    card = (tmp_path / "index.html").read_text()
    assert card.index("<h2>Notes</h2>") < card.index("<h2>Records</h2>")
    assert card.count("<li>") == 2  # (the first one is still there)
    assert "parallel: gossip_cifar10" in card
    assert re.findall(r'<img src="pictures/parallel-gossip_cifar10.svg" alt="[^"]{40,}"', card)
    assert main(["--out", str(tmp_path), "--only", "nothing"]) == 1


def test_a_record_with_other_settings_than_the_plans_is_a_page_of_its_own(tmp_path):
    path = ROOT / "results/resnet/paper/autocast-True/experiment.json"
    assert path in report.records()
    leaf = report.write(path, tmp_path)
    assert leaf.place == "reports/resnet-paper-autocast-True.html"
    assert leaf.title == "resnet: paper, autocast True"
    assert "ResNet-34" in (tmp_path / leaf.place).read_text()


def test_the_index_forgets_pages_that_are_gone_and_those_of_a_whole_site(tmp_path):
    def leaf(name):
        (tmp_path / name).write_text("")
        return Leaf(name, name, "words", f"data:image/svg+xml;base64,{SVG64}", "seen")

    a, b, c = map(leaf, "abc")
    for leaves, keep, left in (([c], False, "c"), ([a], True, "ac"), ([b], True, "abc")):
        text = index.write(tmp_path, {"Notes": leaves}, keep).read_text()
        assert re.findall(r'<a href="(.)">', text) == list(left)
    (tmp_path / "a").unlink()
    text = index.write(tmp_path, {"Notes": [c]}, True).read_text()
    assert re.findall(r'<a href="(.)">', text) == ["b", "c"]
    text = index.write(tmp_path, {"Notes": [c]}).read_text()
    assert re.findall(r'<a href="(.)">', text) == ["c"]


def test_a_demo_that_cannot_be_made_here_says_why(tmp_path, monkeypatch):
    monkeypatch.setenv("IDDL_DATA", str(tmp_path))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setitem(
        demo.DEMOS,
        "no.html",
        demo.Demo(lambda out, _: [["mlp", "pagge", out], []], "w", demo._digit),
    )
    told = demo.write("no.html", tmp_path)
    assert not list(tmp_path.glob("demos/*"))
    assert isinstance(told, str)
    assert told.startswith("no.html is left out: ")


def test_pictures_are_read_by_the_run_that_kept_its_weights_else_by_a_small_one(
    tmp_path, monkeypatch
):
    commands = demo.DEMOS["pictures/index.html"].commands
    monkeypatch.setattr(demo, "ROOT", tmp_path)
    train, page = commands("/site/demos/pictures/index.html", str(tmp_path))
    assert page[:2] == ["resnet", "page"]
    assert page[3:] == ["--out", "/site/demos/pictures"]
    argv = [sys.executable, "-m", *train, "--dry-run"]
    words = {**os.environ, "COLUMNS": "500"}
    told = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True, env=words)
    assert page[2] in told.stdout
    folder = tmp_path / "results" / "resnet" / "exits" / "ResNet-18-EE-0123abcd" / "seed-0"
    for place in (folder.parents[1] / "B-ResNet-18-EE-0123abcd" / "seed-0", folder):
        place.mkdir(parents=True)
        (place / "weights.pt").touch()
    (argv,) = commands("/site/demos/pictures/index.html", str(tmp_path))
    assert argv == ["resnet", "page", str(folder), "--out", "/site/demos/pictures"]
    _, said = demo._exits()
    costs = [cost.macs for cost in resnet(18, exits=(2, 3)).costs()]
    assert f"{costs[0] / 1e6:,.0f}, " in said
    assert f"{costs[-1] / 1e6:,.0f} million" in said


def test_every_picture_of_the_notebooks_is_a_drawing_with_a_text():
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            for output in cell.get("outputs", ()):
                data = output.get("data", {})
                assert "image/png" not in data, (path.name, cell.source[-80:])
                assert ("<img" in data.get("text/html", "")) == ("image/svg+xml" in data), path.name
                for tag in re.findall(r"<img[^>]*>", data.get("text/html", "")):
                    (text,) = re.findall(r' alt="([^"]+)"', tag)
                    assert len(text.split()) >= 8, (path.name, text)
