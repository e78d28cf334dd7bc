"""`medeval compare`: two evaluated models, side by side."""

from __future__ import annotations

import json

import pytest

from medeval_assets_tests.e2e.conftest import Medeval

pytestmark = pytest.mark.slow


def test_two_models_are_compared_on_what_both_answered(medeval: Medeval) -> None:
    pair = ("baseline-majority", "baseline-copy")
    for model, limit in zip(pair, ("4", "3"), strict=True):
        assert medeval("evaluate", "-m", model, "-t", "medqa", "-t", "meqsum", "--limit", limit).returncode == 0

    outcome = medeval("compare", *pair, "--json")
    assert outcome.returncode == 0, outcome.stderr
    rows = json.loads(outcome.stdout)
    (choice,) = [row for row in rows if (row["task"], row["family"]) == ("medqa", "planned")]
    # The limits' choices are nested, so the smaller one is what they share; the copied question is no answer.
    assert (choice["n"], choice["examples"], choice["base_value"], choice["test"]) == (3, 3, 0.0, "mcnemar_exact")
    assert choice["from_format"] == pytest.approx(choice["difference"])
    assert choice["synthetic"] is True
    assert choice["only_model"] + choice["both_right"] + choice["only_base"] + choice["neither"] == 3

    shown = medeval("compare", *pair, "--task", "medqa", "--margin", "5")
    assert "medqa" in shown.stdout and "meqsum" not in shown.stdout
    assert "±5" in shown.stderr and "synthetic samples" in shown.stderr


def test_models_that_were_not_evaluated_are_told_so(medeval: Medeval) -> None:
    outcome = medeval("compare", "baseline-random", "baseline-copy")
    assert outcome.returncode == 1
    assert "no task on which both were evaluated" in outcome.stderr
    assert "medeval evaluate -m baseline-random -m baseline-copy" in outcome.stderr


def test_an_unknown_model_is_wrong_use(medeval: Medeval) -> None:
    outcome = medeval("compare", "baseline-randm", "baseline-copy")
    assert outcome.returncode == 2
    assert "baseline-random" in outcome.stderr
