"""ExampleTrace: one example, from its row in the dataset to its scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medeval_assets.catalog.checkpoint_source import NotHere
from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.catalog.quoted import quoted
from medeval_assets.catalog.task_spec import TaskSpec
from medeval_assets.engines.generations import fit_prompt
from medeval_assets.engines.loaded_checkpoint import LoadedCheckpoint
from medeval_assets.engines.rendering import Renderer
from medeval_assets.engines.respondent import Respondent
from medeval_assets.engines.respondents import respondent_of
from medeval_assets.errors import BadInput, MedevalError, Problem
from medeval_assets.lake.lake import Lake
from medeval_assets.prompts.fitting import Skipped
from medeval_assets.prompts.prompt_rows import prompts_of
from medeval_assets.settings import Settings
from medeval_assets.trace.chain import Link
from medeval_assets.trace.recorded import rows_of


@dataclass(frozen=True)
class ExampleTrace:
    """What became of one example.

    row: its row of the dataset. prompt: its row of the prompt set. generation: what the model returned.
    rendered: the prompt under the model's template, as text; "" where that cannot be shown, for the reason in `why`.
    scores: its rows of the scores, with parse rule and failure.
    """

    row: Mapping[str, Any]
    prompt: Mapping[str, Any]
    rendered: str
    why: str
    generation: Mapping[str, Any]
    scores: Sequence[Mapping[str, Any]]


def example_trace(
    lake: Lake, chain: Link, example_id: str, *, task: TaskSpec, models: Mapping[str, ModelSpec], settings: Settings
) -> ExampleTrace:
    """The example behind a cell's numbers, from the tables that these were made from.

    chain: of the cell's metric table. BadInput where a table of it is gone, or knows no such example.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for asset in ("datasets", "prompt_sets", "generations", "scores"):
        link = chain.of(asset)
        if link is None:
            raise BadInput([Problem(str(chain.key), f"no {asset} stand behind it", "`medeval audit` tells more.")])
        found[asset] = [row for row in rows_of(lake, link) if row["example_id"] == example_id]
        if not found[asset]:
            what = f"it has no example {quoted(example_id)}"
            remedy = "`medeval dataset` lists the examples; a limit leaves some out, and worked examples are not asked."
            raise BadInput([Problem(str(link.key), what, remedy)])
    generation = found["generations"][0]
    spec = models.get(chain.key.model)
    rendered, why = "", "the model is no longer in the catalog"
    if generation["finish_reason"] == "skipped":
        why = str(generation["skip_reason"])
    elif spec is not None:
        respondent = respondent_of(spec, models, settings, download=False)
        try:
            rendered, why = _rendered(chain, found["prompt_sets"][0], task, respondent)
        except NotHere as error:
            why = str(error)
        except MedevalError as error:
            why = f"it cannot be rendered today: {error}"
    return ExampleTrace(found["datasets"][0], found["prompt_sets"][0], rendered, why, generation, found["scores"])


def _rendered(chain: Link, prompt: Mapping[str, Any], task: TaskSpec, respondent: Respondent) -> tuple[str, str]:
    """The prompt as the model's template writes it, and what is to be said of that; MedevalError where it cannot be."""
    if not isinstance(respondent, LoadedCheckpoint):
        return "", "nothing was rendered: no model was asked here"
    renderer = respondent.model.renderer
    if not isinstance(renderer, Renderer):
        return "", "the server renders the messages"
    asked = prompts_of([prompt])[0]
    fitted = fit_prompt(task, asked, renderer, respondent.model.setup.context)
    if isinstance(fitted, Skipped):
        return "", fitted.reason
    recorded = chain.of("generations")
    identity = {} if recorded is None or recorded.record is None else recorded.record.derivation.model
    today = respondent.identity(task)
    changed = [name for name in ("tokenizer_sha256", "chat_template_sha256") if identity.get(name) != today.get(name)]
    why = f"rendered with today's files, which are others than then: {', '.join(changed)}" if changed else ""
    return renderer.render(fitted.messages, asked.cue).text, why
