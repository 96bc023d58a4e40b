"""The user's copy of onnxruntime-web (MIT), whose files are too large to be part of this one."""

import re
from pathlib import Path
from typing import NamedTuple

PLACE = Path("node_modules/onnxruntime-web")  # where npm puts it
FACE = "ort.wasm.min.js"
CORE = {"mjs": "ort-wasm-simd-threaded.mjs", "wasm": "ort-wasm-simd-threaded.wasm"}
LINE = "npm install onnxruntime-web"


class Runtime(NamedTuple):
    """Its program, what that loads, and its version (none where the program does not say)."""

    face: str
    core: dict[str, bytes]
    version: str

    @property
    def size(self) -> int:
        """Bytes of all that a page needs of it."""
        return len(self.face.encode()) + sum(map(len, self.core.values()))


def read(place: Path) -> Runtime:
    """Return the runtime in a folder: a package of npm, or its `dist`.

    Raises:
        ValueError: it is not there; has the line to type.
    """
    folder = place / "dist" if (place / "dist").is_dir() else place
    missing = [name for name in (FACE, *CORE.values()) if not (folder / name).is_file()]
    if missing:
        raise ValueError(
            f"there is no onnxruntime-web in {place} (no {missing[0]}): get it by `{LINE}`, or "
            "name the folder that has it by --runtime DIR"
        )
    face = (folder / FACE).read_text("utf-8")
    version = re.search(r"ONNX Runtime Web v([\d.]+)", face[:500])
    core = {kind: (folder / name).read_bytes() for kind, name in CORE.items()}
    return Runtime(face, core, version[1] if version else "")
