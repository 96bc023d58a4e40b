"""Skips what the extra `int8` is needed for, with the reason."""

import pytest

from compress.int8 import extras

REASON = extras.missing()
needs_the_extra = pytest.mark.skipif(bool(REASON), reason=REASON or "the extra is installed")
needs_export = pytest.mark.skipif(extras.too_old(), reason="torch.export of an older torch")
