"""Errors that a person can mend: what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class MedevalError(Exception):
    """Base of every error whose message is written for the user. The command line prints it without a traceback."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    where: file, line, field or partition, e.g. `models.yaml:12 models.meditron-7b.base`. Never text of an example.
    what: what is wrong there, in a short sentence without a final stop.
    remedy: what to do about it.
    """

    where: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}. {self.remedy}"


class BadInput(MedevalError):
    """A file, option or folder that cannot be used as it is. Carries all its problems, in the order they were found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def nearest(word: str, known: Iterable[str]) -> str:
    """The remedy for an unknown name: the closest known one, or the list of all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f"Did you mean `{close[0]}`?" if close else f"Known: {', '.join(names)}."
