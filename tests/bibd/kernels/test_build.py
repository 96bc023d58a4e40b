"""The native library: built once, shared by processes, never a crash and never a stop."""

import ctypes
import hashlib
import os
import shutil
import stat
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
import torch

from bibd import SparseLinear, kernels
from bibd.kernels import build, native
from tests.python import python

needs_compiler = pytest.mark.skipif(build.compiler() is None, reason="no compiler")
LAYER = """
    import torch
    from bibd import SparseConv2d, SparseLinear
    torch.manual_seed(0)
    layer, x = SparseLinear(600, 500, "random", seed=1), torch.randn(40, 600)
    conv, image = SparseConv2d(8, 8, 3, padding=1, seed=1), torch.randn(2, 8, 64, 64)
"""
CHECK = """
    twin, other = layer(x), conv(image)
    layer.backend = conv.backend = "dense"
    torch.testing.assert_close(twin, layer(x), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(other, conv(image), rtol=1e-4, atol=1e-4)
    print("equal", layer.path(x))
"""


def script(*parts, env=None, timeout=120):
    """Run a script of these parts as a user would."""
    text = "\n".join(textwrap.dedent(part) for part in parts)
    return python("-c", text, env={**os.environ, **(env or {})}, timeout=timeout)


def stand_in(folder: Path, text: str) -> Path:
    """A compiler of our own in an otherwise empty PATH."""
    folder.mkdir(exist_ok=True)
    program = folder / "c++"
    program.write_text(f"#!{shutil.which('bash')}\n{text}\n")
    program.chmod(0o755)
    return program


@needs_compiler
def test_the_runtime_is_torchs_whoever_else_has_brought_one():
    """scikit-learn has an OpenMP of its own: the key, and so the library, must not follow it."""
    key = "from bibd.kernels import build; print(build.key(build.compiler()))"
    alone = script(key)
    crowded = script(
        "from sklearn.cluster import KMeans; KMeans(2, n_init=1).fit([[0.0], [1.0]])", key
    )
    assert alone.returncode == crowded.returncode == 0, alone.stderr + crowded.stderr
    assert alone.stdout == crowded.stdout != ""


@needs_compiler
def test_the_library_is_of_this_processor_and_shares_torchs_threads():
    library = build.library()
    assert library is not None
    wide = {"avx512": 64, "avx2": 32, "baseline": 16}
    assert library.iddl_width() == wide[build.isa()]
    if not Path("/proc/self/maps").exists():
        pytest.skip("no /proc here to read what is loaded")
    # (in a process of its own: another test may have loaded a library that brings one too)
    done = python("-c", RUNTIMES)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split("\n")) <= 2, done.stdout


RUNTIMES = r"""
import re, torch
from bibd import SparseLinear
SparseLinear(784, 784, backend="native")(torch.randn(64, 784))
loaded = {line.split()[-1] for line in open("/proc/self/maps")}
# (wheels rename it: libgomp-a34b3233.so.1)
print(*sorted(path for path in loaded if re.search(r"/lib[gi]?omp[-.\w]*\.so", path)), sep="\n")
"""


def test_without_a_compiler_everything_works_after_one_notice(tmp_path):
    env = {"PATH": str(tmp_path), "CXX": "", "IDDL_CACHE": str(tmp_path / "cache")}
    done = script(LAYER, "layer(x); layer(x[:3]); conv(image)", CHECK, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "equal dense\n"
    assert done.stderr.count("iddl:") == 1
    assert "no C++ compiler found (looked for c++, g++, clang++ and $CXX)" in done.stderr
    asked = script(LAYER, 'layer.backend = "native"; layer(x)', env=env)
    assert "ValueError: backend 'native' needs a C++ compiler" in asked.stderr


def test_a_compiler_that_fails_shows_its_last_lines(tmp_path):
    stand_in(tmp_path / "bin", 'for i in 1 2 3 4 5 6 7 8; do echo "line $i" >&2; done; exit 3')
    env = {"PATH": str(tmp_path / "bin"), "CXX": "", "IDDL_CACHE": str(tmp_path / "cache")}
    done = script(LAYER, "layer(x)", CHECK, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "equal dense\n"
    assert (
        "failed with status 3:\n  line 4\n  line 5\n  line 6\n  line 7\n  line 8\n" in done.stderr
    )
    assert "line 3" not in done.stderr
    assert [p for p in (tmp_path / "cache/kernels").iterdir() if "build-" in p.name] == []


def test_a_compiler_that_makes_rubbish(tmp_path):
    rubbish = 'while [ "$1" != -o ]; do shift; done; echo "no library" > "$2"'
    stand_in(tmp_path / "bin", rubbish)
    env = {"PATH": str(tmp_path / "bin"), "CXX": "", "IDDL_CACHE": str(tmp_path / "cache")}
    done = script(LAYER, "layer(x)", CHECK, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "equal dense\n"
    assert "torch's operators do the work" in done.stderr


@needs_compiler
@pytest.mark.slow
def test_two_processes_build_at_once(tmp_path):
    env = {"IDDL_CACHE": str(tmp_path), "IDDL_BACKEND": "native", "IDDL_CXXFLAGS": "-O0"}
    found = []
    starts = [
        threading.Thread(target=lambda: found.append(script(LAYER, "layer(x)", CHECK, env=env)))
        for _ in range(2)
    ]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    assert [done.returncode for done in found] == [0, 0], [done.stderr for done in found]
    assert len(list((tmp_path / "kernels").glob("*.so"))) == 1
    again = script(LAYER, CHECK, env=env)
    assert again.returncode == 0
    assert "building" not in again.stderr


def sealed(body: bytes) -> bytes:
    """As a library lies in the cache."""
    return body + hashlib.sha256(body).digest()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A library, and the folder of a `c++` that has compiled it before: it hands out copies."""
    folder = tmp_path_factory.mktemp("compiler")
    program = stand_in(folder, f'while [ "$1" != -o ]; do shift; done; cp "{folder}/made" "$2"')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IDDL_CXXFLAGS", "-O0")  # seconds less
        compiler = build.compiler()
        assert compiler is not None
        build.build(compiler, build.key(str(program)), folder / "made", None)
    body = (folder / "made").read_bytes()[:-32]
    (folder / "made").write_bytes(body)
    return folder, body


@needs_compiler
@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "foreign"])
def test_a_library_that_is_not_sound_is_built_anew(tmp_path, damage, monkeypatch, made):
    """Cut short, changed by a byte, or a whole library for other instructions under this name."""
    folder, body = made
    for key, value in {"IDDL_CACHE": str(tmp_path), "IDDL_CXXFLAGS": "-O0", "CXX": ""}.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    assert build.compiler() == str(folder / "c++")
    name = build.key(str(folder / "c++"))
    path, content = build.cache_dir() / f"{name}.so", sealed(body)
    path.write_bytes(content)
    assert build.load(path.parent, name) is not None
    changed = content[:-50] + bytes([content[-50] ^ 1]) + content[-49:]
    found = {"cut": content[: len(content) // 2], "changed": changed, "empty": b""}
    found["foreign"] = sealed(body.replace(name.encode(), b"f" * len(name)))
    path.unlink()  # (the one that is loaded stays whole in memory)
    path.write_bytes(found[damage])
    done = script(LAYER, "layer(x)", CHECK, env={"IDDL_BACKEND": "native"})
    assert done.returncode == 0, done.stderr
    assert "building" in done.stderr
    assert path.read_bytes() == content


def test_a_cache_that_cannot_be_written_falls_to_a_private_one(tmp_path, monkeypatch):
    """(A file stands where the folder should be: root may write into read-only folders.)"""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("IDDL_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(build.tempfile, "tempdir", str(tmp_path))
    found = build.cache_dir()
    assert found.parent == tmp_path
    assert stat.S_IMODE(found.stat().st_mode) == 0o700
    assert build.cache_dir() == found
    found.chmod(0o777)  # anybody could have put a library there
    other = build.cache_dir()
    assert other != found
    assert stat.S_IMODE(other.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_cache(tmp_path, monkeypatch):
    tmp_path.chmod(0o500)
    monkeypatch.setenv("IDDL_CACHE", str(tmp_path))
    assert tmp_path not in build.cache_dir().parents


@needs_compiler
@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_children_may_use_it(way):
    text = f"""
    import multiprocessing as mp

    def child(queue):
        layer.backend = "native"
        with torch.no_grad():
            queue.put(layer(x).sum().item())

    if __name__ == "__main__":
        torch.set_num_threads(2)
        layer.backend = "native"
        with torch.no_grad():
            mine = layer(x).sum().item()  # (its threads are running)
        context = mp.get_context("{way}")
        queue = context.Queue()
        children = [context.Process(target=child, args=(queue,)) for _ in range(2)]
        for c in children:
            c.start()
        got = [queue.get(timeout=60) for _ in children]
        for c in children:
            c.join(60)
        assert got == [mine, mine], (got, mine)
        print("equal")
    """
    if way == "fork":
        done = script(LAYER, text)
    else:
        path = Path(os.environ["IDDL_CACHE"]) / "spawned.py"
        path.write_text(textwrap.dedent(LAYER) + textwrap.dedent(text))
        root = str(build.SOURCES.parent.parent)
        done = subprocess.run(
            [sys.executable, str(path)], capture_output=True, text=True, timeout=120,
            env={**os.environ, "PYTHONPATH": root},
        )  # fmt: skip
    assert done.stdout == "equal\n", done.stderr


@pytest.mark.slow
@needs_compiler
@pytest.mark.skipif(shutil.which("clang++") is None, reason="no clang")
def test_clang_builds_it_too(tmp_path):
    env = {"CXX": "clang++", "IDDL_CACHE": str(tmp_path), "IDDL_BACKEND": "native"}
    done = script(LAYER, CHECK, env=env, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "building the native kernels with" in done.stderr
    assert "clang" in done.stderr


@pytest.mark.parametrize(("backend", "linear", "conv"), [
    ("dense", "dense", "dense"), ("bag", "bag", None), ("native", "native", "native"),
])  # fmt: skip
def test_the_environment_names_a_backend_for_layers_that_leave_it_open(backend, linear, conv):
    if backend == "native" and build.compiler() is None:
        pytest.skip("no compiler")
    text = "print(layer.path(x), conv.path(image)); layer.backend = 'dense'; print(layer.path(x))"
    done = script(LAYER, text, env={"IDDL_BACKEND": backend})
    first, second = done.stdout.splitlines()
    assert first.split()[0] == linear
    assert conv is None or first.split()[1] == conv
    assert second == "dense"
    wrong = script(LAYER, "layer(x)", env={"IDDL_BACKEND": "fast"})
    assert (
        "IDDL_BACKEND must be one of auto, dense, bag, native, cuda, triton, got 'fast'"
        in wrong.stderr
    )


def test_only_sound_names_of_instruction_sets(monkeypatch):
    monkeypatch.setenv("IDDL_ISA", "sse9")
    with pytest.raises(ValueError, match="IDDL_ISA must be one of avx512, avx2, baseline"):
        build.isa()
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setenv("IDDL_ISA", "avx512")  # more than this processor has
    assert build.isa() == "avx2"


def test_threads_after_a_fork(monkeypatch):
    assert native.threads() == torch.get_num_threads()
    monkeypatch.setattr(native, "_forked", True)
    assert native.threads() == 1


def test_types_that_the_library_does_not_know_stay_dense():
    layer = SparseLinear(300, 200, "random", dtype=torch.float16)
    assert layer.path(torch.randn(2, 300, dtype=torch.float16)) == "dense"
    assert kernels.TINY < 300 * 200
    assert ctypes.sizeof(native.Shape) == 88
