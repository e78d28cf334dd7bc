"""The UMLS metrics where their library is not installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from medeval_assets.metrics.umls_f1 import umls_identity, umls_metrics


@pytest.mark.skipif(importlib.util.find_spec("scispacy") is not None, reason="scispaCy is installed")
def test_without_scispacy_there_are_no_metrics_whatever_the_folder_holds(tmp_path: Path) -> None:
    (tmp_path / "umls" / "pipeline").mkdir(parents=True)
    (tmp_path / "umls" / "small.jsonl").write_text("{}", encoding="utf-8")
    assert umls_metrics(tmp_path) == ()
    assert umls_identity(tmp_path) == {}
