"""Builds the native library: once a machine by the system's compiler, then kept in a cache.

    <cache>/kernels/<digest of sources, compiler, flags>.so   =   library + 32 bytes, its SHA-256

Any number of processes may want it at once: where the system has locks one builds and the others
wait, and in any case each writes a file of its own and renames it. A file that was cut short or
changed does not match its digest and is built anew. Where no compiler is found, or it fails, the
torch paths do the work, and one notice says so.
"""

import contextlib
import ctypes
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import torch

SOURCES = Path(__file__).parent
COMPILERS = ("c++", "g++", "clang++")
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-ffp-contract=fast", "-w")
WIDE = "-mprefer-vector-width=512"
ISAS = {
    "avx512": ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mfma", WIDE],
    "avx2": ["-mavx2", "-mfma"],
    "baseline": [],
}
LIMIT = 300  # seconds for the compiler
_lock = threading.Lock()


def isa() -> str:
    """Return the instruction set to build for: $IDDL_ISA, else the processor's best."""
    known = {"AVX512": "avx512", "AVX2": "avx2"}
    best = known.get(torch.backends.cpu.get_cpu_capability(), "baseline")
    asked = os.environ.get("IDDL_ISA", best)
    if asked not in ISAS:
        raise ValueError(f"IDDL_ISA must be one of {', '.join(ISAS)}, got {asked!r}")
    return asked if list(ISAS).index(asked) >= list(ISAS).index(best) else best


def compiler() -> str | None:
    """Return $CXX, or else the first of COMPILERS on the PATH."""
    asked = os.environ.get("CXX", "").split()[:1]
    return next(filter(None, map(shutil.which, asked or COMPILERS)), None)


def cache_dir() -> Path:
    """Return the folder of built libraries and times: $IDDL_CACHE, else ~/.cache/iddl.

    Where that cannot be written, a private folder among the temporary ones.
    """
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    wanted = Path(os.environ.get("IDDL_CACHE") or Path(home) / "iddl") / "kernels"
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=wanted):
            return wanted
    except OSError:
        return _private()


def _private() -> Path:
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"iddl-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        # A library of somebody else's is never loaded.
        if stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & 0o022:
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="iddl-"))


@cache
def sources() -> bytes:
    """Return all source text of ours that the compiler reads."""
    files = sorted([*SOURCES.glob("*.h"), *SOURCES.glob("*.cpp")])
    return b"\0".join(f.name.encode() + b"\0" + f.read_bytes() for f in files)


def flags() -> list[str]:
    """Return the compiler's options: FLAGS, the instruction set, and $IDDL_CXXFLAGS."""
    known = ISAS[isa()] if platform.machine() in ("x86_64", "AMD64") else []
    return [*FLAGS, *known, *os.environ.get("IDDL_CXXFLAGS", "").split()]


def key(program: str) -> str:
    """Return a key that changes with sources, compiler, instruction set and machine."""
    found = os.stat(os.path.realpath(program))
    parts = [program, found.st_size, found.st_mtime_ns, platform.machine(), flags(), _openmp()]
    return hashlib.sha256(sources() + repr(parts).encode()).hexdigest()[:24]


def _openmp() -> str | None:
    """Return torch's own OpenMP runtime, so that the process has one pool of threads."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return None
    names = [line.split()[-1] for line in lines if "omp" in line]
    found = [n for n in names if Path(n).name.startswith(("libgomp", "libomp", "libiomp"))]
    home = Path(torch.__file__).parent  # (scikit-learn, for one, brings another)
    return next((n for n in found if Path(n).is_relative_to(home)), next(iter(found), None))


@cache
def library() -> ctypes.CDLL | None:
    """Return the library, built if need be, or None after one notice if it cannot be."""
    with _lock:
        program = compiler()
        if program is None:
            _notice(f"no C++ compiler found (looked for {', '.join(COMPILERS)} and $CXX)")
            return None
        try:
            name = key(program)
            return load(cache_dir(), name) or _build_and_load(program, name)
        except (OSError, subprocess.SubprocessError) as error:
            _notice(str(error))
            return None


def _notice(why: str) -> None:
    print(f"iddl: no native kernels, torch's operators do the work: {why}", file=sys.stderr)


def load(folder: Path, name: str) -> ctypes.CDLL | None:
    """Return the library of that key, or None where there is no sound one."""
    path = folder / f"{name}.so"
    try:
        content = path.read_bytes()
    except OSError:
        return None
    whole = hashlib.sha256(content[:-32]).digest() == content[-32:]
    if not whole or name.encode() not in content:  # (its key is written in it: IDDL_KEY)
        return None
    return ctypes.CDLL(str(path))


@contextlib.contextmanager
def locked(path: Path, seconds: float) -> Iterator[None]:
    """Hold a lock on this file, as far as the system has locks.

    Raises:
        OSError: another process has held it for so many seconds.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    with open(path, "a") as lock:
        until = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise OSError(f"{path} is locked by another process") from None
                time.sleep(0.02)
        yield


def _build_and_load(program: str, name: str) -> ctypes.CDLL:
    """Build by one process at a time, if there are locks; others wait and load it."""
    folder = cache_dir()
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):  # (two that build do no harm)
            held.enter_context(locked(folder / f"{name}.lock", LIMIT))
        return load(folder, name) or _build_here(program, name, folder)


def _build_here(program: str, name: str, folder: Path) -> ctypes.CDLL:
    print(f"iddl: building the native kernels with {program} (once, seconds)", file=sys.stderr)
    errors = []
    for link in (_openmp(), "-fopenmp", None):  # torch's threads, the compiler's own, or none
        try:
            build(program, name, folder / f"{name}.so", link)
            found = load(folder, name)
            if found is not None:
                return found
            errors.append(f"{folder / name}.so could not be read back")
        except OSError as error:
            errors.append(str(error))
    raise OSError(errors[0])


def build(program: str, name: str, path: Path, link: str | None) -> None:
    """Compile and link into `path`, whole or not at all.

    Raises:
        OSError: with the compiler's last lines.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="build-") as folder:
        made, done = f"{folder}/native.o", f"{folder}/native.so"
        threads = ["-fopenmp"] if link else []
        define = f'-DIDDL_KEY="{name}"'
        told = [program, *flags(), *threads]
        _run([*told, define, "-c", str(SOURCES / "native.cpp"), "-o", made])
        _run([program, *flags(), "-shared", made, "-o", done, *([link] if link else [])])
        content = Path(done).read_bytes()
        whole = Path(folder) / "whole"
        whole.write_bytes(content + hashlib.sha256(content).digest())
        whole.replace(path)


def _run(words: list[str]) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT, errors="replace")
    if done.returncode:
        last = "\n  ".join(done.stderr.strip().splitlines()[-5:])
        raise OSError(f"{words[0]} failed with status {done.returncode}:\n  {last}")
