"""TaskSpec: one benchmark as scored. Example: one row of its dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medeval_assets.metrics.metric import Metric
    from medeval_assets.sources.source_folder import SourceFolder


class Output(StrEnum):
    """What a model is asked to return."""

    CHOICE = "choice"
    LABEL = "label"
    TEXT = "text"
    CODES = "codes"
    ENTITIES = "entities"


class Access(StrEnum):
    """Who may see a task's rows. Rows of the latter two never appear in logs, UI metadata, reports or errors."""

    PUBLIC = "public"
    CREDENTIALED = "credentialed"
    COPYRIGHTED = "copyrighted"


class Group(StrEnum):
    """The leaderboard's sections, in their order."""

    CASES = "case challenges"
    LEVEL_1 = "CLUE level 1"
    LEVEL_2 = "CLUE level 2"
    ENTITIES = "entity recognition"
    KNOWLEDGE = "knowledge tests"
    CONTROL = "general control"


@dataclass(frozen=True)
class Document:
    """One of several documents an example rests on; which of them a model sees depends on its context."""

    document_id: str
    text: str


@dataclass(frozen=True)
class Example:
    """One row of a dataset.

    example_id: unique within the task and stable: the same file gives the same ids in every version of the reader.
    cluster_id: what examples that are not independent share (patient, document, passage); else the example's own id.
    inputs: the named texts that the prompt template reads.
    targets: the right answer: one label of `options` (choice, label), reference texts (text), ICD-10-CM codes without
        dots (codes), mentions in reading order, repeats kept (entities; may be empty).
    options: label → text in the order shown (choice: "A" → …; pubmedqa and label tasks: the word → the word).
    documents: in order of importance, the answer's own first (LongHealth); empty where the inputs hold everything.
    split: "test" is scored; "dev" only ever serves as a shot.
    """

    example_id: str
    cluster_id: str
    inputs: Mapping[str, str]
    targets: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict)
    documents: tuple[Document, ...] = ()
    split: str = "test"


@dataclass(frozen=True)
class Decoding:
    """How an answer is decoded: greedy, at most `max_new_tokens`, ended by the model or by one of `stop`."""

    max_new_tokens: int
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shots:
    """k worked examples before the question.

    They are the first `count` examples of the dev split, or of the test split where there is no dev split, ordered by
    the hash of (seed, example_id). Shots from the test split are left out of scoring.
    """

    count: int = 0
    seed: int = 1


@dataclass(frozen=True)
class DocumentRule:
    """How an example's documents are fitted to a model's context.

    In their order of importance as many as fit into `max_tokens` (or what the context leaves after question and answer,
    if less) are taken, the last one truncated, then all are shuffled with a seed made from the example id.
    separator: the text between two documents.
    """

    max_tokens: int
    separator: str


@dataclass(frozen=True)
class Download:
    """A public file that `medeval fetch` can get. sha256 None: not known to the project, printed after the download."""

    url: str
    file_name: str
    sha256: str | None
    licence: str


@dataclass(frozen=True)
class ClueWording:
    """Where the CLUE benchmark's own prompt texts stand in a user's clone of it.

    script: path inside the clone.
    inputs: placeholder in the script's user template → Jinja expression over the example, e.g.
        {"CHQ": "inputs.question"}.
    answer: likewise for its assistant template (the shots' answers), e.g. {"Summary": "targets[0]"}. Where the
        script has no such template, the expression under "" is the whole answer, e.g. {"": "target"}.
    user: name of the script's variable that holds the user template.
    """

    script: str
    inputs: Mapping[str, str]
    answer: Mapping[str, str] = field(default_factory=dict)
    user: str = "user_prompt_template"


@dataclass(frozen=True)
class TaskSpec:
    """One task.

    name: the partition key, a slug.
    folder: where its files lie below the sources and the samples; several tasks may share one.
    read: turns the folder into examples; raises BadInput with every problem it found.
    template: the Jinja file with the blocks `system`, `user`, `answer` (a shot's answer, and the text whose likelihood
        stands for an option: there `target` is the option's label) and `cue` (the words that open an answer where there
        is no chat template).
    metrics: in the order shown; the first is the task's headline.
    version: raised when the reader changes what it returns for the same file.
    """

    name: str
    title: str
    about: str
    group: Group
    output: Output
    access: Access
    licence: str
    homepage: str
    folder: str
    read: Callable[[SourceFolder], list[Example]]
    template: Path
    decoding: Decoding
    metrics: tuple[Metric, ...]
    shots: Shots = Shots()
    documents: DocumentRule | None = None
    downloads: tuple[Download, ...] = ()
    clue: ClueWording | None = None
    version: str = "1"
