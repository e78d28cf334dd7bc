"""The level scores: the published ones out of their components, and their standard errors by hand."""

from __future__ import annotations

import math
from collections import defaultdict

import pytest

from medeval_assets.metrics.clue_level import LEVEL_1, LEVEL_2, LevelScore, Values, level_1, level_2
from medeval_assets.metrics.metric import CLUE
from medeval_assets.reports.published import read_published
from medeval_assets.settings import Settings
from medeval_assets.sources.source_folder import SourceFile

LEVELS = {"level1_score": level_1, "level2_score": level_2}


@pytest.fixture(scope="module")
def published() -> dict[str, dict[str, dict[str, float | None]]]:
    """Model → task → metric → value."""
    file = SourceFile(Settings.from_environment({}).bundled / "reference" / "published.csv")
    values: dict[str, dict[str, dict[str, float | None]]] = defaultdict(lambda: defaultdict(dict))
    for (model, task, metric, profile), known in read_published(file).items():
        if profile == CLUE:
            values[model][task][metric] = known.value
    return values


@pytest.mark.parametrize(("name", "count"), [("level1_score", 25), ("level2_score", 18)])
def test_all_published_scores_are_reproduced_to_two_decimals(
    published: dict[str, dict[str, dict[str, float | None]]], name: str, count: int
) -> None:
    scores = {model: values["clue"][name] for model, values in published.items() if name in values["clue"]}
    ours = {model: LEVELS[name](published[model]).value for model in scores}
    assert len(scores) == count
    assert {model: percent(value) for model, value in ours.items()} == {
        model: percent(value) for model, value in scores.items()
    }


def percent(value: float | None) -> str:
    return "none" if value is None else f"{100 * value:.2f}"


def test_a_model_without_level_2_says_what_is_missing(
    published: dict[str, dict[str, dict[str, float | None]]],
) -> None:
    score = level_2(published["meditron-7b"])
    assert (score.value, score.standard_error) == (None, None)
    assert score.missing == tuple(component for part in LEVEL_2 for component in part)
    assert len(score.missing) == 3 + 5 + 3


def all_halves() -> dict[str, dict[str, float | None]]:
    values: dict[str, dict[str, float | None]] = defaultdict(dict)
    for task, metric in (component for part in LEVEL_1 for component in part):
        values[task][metric] = 0.5
    return values


def test_missing_components_are_named() -> None:
    values = all_halves()
    del values["meqsum"]["rouge2"]
    values["problem_summary"]["umls_f1"] = None
    assert level_1(values) == LevelScore(None, None, (("meqsum", "rouge2"), ("problem_summary", "umls_f1")))


def test_worked_by_hand() -> None:
    accuracy, codes = "accuracy_lenient", ("icd10_exact_f1", "icd10_approximate_f1", "icd10_valid")
    texts = [metric for _, metric in LEVEL_2[1]]
    values: Values = {
        "longhealth_1": {accuracy: 0.9},
        "longhealth_2": {accuracy: 0.6},
        "longhealth_3": {accuracy: 0.0},  # mean 0.5
        "medisumqa": dict(zip(texts, (0.1, 0.2, 0.3, 0.6, 0.3), strict=True)),  # mean 0.3
        "medisumcode": dict(zip(codes, (0.1, 0.2, 0.9), strict=True)),  # mean 0.4
        "mednli": {accuracy: 1.0},  # of the other level
    }
    errors: Values = {
        "longhealth_1": {accuracy: 0.03},
        "longhealth_2": {accuracy: 0.04},
        "longhealth_3": {accuracy: 0.02},  # mean 0.03
        "medisumqa": dict.fromkeys(texts, 0.04),
        "medisumcode": dict(zip(codes, (0.0, 0.0, 0.36), strict=True)),  # mean 0.12
    }
    score = level_2(values, errors)
    assert score.value == pytest.approx((0.5 + 0.3 + 0.4) / 3, rel=1e-15)
    # 0.03² + 0.04² + 0.12² = 0.13², over three parts.
    assert score.standard_error == pytest.approx(0.13 / 3, rel=1e-12)
    assert score.missing == ()
    assert level_2(values).standard_error is None
    assert level_2(values, {**errors, "medisumqa": {**errors["medisumqa"], "umls_f1": None}}) == LevelScore(
        score.value, None
    )


def test_an_error_shared_by_all_metrics_of_a_part_is_not_averaged_away() -> None:
    score = level_1(all_halves(), all_halves())
    assert score.value == 0.5
    assert score.standard_error == pytest.approx(0.5 * math.sqrt(3) / 3)
