"""The options of a multiple-choice record under the letters A, B, …, and the letter of the right one."""

from __future__ import annotations

from collections.abc import Sequence

from medeval_assets.sources.source_folder import Row, RowProblem

LETTERS = "ABCDEFGH"


def options_in_fields(row: Row, names: Sequence[str], least: int) -> dict[str, str]:
    """Letter → text, where each option has a field of its own, in the order of `names`.

    The first `least` fields must be filled. Of the others, the last ones may be empty or absent; an empty one
    before a filled one is a RowProblem, since it would move the letters.
    """
    texts = [row.text(name) for name in names[:least]] + [row.optional_text(name) for name in names[least:]]
    while not texts[-1]:
        texts.pop()
    for name, text in zip(names, texts, strict=False):
        if not text:
            what = "the option is empty and a later one is not"
            raise RowProblem(f"{row.where} {name}", what, "Close the gap.")
    return dict(zip(LETTERS, texts, strict=False))


def options_in_object(row: Row, name: str) -> dict[str, str]:
    """Letter → text, where one field holds them all: an object with the keys A, B, … without a gap."""
    options = Row(f"{row.where} {name}", row.field(name))
    if not isinstance(options.values, dict):
        what = f"expected an object of options, found {type(options.values).__name__}"
        raise RowProblem(options.where, what)
    labels = sorted(options.values)
    if len(labels) < 2 or "".join(labels) != LETTERS[: len(labels)]:
        raise RowProblem(options.where, "expected at least two options named A, B, … without a gap")
    return {label: options.text(label) for label in labels}


def right_letter(where: str, letter: str, options: dict[str, str]) -> str:
    """`letter` in upper case; a RowProblem at `where` when it is empty or names none of the options."""
    if not letter:
        remedy = "Give the right option's letter, or leave the record out."
        raise RowProblem(where, "the options have no answer", remedy)
    if letter.upper() not in options:
        raise RowProblem(where, f"the answer is none of the options ({', '.join(options)})")
    return letter.upper()
