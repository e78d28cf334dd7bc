"""Journal: every answer of a loaded model, on disk before the next batch is asked for, found by what was asked."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import time
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from medeval_assets.engines.protocol import Answer
from medeval_assets.errors import BadInput, Problem

_KEPT = {"stop", "length", "refused"}


@dataclass(frozen=True)
class Entry:
    """A batch of one task as it stands in the journal.

    answers: by the hash of what was asked.
    environment: what answered.
    prompt_tokens: of all its prompts; seconds: how long the batch took.
    """

    answers: Mapping[str, Answer]
    environment: Mapping[str, str] = field(default_factory=dict)
    prompt_tokens: int = 0
    seconds: float = 0.0

    @property
    def generated_tokens(self) -> int:
        return sum(answer.generated_tokens for answer in self.answers.values())


class Journal:
    """The answers of one model under one engine and dtype.

    `<folder>/<hash of work>/<task>/<time>-<random>.jsonl`, one file a process and task, so that no file has two
    writers. A line is one batch with its checksum: it is there as a whole or not at all, and a damaged one costs no
    more than computing it again. Answers that failed are not kept.
    work: all that decides an answer besides the request: identity of the model, engine, dtype.
    """

    def __init__(self, folder: Path, work: Mapping[str, Any]) -> None:
        self.work = dict(work)
        described = json.dumps(self.work, sort_keys=True)
        self._folder = folder / hashlib.sha256(described.encode()).hexdigest()[:32]
        self._files: dict[str, BinaryIO] = {}

    def entries(self, task: str) -> Iterator[Entry]:
        """The task's batches, the older files first, each in the order of its answers.

        BadInput where a file is unreadable.
        """
        return _batches(self._folder, task)

    def entries_of_others(self, task: str) -> Iterator[Entry]:
        """Likewise every other model's, and this one's under another engine or dtype."""
        for folder in sorted(self._folder.parent.glob("*")):
            if folder != self._folder:
                yield from _batches(folder, task)

    def write(self, task: str, entry: Entry) -> None:
        """Keep a batch; it is on disk when this returns. BadInput where it cannot be."""
        kept = {key: answer for key, answer in entry.answers.items() if answer.finish_reason in _KEPT}
        if not kept:
            return
        line = _line(Entry(kept, entry.environment, entry.prompt_tokens, entry.seconds))
        try:
            file = self._files.get(task) or self._open(task)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            # What stands behind a torn line would be lost with it: the next batch begins another file.
            with contextlib.suppress(OSError):
                if (torn := self._files.pop(task, None)) is not None:
                    torn.close()
            full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
            remedy = "Free some space and run again: it goes on where it stopped." if full else "Check its permissions."
            what = f"cannot be written ({error.strerror}); the batches before are kept"
            raise BadInput([_problem(task, what, remedy)]) from error

    def close(self) -> None:
        for file in self._files.values():
            with contextlib.suppress(OSError):
                file.close()
        self._files.clear()

    def _open(self, task: str) -> BinaryIO:
        folder = self._folder / task
        new = [path for path in (folder, *folder.parents[:3]) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        about = self._folder / "work.json"
        if not about.exists():
            # For people who look around. Always the same draft, so that a kill leaves one at most.
            draft = about.with_name(".work.json")
            draft.write_text(json.dumps(self.work, sort_keys=True, indent=1) + "\n", encoding="utf-8")
            with contextlib.suppress(FileNotFoundError):  # another process was faster
                draft.replace(about)
        self._files[task] = file = (folder / f"{time.time_ns():020}-{uuid.uuid4().hex}.jsonl").open("xb")
        for path in (folder, *(made.parent for made in new)):
            _sync_folder(path)
        return file


def collect(entries: Iterator[Entry], wanted: Mapping[str, Any]) -> tuple[dict[str, Answer], list[Mapping[str, str]]]:
    """The wanted answers and what gave them. Of two answers to the same request the first one counts."""
    answers: dict[str, Answer] = {}
    environments: list[Mapping[str, str]] = []
    for entry in entries:
        new = {key: answer for key, answer in entry.answers.items() if key in wanted and key not in answers}
        if new and entry.environment not in environments:
            environments.append(entry.environment)
        answers |= new
    return answers, environments


def merged(environments: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """One environment for answers that several gave: where they differ, all values in their order."""
    values: dict[str, dict[str, None]] = {}
    for environment in environments:
        for name, value in environment.items():
            values.setdefault(name, {})[value] = None
    return {name: ", ".join(different) for name, different in values.items()}


def _batches(folder: Path, task: str) -> Iterator[Entry]:
    try:
        for path in sorted((folder / task).glob("*.jsonl")):
            with path.open("rb") as file:
                for line in file:
                    entry = _entry(line)
                    if entry is not None:
                        yield entry
    except OSError as error:
        raise BadInput([_problem(task, f"cannot be read ({error.strerror})", "Check its permissions.")]) from error


def _line(entry: Entry) -> bytes:
    content = {
        "answers": {
            key: [
                one.text,
                one.finish_reason,
                one.generated_tokens,
                one.option_logprobs,
                one.reason,
                one.token_ids,
                *([one.prompt_tokens] if one.prompt_tokens else ()),
            ]
            for key, one in entry.answers.items()
        },
        "environment": dict(entry.environment),
        "prompt_tokens": entry.prompt_tokens,
        "seconds": round(entry.seconds, 6),
    }
    # ASCII, so that lone surrogates survive and no line break stands inside.
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":")).encode("ascii")
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _entry(line: bytes) -> Entry | None:
    """The batch of a line; None where the line is torn, damaged or of another kind."""
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text):
        return None
    try:
        content = json.loads(text)
        return Entry(
            answers={
                key: Answer(text, finish, tokens, tuple(logprobs), reason, tuple(token_ids), *rest)
                for key, (text, finish, tokens, logprobs, reason, token_ids, *rest) in content["answers"].items()
            },
            environment=content["environment"],
            prompt_tokens=content["prompt_tokens"],
            seconds=content["seconds"],
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _problem(task: str, what: str, remedy: str) -> Problem:
    return Problem(f"journal of {task}", what, remedy)


def _sync_folder(path: Path) -> None:
    """Make a new name in the folder survive a power cut, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
