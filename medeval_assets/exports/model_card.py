"""A model's values as the metadata of its card on the Hugging Face Hub: the `model-index`.

Specification: https://github.com/huggingface/hub-docs/blob/main/modelcard.md
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medeval_assets.catalog.quoted import quoted
from medeval_assets.errors import BadInput, Problem
from medeval_assets.exports.card_metadata import card_with
from medeval_assets.exports.evaluation_results import CellResults, Value

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

_MEASURED = "measured with medeval-assets"
_TASK_TYPE = "text-generation"


def eval_results(model: str, results: Sequence[CellResults]) -> list[EvalResult]:
    """Every value as huggingface_hub's own type: not verified by the Hub, as only the Hub may say that it is.

    The format has no place for how sure a value is, for what it rests on, or for how it was computed, but takes any
    arguments of a metric: there it stands. The source is the page of the dataset's owners.
    """
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type=_TASK_TYPE,
            task_name=cell.about,
            dataset_type=f"synthetic-{cell.task}" if cell.synthetic else cell.task,
            dataset_name=cell.title,
            dataset_split="test",
            metric_type=value.metric,
            metric_name=f"{value.title} (synthetic samples)" if cell.synthetic else value.title,
            metric_value=value.value,
            metric_config=value.profile,
            metric_args=_arguments(model, cell, value),
            verified=False,
            source_name=f"{cell.title}, {_MEASURED}",
            source_url=cell.homepage,
        )
        for cell in results
        for value in cell.metrics
    ]


def card_metadata(model: str, results: Sequence[CellResults]) -> str:
    """A card of nothing but the values, to be pasted or to begin a card with."""
    return _card_with("", "the card", model, results)


def merge_into_card(path: Path, model: str, results: Sequence[CellResults]) -> None:
    """Put the values into the metadata of a card, `README.md`; a card that is not there yet is begun.

    Of what the card says otherwise, every byte stays. Values that we gave it before give way to those of the same model
    and task; those on real data never to some on synthetic samples. BadInput where the card cannot be read or written.
    """
    with _told_in_words(path):
        before = path.read_bytes() if path.exists() else b""
    try:
        card = before.decode()
    except UnicodeDecodeError as error:
        what = "the card is not UTF-8"
        raise BadInput([Problem(quoted(path.name), what, "Save it as UTF-8.")]) from error
    after = _card_with(card, quoted(path.name), model, results).encode()
    with _told_in_words(path), _draft_of(path) as draft:
        draft.write_bytes(after)


def _card_with(card: str, where: str, model: str, results: Sequence[CellResults]) -> str:
    from huggingface_hub.repocard_data import eval_results_to_model_index

    (entry,) = eval_results_to_model_index(model, eval_results(model, results))
    return card_with(card, where, model, entry["results"], _giving_way(model, results))


def _arguments(model: str, cell: CellResults, value: Value) -> dict[str, Any]:
    arguments = {
        "model": model,
        "task": cell.task,
        "synthetic": cell.synthetic,
        **value.model_dump(exclude={"metric", "title", "profile", "headline", "value"}),
        "limit": cell.limit,
        "computed_with": cell.computed_with,
        "dataset_sha256": cell.dataset_sha256,
        "metric_table_sha256": cell.metric_table_sha256,
    }
    return {name: told for name, told in arguments.items() if told is not None}


def _giving_way(model: str, results: Sequence[CellResults]) -> Callable[[Any], bool]:
    """Which results of a card are ours and were measured again."""
    measured = {(cell.task, synthetic) for cell in results for synthetic in {True, cell.synthetic}}

    def gives_way(result: Any) -> bool:
        try:
            ours = str(result["source"]["name"]).endswith(_MEASURED)
            about = result["metrics"][0]["args"]
            return ours and about["model"] == model and (about["task"], about["synthetic"]) in measured
        except (KeyError, IndexError, TypeError):
            return False  # nothing that we would have written

    return gives_way


@contextmanager
def _told_in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = f"the card cannot be read or written ({error.strerror or type(error).__name__})"
        raise BadInput([Problem(quoted(path.name), what, "Check the folder and its permissions.")]) from error


@contextmanager
def _draft_of(path: Path) -> Iterator[Path]:
    """A draft that becomes the card when it is done: the whole card or the one that was there, never a part."""
    draft = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        yield draft
        if path.exists():
            shutil.copymode(path, draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
