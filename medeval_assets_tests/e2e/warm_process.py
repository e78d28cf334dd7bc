"""Importing this imports all that an evaluation needs, by evaluating a baseline: for processes to fork from."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
import transformers.models.auto.modeling_auto
import transformers.models.llama.modeling_llama
import transformers.models.llama.tokenization_llama  # noqa: F401

import medeval_assets.cli
import medeval_assets.reports.leaderboard_picture
from medeval_assets.engines import transformers_engine  # noqa: F401
from medeval_assets.evaluation import evaluate
from medeval_assets.progress import LoggedProgress
from medeval_assets.resources import all_models
from medeval_assets.settings import Settings

torch.set_num_threads(1)  # threads do not survive a fork
with tempfile.TemporaryDirectory() as _folder:
    _settings = Settings(home=Path(_folder) / "home", sources=Path(_folder) / "sources")
    _baseline = all_models(_settings)["baseline-majority"]
    _outcome = evaluate(_settings, [_baseline], ["pubmedqa"], progress=LoggedProgress(), limit=2)
    assert _outcome.problems == []
    medeval_assets.reports.leaderboard_picture.picture(_outcome.rows)
