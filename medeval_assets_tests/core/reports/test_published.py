"""Published values: how they are read, the bundled ones, and what a measurement says of one."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from medeval_assets.catalog.models_file import read_models
from medeval_assets.errors import BadInput
from medeval_assets.metrics.clue_text import ENCODER
from medeval_assets.metrics.metric import CLUE, CORRECTED
from medeval_assets.reports.published import Published, agreement, read_published
from medeval_assets.settings import Settings
from medeval_assets.sources.source_folder import SourceFile
from medeval_assets.tasks import all_tasks
from medeval_assets_tests.real_data import SHARED_DATA

BUNDLED = Settings.from_environment({}).bundled / "reference" / "published.csv"
TABLE = SHARED_DATA.parent / "reference" / "clue_results_2024-06-26.csv"

# The benchmark's names of models that are not the last part of their checkpoint's name.
OTHER_NAMES = {
    "internistai/base-7b-v0.2": "internist-base-7b-v0.2",
    "Llama-2-70b": "llama-2-70b",
    "Llama-2-70b-chat": "llama-2-70b-chat",
    "llama2-7b-hf": "llama-2-7b",
    "llama2-7b": "llama2-7b",
}
OTHER_METRICS = {
    ("longhealth", "task1_accuracy"): ("longhealth_1", "accuracy_lenient"),
    ("longhealth", "task2_accuracy"): ("longhealth_2", "accuracy_lenient"),
    ("longhealth", "task3_accuracy"): ("longhealth_3", "accuracy_lenient"),
    ("medisumcode", "em_f1"): ("medisumcode", "icd10_exact_f1"),
    ("medisumcode", "ap_f1"): ("medisumcode", "icd10_approximate_f1"),
    ("medisumcode", "valid_codes"): ("medisumcode", "icd10_valid"),
    ("mednli", "accuracy"): ("mednli", "accuracy_lenient"),
    **{(task, "bertscore_f1"): (task, f"bertscore_f1.{encoder}") for task, encoder in ENCODER.items()},
}


def published(folder: Path, *lines: str) -> SourceFile:
    path = folder / "published.csv"
    path.write_text("\n".join(["model,task,metric,profile,published,source", *lines]))
    return SourceFile(path)


def test_values_are_told_apart_by_all_four_names(tmp_path: Path) -> None:
    lines = [f"m{m},t{t},a{a},{profile},0.25,a paper" for m in "12" for t in "12" for a in "12" for profile in "pq"]
    known = read_published(published(tmp_path, *lines, 'm1,t1,a1,r,1,"a, b"'))
    assert len(known) == 17
    assert known["m1", "t1", "a1", "q"] == Published(0.25, "a paper")
    assert known["m1", "t1", "a1", "r"] == Published(1.0, "a, b")


def test_all_bad_rows_are_named_at_once(tmp_path: Path) -> None:
    file = published(
        tmp_path,
        "m0,cases,accuracy,corrected,0.1,a paper",
        "m1,cases,accuracy,corrected,64.3,a paper",
        "m2,cases,accuracy,corrected,nan,a paper",
        "m3,cases,accuracy,corrected,-0.1,a paper",
        "m0,cases,accuracy,corrected,0.2,a paper",
        "m0,cases,accuracy,,0.2,a paper",
        "m4,cases,accuracy,corrected,0.2,",
        "m4,cases,accuracy,corrected,,a paper",
    )
    with pytest.raises(BadInput) as caught:
        read_published(file)
    assert [problem.where for problem in caught.value.problems] == [
        *(f"published.csv:{line} published" for line in (3, 4, 5)),
        "published.csv:6",
        "published.csv:7 profile",
        "published.csv:8 source",
        "published.csv:9 published",
    ]


def test_a_table_without_profiles_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "published.csv"
    path.write_text("model,task,metric,published,source\nm,t,a,0.1,a paper")
    with pytest.raises(BadInput, match="profile"):
        read_published(SourceFile(path))


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.4, 0.6, "agrees"),
        (0.5, 0.6, "agrees"),
        (0.4, 0.5, "agrees"),
        (0.51, 0.6, "higher"),
        (0.4, 0.49, "lower"),
        (None, None, ""),
    ],
)
def test_the_verdict_follows_the_measured_interval(low: float | None, high: float | None, verdict: str) -> None:
    assert agreement(0.5, low, high) == verdict


def test_the_bundled_values_use_the_projects_names() -> None:
    models, tasks = read_models([BUNDLED.parents[1] / "catalog" / "models.yaml"]), all_tasks()
    known = read_published(SourceFile(BUNDLED))
    assert {model for model, *_ in known} - set(models) == {"llama2-7b"}
    measured = {(name, metric.name, metric.profile) for name, spec in tasks.items() for metric in spec.metrics}
    rest = {key[1:] for key in known} - measured
    # Of the rest, BERTScore and concepts need a model, and the level scores stand above the tasks.
    assert rest == {
        *(("clue", f"level{level}_score", CLUE) for level in (1, 2)),
        *((task, f"bertscore_f1.{encoder}", CLUE) for task, encoder in ENCODER.items()),
        *((task, "umls_f1", CLUE) for task in ("problem_summary", "medisumqa")),
    }
    assert {value.source for key, value in known.items() if key[3] == CORRECTED} == {"arXiv 2408.13833"}


@pytest.mark.skipif(not TABLE.is_file(), reason="CLUE's results table is not beside the checkout (../shared/reference)")
def test_the_bundled_values_are_those_of_clues_table() -> None:
    models = read_models([BUNDLED.parents[1] / "catalog" / "models.yaml"])
    keys: dict[str, str] = dict(OTHER_NAMES)
    for key, model in models.items():
        keys.setdefault(str(model.checkpoint).rpartition("/")[2], key)
    expected = {}
    with TABLE.open() as file:
        for row in csv.DictReader(file):
            task, metric = OTHER_METRICS.get((row["task"], row["metric"]), (row["task"], row["metric"]))
            expected[keys[row["model"]], task, metric, CLUE] = round(float(row["percent"]) / 100, 6)
    ours = {key: published.value for key, published in read_published(SourceFile(BUNDLED)).items() if key[3] == CLUE}
    assert ours == expected
    assert len(ours) == 501
    assert len({model for model, *_ in ours}) == 26
