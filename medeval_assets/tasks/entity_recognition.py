"""Entity recognition: which diseases or chemicals does a sentence from an abstract mention?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from medeval_assets.catalog.task_spec import (
    Access,
    Decoding,
    Download,
    Example,
    Group,
    Output,
    Shots,
    TaskSpec,
)
from medeval_assets.errors import BadInput, Problem
from medeval_assets.metrics.entity_f1 import ENTITY_F1
from medeval_assets.sources.source_folder import Row, RowProblem, SourceFile, SourceFolder, examples_from

_MARKER = "-DOCSTART-"
_REPOSITORY = "https://github.com/cambridgeltl/MTL-Bioinformatics-2016"
_RAW = "https://raw.githubusercontent.com/cambridgeltl/MTL-Bioinformatics-2016/master/data"
_LICENCE = "CC BY 4.0"


class _Line(NamedTuple):
    where: str
    text: str


class _Sentence(NamedTuple):
    """The lines of one sentence.

    document: the number of its document in the file, from 1; 0 where the file marks no documents.
    """

    document: int
    lines: tuple[_Line, ...]


class _Token(NamedTuple):
    """text: as in the file. begins: it opens a mention. inside: it belongs to one."""

    text: str
    begins: bool
    inside: bool


def read(types: Sequence[str], folder: SourceFolder) -> list[Example]:
    """Read `test.tsv` (or the only tsv there is) for scoring and a `devel.tsv` beside it for the shots.

    Each line is a token, a tab and its tag (`O`, or `B-` or `I-` and one of `types`). A blank line ends a
    sentence; a line that begins with `-DOCSTART-` opens a document. A sentence's id is its file and first
    line. Sentences of a document are one cluster; where no documents are marked, each is its own.
    """
    test, devel = _files(folder)
    files = [(test, "test")] + ([(devel, "dev")] if devel else [])
    rows = [row for file, split in files for row in _rows(file, split)]
    return examples_from(rows, partial(_example, types))


def _files(folder: SourceFolder) -> tuple[SourceFile, SourceFile | None]:
    test = folder.optional("test.tsv")
    if test:
        return test, folder.optional("devel.tsv", "dev.tsv")
    files = folder.all("*.tsv")
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise BadInput([Problem(f"{folder.path.name}/", f"which is the test file? ({names})", "Name it test.tsv.")])
    return (files[0] if files else folder.one("test.tsv", "*.tsv")), None


def _rows(file: SourceFile, split: str) -> list[Row]:
    """One row a sentence; its values are (split, _Sentence)."""
    sentences: list[_Sentence] = []
    lines: list[_Line] = []
    document = 0

    def close() -> None:
        if lines:
            sentences.append(_Sentence(document, tuple(lines)))
            lines.clear()

    for number, text in enumerate(file.lines(), 1):
        if not text.strip():
            close()
        elif text.startswith(_MARKER):
            close()
            document += 1
        else:
            lines.append(_Line(f"{file.name}:{number}", text))
    close()
    if not sentences:
        raise BadInput([Problem(file.name, "no sentence could be read from it", "Get it again from its owner.")])
    return [Row(sentence.lines[0].where, (split, sentence)) for sentence in sentences]


def _example(types: Sequence[str], row: Row) -> Example:
    split, sentence = row.values
    text, mentions = _text_and_mentions(_tokens(sentence.lines, types))
    file, _, line = row.where.rpartition(":")
    stem = file.removesuffix(".tsv")
    example_id = f"{stem}-{line}"
    return Example(
        example_id=example_id,
        cluster_id=f"{stem}-document-{sentence.document}" if sentence.document else example_id,
        inputs={"sentence": text, "kinds": " and ".join(f"{kind.lower()}s" for kind in types)},
        targets=mentions,
        split=split,
    )


def _tokens(lines: Sequence[_Line], types: Sequence[str]) -> list[_Token]:
    """An `I-` that follows no token of its type begins a mention, as in the CoNLL-2000 scorer (conlleval)."""
    known = {"O", *(f"{prefix}-{kind}" for prefix in "BI" for kind in types)}
    tokens: list[_Token] = []
    last = ""
    for where, line in lines:
        token, *tags = line.split("\t")
        if len(tags) != 1 or not token.strip():
            raise RowProblem(where, "expected a token, a tab and its tag")
        tag = tags[0].strip()
        if tag not in known:
            raise RowProblem(f"{where} tag", f"expected one of {', '.join(sorted(known))}")
        prefix, _, kind = tag.partition("-")
        tokens.append(_Token(token.strip(), prefix == "B" or kind != last, bool(kind)))
        last = kind
    return tokens


def _text_and_mentions(tokens: Sequence[_Token]) -> tuple[str, tuple[str, ...]]:
    """The sentence as people write it, and its mentions, cut from that very text: each one occurs in it."""
    text = ""
    spans: list[tuple[int, int]] = []
    last = ""
    for token in tokens:
        if last and _apart(last, token.text):
            text += " "
        last = token.text
        start = len(text)
        text += token.text
        if token.inside and token.begins:
            spans.append((start, len(text)))
        elif token.inside:
            spans[-1] = (spans[-1][0], len(text))
    return text, tuple(text[start:end] for start, end in spans)


def _apart(left: str, right: str) -> bool:
    """Whether a blank stands between two tokens.

    None does before closing punctuation, after an opening bracket, around `-` and `/`, in a decimal number
    and in a possessive. The files split at every punctuation mark and keep no trace of the blanks, so a
    spaced dash is closed too.
    """
    closed = (
        right in set(",.;:?!)]}%'")
        or left in set("([{")
        or bool({left, right} & set("-/"))
        or (left == "." and right.isdigit())
        or (left == "'" and right == "s")
    )
    return not closed


def _downloads(corpus: str, **sha256: str) -> tuple[Download, ...]:
    return tuple(
        Download(f"{_RAW}/{corpus}/{name}.tsv", f"{name}.tsv", digest, _LICENCE) for name, digest in sha256.items()
    )


def _task(name: str, title: str, about: str, types: Sequence[str], downloads: tuple[Download, ...]) -> TaskSpec:
    return TaskSpec(
        name=name,
        title=title,
        about=about,
        group=Group.ENTITIES,
        output=Output.ENTITIES,
        access=Access.PUBLIC,
        licence=_LICENCE,
        homepage=_REPOSITORY,
        folder=name,
        read=partial(read, types),
        template=Path(__file__).with_suffix(".jinja"),
        decoding=Decoding(max_new_tokens=128),
        metrics=ENTITY_F1,
        shots=Shots(3),
        downloads=downloads,
    )


TASKS = (
    _task(
        "ncbi_disease",
        "NCBI Disease",
        "Finding the diseases in sentences from abstracts",
        ("Disease",),
        _downloads(
            "NCBI-disease-IOB",
            test="8f088ce45dc4746592188f9e69de3d89d87f3bb8f0ed8c4a287d018123fa148d",
            devel="b4e1e7efcc2a35047bf2f3d281648357470e674f555d4a26a0049ac37d59cc61",
        ),
    ),
    _task(
        "bc5cdr",
        "BC5CDR",
        "Finding the chemicals and diseases in sentences from abstracts",
        ("Chemical", "Disease"),
        _downloads(
            "BC5CDR-IOB",
            test="e41a2843a5fff0cd8d1a88cb147968d61ae29336ca70cddc3d7fb8ff21dfa1e8",
            devel="b909de65c4f7e3c23bb09ad52d654cdc92e96db941abe1a5dcf6f6010c03cff5",
        ),
    ),
)
