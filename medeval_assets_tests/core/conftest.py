"""Settings of the tests of the pure core."""

from __future__ import annotations

from hypothesis import settings

# No test is about how long an example takes.
settings.register_profile("medeval-assets", deadline=None)
settings.load_profile("medeval-assets")
