"""A model's values as the metadata of its card on the Hugging Face Hub: the `model-index`."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medeval_assets.catalog.quoted import quoted
from medeval_assets.errors import BadInput, Problem
from medeval_assets.exports.evaluation_results import CellResults

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

_MEASURED = "measured with medeval-assets"
_TASK_TYPE = "text-generation"


def model_index(title: str, results: Sequence[CellResults]) -> list[dict[str, Any]]:
    """The `model-index` of these values, which the Hub shows beside the model."""
    from huggingface_hub.repocard_data import eval_results_to_model_index

    index: list[dict[str, Any]] = eval_results_to_model_index(title, eval_results(results))
    return index


def eval_results(results: Sequence[CellResults]) -> list[EvalResult]:
    """Every value as huggingface_hub's own type: not verified by the Hub, as only the Hub may say that it is.

    The dataset's revision is the hash of the content that was read, so that another copy of it can be told apart. The
    source is the page of the dataset's owners; with what the value was computed stands with the metric.
    """
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type=_TASK_TYPE,
            task_name=cell.task.about,
            dataset_type=f"synthetic-{cell.task.name}" if cell.record.synthetic else cell.task.name,
            dataset_name=cell.dataset_title,
            dataset_split="test",
            dataset_revision=cell.dataset.content_sha256,
            metric_type=row["metric"],
            metric_name=f"{row['title']} (synthetic samples)" if cell.record.synthetic else row["title"],
            metric_value=row["value"],
            metric_config=row["profile"],
            metric_args={**cell.evidence(row), "computed_with": cell.source},
            verified=False,
            source_name=f"{cell.task.title}, {_MEASURED}",
            source_url=cell.task.homepage,
        )
        for cell in results
        for row in cell.metrics
    ]


def card_metadata(title: str, results: Sequence[CellResults]) -> str:
    """A card's YAML block with the `model-index` and nothing else, to be pasted or to begin a card with."""
    from huggingface_hub import ModelCardData

    data = ModelCardData(model_name=title, eval_results=eval_results(results))
    return f"---\n{data.to_yaml()}\n---\n"


def merge_into_card(path: Path, title: str, results: Sequence[CellResults]) -> None:
    """Put the values into the metadata of a card, `README.md`; a card that is not there yet is begun.

    What the card says otherwise stays: its text, its other metadata, values that other people measured. What we
    measured before on the same dataset is replaced. BadInput where the card cannot be read or written.
    """
    from huggingface_hub import metadata_load, metadata_save

    with _whole_card(path) as draft:
        if not path.exists():
            draft.write_text(card_metadata(title, results), encoding="utf-8")
            return
        draft.write_bytes(path.read_bytes())
        try:
            metadata = metadata_load(draft) or {}
            metadata["model-index"] = _merged(metadata.get("model-index") or [], model_index(title, results))
        except Exception as error:  # of many kinds, and YAML's would show the file's lines
            what = "the metadata of the card cannot be read"
            remedy = "Its YAML block stands between two lines of `---`; mend it."
            raise BadInput([Problem(quoted(path.name), what, remedy)]) from error
        metadata_save(draft, metadata)


def _merged(theirs: list[dict[str, Any]], ours: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The index of a card with our results, which take the places of those that we gave it before."""
    if not theirs:
        return ours
    (new,) = ours
    place = next((number for number, model in enumerate(theirs) if model.get("name") == new["name"]), 0)
    replaced = {result["dataset"]["type"] for result in new["results"]}
    stay = [
        result
        for result in theirs[place]["results"]
        if not (_is_ours(result) and result["dataset"]["type"] in replaced)
    ]
    merged = list(theirs)
    merged[place] = {**theirs[place], "results": [*stay, *new["results"]]}
    return merged


def _is_ours(result: dict[str, Any]) -> bool:
    return str((result.get("source") or {}).get("name", "")).endswith(_MEASURED)


@contextmanager
def _whole_card(path: Path) -> Iterator[Path]:
    """A draft that becomes the card when it is done: the whole card or the one that was there, never a part."""
    draft = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        yield draft
        draft.replace(path)
    except OSError as error:
        what = f"the card cannot be written ({error.strerror or type(error).__name__})"
        raise BadInput([Problem(quoted(path.name), what, "Check the folder and its permissions.")]) from error
    finally:
        draft.unlink(missing_ok=True)
