"""Skips what the extra `onnx` is needed for, with the reason."""

import pytest

from bibd.onnx import extras

REASON = extras.missing()
needs_the_extra = pytest.mark.skipif(bool(REASON), reason=REASON or "the extra is installed")
