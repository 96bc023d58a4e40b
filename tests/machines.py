"""The suite on machines that are not this one: `python tests/machines.py [--quick] [NAME ...]`.

A machine is a fresh checkout of the last commit in a folder of its own, with an environment, and a
proof (statements of Python) that it is what its name says. The packages are those of the Python
that runs this file; only the machines named after releases of torch have environments of their own
(`.venv-torch-low`, `.venv-torch-high`, kept). One line each: name, what came out, seconds.
`--list` says which there are, `--quick` runs the part of the suite that processors can change, and
`-k WORDS` another part.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
NUMERICS = (
    "factorial or interval or linear or conv or fit or plateau or stack or pages or committed"
)
COMPILER = ("g++", "c++", "clang", "gcc", "cc", "x86_64-", "aarch64-")  # how their names begin
NOBODY = 65534
TOGETHER = ("-n", "auto", "--dist", "worksteal")  # a process for each core of the machine
MINUTES = 60  # at most, a machine


class Absent(Exception):
    """What this machine needs is not here: it is skipped, with these words."""


@dataclass
class Machine:
    """Where and how the suite runs."""

    tree: Path
    env: dict[str, str] = field(default_factory=dict)
    proof: str = ""
    python: str = sys.executable
    before: tuple[str, ...] = ()  # words that stand before the command


def call(*argv: object, cwd: Path = ROOT) -> str:
    done = subprocess.run([str(a) for a in argv], cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, argv))}: {done.stderr or done.stdout}")
    return done.stdout


def needed(name: str) -> str:
    found = shutil.which(name)
    if not found:
        raise Absent(f"no {name} here")
    return found


def clone(place: Path, *words: str) -> Path:
    call(needed("git"), "clone", "-q", *words, ROOT.as_uri(), place)
    return place


def with_environment(proof: str = "", **env: str) -> Callable[[Path], Machine]:
    return lambda at: Machine(clone(at / "checkout"), env, proof)


def in_iddl(at: Path) -> Machine:
    return Machine(clone(at / "iddl"))


def in_words(at: Path) -> Machine:
    return Machine(clone(at / "Büro 1" / "my iddl"), proof="import os; assert ' ' in os.getcwd()")


def shallow(at: Path) -> Machine:
    proof = "import os; assert os.path.exists('.git/shallow')"
    return Machine(clone(at / "checkout", "--depth=1"), proof=proof)


def tarball(at: Path) -> Machine:
    """As a release is unpacked: no history, and no folder above that has one."""
    call(needed("git"), "archive", "-o", at / "all.tar", "HEAD")
    (tree := at / "iddl-main").mkdir()
    call("tar", "-xf", at / "all.tar", "-C", tree)
    return Machine(tree, proof="import os; assert not os.path.exists('.git')")


def ordinary_user(at: Path) -> Machine:
    """Root becomes nobody, who may read all (the Python may be in root's home) and write nothing."""
    tree, home = clone(at / "checkout"), at / "home"
    home.mkdir()
    for path in (home, tree, *tree.rglob("*")):
        path.chmod(path.stat().st_mode & 0o555)
    places = [".", "results", str(home)]
    proof = f"import os; assert os.geteuid() and not any(os.access(p, os.W_OK) for p in {places})"
    before = ()
    if os.geteuid() == 0:
        before = (needed("setpriv"), f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
        before += ("--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search")
        os.chown(at / "tmp", NOBODY, NOBODY)
    return Machine(tree, {"HOME": str(home)}, proof, before=before)


def no_compiler(at: Path) -> Machine:
    """A PATH of links to everything but compilers."""
    (links := at / "bin").mkdir()
    for folder in os.get_exec_path():
        for program in Path(folder).glob("*"):
            new = links / program.name
            if not program.name.startswith(COMPILER) and not new.is_symlink():
                new.symlink_to(program)
    proof = "from bibd.kernels import build; assert build.compiler() is None"
    return Machine(clone(at / "checkout"), {"PATH": str(links), "CXX": ""}, proof)


def one_core(at: Path) -> Machine:
    core = min(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    proof = "import os; assert len(os.sched_getaffinity(0)) == 1"
    return Machine(clone(at / "checkout"), {}, proof, before=(needed("taskset"), "-c", str(core)))


def torch_low(at: Path) -> Machine:
    return own_environment(at, "low", needed("python3.11"))


def works(name: str) -> bool:
    """Whether it is a Python that starts (a shim of pyenv may be there for nothing)."""
    found = shutil.which(name)
    return (
        found is not None and not subprocess.run([found, "-c", ""], capture_output=True).returncode
    )


def torch_high(at: Path) -> Machine:
    names = (f"python3.{minor}" for minor in (14, 13, 12, 11))
    return own_environment(at, "high", needed(next(filter(works, names), "python3.14")))


def own_environment(at: Path, end: str, base: str) -> Machine:
    call("make", f".venv-torch-{end}", f"BASE={base}")
    python = ROOT / f".venv-torch-{end}" / "bin" / "python"
    return Machine(clone(at / "checkout"), python=str(python))


BLAS = """
import numpy, threadpoolctl
assert {!r} in [i.get("architecture") for i in threadpoolctl.threadpool_info()]
"""
MACHINES: dict[str, tuple[str, Callable[[Path], Machine]]] = {
    "iddl": ("a fresh clone into a folder of the project's own name", in_iddl),
    "words": ("a fresh clone into a path with a space and an umlaut", in_words),
    "user": ("an ordinary user; tree and HOME cannot be written", ordinary_user),
    "tarball": ("no git history at all", tarball),
    "shallow": ("a clone of one commit", shallow),
    "no-compiler": ("no C++ compiler on the PATH", no_compiler),
    "cron": (
        "no locale, no terminal, and a time zone of 45 minutes",
        with_environment(LC_ALL="C", LANG="", LANGUAGE="", TERM="dumb", TZ="Pacific/Chatham"),
    ),
    "one-core": ("one core to run on", one_core),
    "one-thread": (
        "OMP_NUM_THREADS=1",
        with_environment("import torch; assert torch.get_num_threads() == 1", OMP_NUM_THREADS="1"),
    ),
    "plain-torch": (
        "torch's own kernels without vector instructions",
        with_environment(
            "import torch; assert torch.backends.cpu.get_cpu_capability() == 'DEFAULT'",
            ATEN_CPU_CAPABILITY="default",
        ),
    ),
    "plain-mkl": ("MKL in its oldest order of sums", with_environment(MKL_CBWR="COMPATIBLE")),
    "avx2": (
        "every library as on a processor that has AVX2 and no more",
        with_environment(
            "import torch; assert torch.backends.cpu.get_cpu_capability() != 'AVX512'",
            ATEN_CPU_CAPABILITY="avx2",
            MKL_ENABLE_INSTRUCTIONS="AVX2",
            ONEDNN_MAX_CPU_ISA="AVX2",
            OPENBLAS_CORETYPE="Haswell",
            IDDL_ISA="avx2",
        ),
    ),
    "haswell": (
        "numpy's BLAS for AVX2",
        with_environment(BLAS.format("Haswell"), OPENBLAS_CORETYPE="Haswell"),
    ),
    "nehalem": (
        "numpy's BLAS for SSE4",
        with_environment(BLAS.format("Nehalem"), OPENBLAS_CORETYPE="Nehalem"),
    ),
    "torch-low": ("the lowest Python and torch (installs)", torch_low),
    "torch-high": ("the highest torch, the newest Python here (installs)", torch_high),
}


def environment(machine: Machine, at: Path) -> dict[str, str]:
    """Nothing of this checkout's: packages by their place, the tree by PYTHONPATH."""
    packages = [p for p in sys.path if p.endswith("-packages") and machine.python == sys.executable]
    paths = [str(machine.tree), *packages]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TMPDIR": str(at / "tmp")}
    env.pop("IDDL_CACHE", None)
    return env | machine.env


def run(name: str, words: list[str], folder: Path) -> bool:
    """One machine: prints its line, and says whether nothing failed."""
    at, start = folder / name, time.monotonic()
    (at / "tmp").mkdir(parents=True)
    print(f"{name:12}", end=" ", flush=True)
    try:
        machine = MACHINES[name][1](at)
        good, text = suite(machine, at, words)
    except Absent as error:
        good, text = True, f"skipped: {error}"
    except (RuntimeError, OSError) as error:
        good, text = False, f"FAILED: {error}"
    print(f"{text} ({time.monotonic() - start:.0f} s)", flush=True)
    return good


def suite(machine: Machine, at: Path, words: list[str]) -> tuple[bool, str]:
    env, command = environment(machine, at), [*machine.before, machine.python]
    if subprocess.run([*command, "-c", machine.proof], cwd=machine.tree, env=env).returncode:
        return False, f"FAILED: this is no such machine: {machine.proof}"
    log, junit = at / "tmp" / "log.txt", at / "tmp" / "junit.xml"
    command += ["-m", "pytest", f"--junitxml={junit}", *words]
    with open(log, "w") as file:
        process = subprocess.Popen(
            command, cwd=machine.tree, env=env, stdout=file, stderr=file, start_new_session=True
        )
        try:
            code = process.wait(60 * MINUTES)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if not junit.exists():
        return False, f"FAILED: exit status {code}\n{log.read_text()[-3000:]}"
    return outcome(ElementTree.parse(junit).getroot(), log.read_text(), code)


def outcome(found: ElementTree.Element, log: str, code: int) -> tuple[bool, str]:
    """How many passed, failed and were skipped, why, and what failed."""
    cases = list(found.iter("testcase"))
    bad = [c for c in cases if c.find("failure") is not None or c.find("error") is not None]
    why = Counter(s.get("message") for c in cases for s in c.findall("skipped"))
    skipped = sum(why.values())
    text = f"{len(cases) - len(bad) - skipped} passed, {len(bad)} failed, {skipped} skipped"
    text += f" [{'; '.join(f'{n} x {reason}' for reason, n in why.items())}]" * bool(why)
    if code and bad:
        text += "".join(f"\n    FAILED {c.get('classname')}::{c.get('name')}" for c in bad)
        text += f"\n{log[-6000:]}"
    return code == 0, text if not code or bad else f"FAILED: exit status {code}\n{log[-3000:]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all of --list")
    parser.add_argument("--list", action="store_true", help="the machines, one line each")
    parser.add_argument("--quick", action="store_true", help=f"only tests of: {NUMERICS}")
    parser.add_argument("-k", metavar="WORDS", help="only these tests, as pytest's -k")
    args = parser.parse_args()
    if unknown := [name for name in args.names if name not in MACHINES]:
        parser.error(f"no machine {unknown[0]!r}; expected one of {', '.join(MACHINES)}")
    if args.list:
        print("\n".join(f"{name:12} {why}" for name, (why, _) in MACHINES.items()))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing runs on or is left
    part = args.k or (NUMERICS if args.quick else "")
    words = ["-m", "not slow", *TOGETHER, *(["-k", part] if part else [])]
    with tempfile.TemporaryDirectory(prefix="machines-") as folder:
        os.chmod(folder, 0o755)
        good = [run(name, words, Path(folder)) for name in args.names or MACHINES]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
