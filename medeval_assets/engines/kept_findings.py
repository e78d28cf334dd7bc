"""What template checks found, remembered: loading a tokenizer to find the same again takes seconds."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from medeval_assets.catalog.remembering import may_remember
from medeval_assets.engines.template_check import Finding

_MOST_KEPT = 10_000


class KeptFindings:
    """Findings in `<folder>/template_findings.json`, by the hash of all that they depend on.

    A damaged memory is forgotten, and one that cannot be written is done without: it only saves time.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "template_findings.json"

    def of(self, sha256: str) -> list[Finding] | None:
        """What was found, None where it is not remembered."""
        try:
            return [
                Finding(
                    one["name"], "blocking" if one["severity"] == "blocking" else "warning", one["what"], one["remedy"]
                )
                for one in self._all()[sha256]
            ]
        except (KeyError, TypeError):
            return None

    def keep(self, sha256: str, findings: Sequence[Finding]) -> None:
        if not may_remember():
            return
        draft = self._file.with_name(f".{self._file.name}-{uuid.uuid4().hex}")
        kept = dict(list(self._all().items())[1 - _MOST_KEPT :])
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            try:
                draft.write_text(json.dumps({**kept, sha256: [asdict(one) for one in findings]}), encoding="utf-8")
                draft.replace(self._file)
            finally:
                draft.unlink(missing_ok=True)

    def _all(self) -> dict[str, list[dict[str, str]]]:
        try:
            kept = json.loads(self._file.read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        return kept if isinstance(kept, dict) else {}
