"""Where the real public files lie that some tests read: beside the checkout, never in it."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

needs_real_data = pytest.mark.skipif(
    not SHARED_DATA.is_dir(), reason="the real public files are not beside the checkout (../shared/data)"
)
