"""The audit: every file of the lake against its name, its record, what it was made from and what Dagster recorded.

Belongs here: what is compared with what, over all files. Does not belong here: one file by itself (`file_check`) and
where the records of runs are kept (`known_writes` says what is asked of them).
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import multiprocessing
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from medeval_assets.audit.file_check import FileFacts, facts_of, is_seal, place_of, removal_verdict, verdict_of
from medeval_assets.audit.known_writes import KnownWrite, KnownWrites
from medeval_assets.audit.remembered import Remembered, Seen, remember, remembered_in
from medeval_assets.audit.verdict import AuditedFile, AuditReport, Place, Verdict
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import REMOVED, VERSIONS, Lake
from medeval_assets.lake.lake_file import LakeFile
from medeval_assets.lake.lineage_record import LineageRecord
from medeval_assets.lake.removal import Removal
from medeval_assets.lake.staleness import Change, in_words
from medeval_assets.printable import printable

Changes = Callable[[LineageRecord], Sequence[Change]]
Today = Callable[[Sequence[LineageRecord]], Changes]
"""What says of a record what changed since, made from the records of all current tables: none is read twice."""

OnRead = Callable[[int, int], None]
"""Told how many files are read, and of how many."""

AUDIT_TABLE = "lineage_audit"
"""The asset that keeps an audit's findings. It is the one table that is not derived from others, so never stale."""

_FEW_FILES = 400  # below it, starting processes takes longer than reading
_PROCESSES = 2
_CHUNK = 100  # files handed to a process at a time


def audit(
    lake: Lake,
    *,
    remembered: Path | None = None,
    known: KnownWrites | None = None,
    today: Today | None = None,
    full: bool = False,
    processes: int = _PROCESSES,
    on_read: OnRead | None = None,
) -> AuditReport:
    """Look at every file of the lake.

    remembered: where the last audit kept what it read; files that are as they were are not read again, unless `full`.
    known: what was recorded as written; None where there is nobody to ask, and then nothing is compared with it.
    today: what tables would be made from otherwise today; None to leave staleness out.
    on_read: told how many of how many files are read.
    """
    auditing = _Audit(
        lake, remembered=remembered, known=known, today=today, full=full, processes=processes, on_read=on_read
    )
    with _no_garbage_collected():
        return auditing.report()


@contextlib.contextmanager
def _no_garbage_collected() -> Iterator[None]:
    """What an audit makes stays until it is over: looking through it again and again takes a third of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


class _Audit:
    def __init__(
        self,
        lake: Lake,
        *,
        remembered: Path | None,
        known: KnownWrites | None,
        today: Today | None,
        full: bool,
        processes: int,
        on_read: OnRead | None,
    ) -> None:
        self._lake = lake
        self._path = remembered
        self._known = known
        self._today = today
        self._full = full
        self._processes = processes
        self._on_read = on_read or _unheard
        self._before = Remembered() if remembered is None else remembered_in(remembered, lake.root)
        self._now = Remembered()
        self._read = 0
        self._records: dict[str, LineageRecord] = {}  # path → what its footer says
        self._parsed: dict[str, LineageRecord | None] = {}
        self._created: dict[str, str] = {}  # hash of a file's bytes → when it was made
        self._found: dict[str, AuditedFile] = {}
        self._removals: dict[tuple[LakeKey, str], Removal] = {}
        self._archived: dict[LakeKey, set[str]] = defaultdict(set)

    def report(self) -> AuditReport:
        # Before the files are listed: whatever was recorded by now must be among them.
        expected = list(self._known.writes()) if self._known else []
        listed = self._lake.all_files()
        places = {file.path: place_of(file.path) for file in listed}
        for place in places.values():
            if place.kind == "version" and place.key is not None:
                self._archived[place.key].add(place.sha256)
        tables = [file for file in listed if places[file.path].kind in {"current", "version"}]
        facts = self._facts(tables, places)
        for file in tables:
            if file.path in facts:
                self._judge_table(file, places[file.path], facts[file.path])
        # After the files were read: what was removed meanwhile has its proof by now.
        for file in self._lake.all_files(REMOVED):
            place = places.get(file.path) or place_of(file.path)
            if place.kind == "removal":
                self._judge_removal(file, place)
        for file in listed:
            if places[file.path].kind == "other":
                self._judge_other(file)
        self._gone_since_last_audit()
        self._missing_inputs()
        if self._known is not None:
            self._compare_with_log(expected, list(self._known.writes()))
        if self._today is not None:
            self._find_stale(self._today)
        if self._path is not None and self._now != self._before:
            remember(self._path, self._lake.root, self._now)
        files = sorted(self._found.values(), key=lambda file: file.path)
        return AuditReport(files, self._read, self._known is not None)

    # Reading

    def _facts(self, files: Sequence[LakeFile], places: dict[str, Place]) -> dict[str, FileFacts]:
        """What every table's file says. A file with two names is read once."""
        names: dict[str, list[LakeFile]] = defaultdict(list)
        found: dict[str, FileFacts] = {}
        for file in files:
            if file.plain:
                names[file.same].append(file)
            else:
                found[file.path] = FileFacts("", wrong="it is a link or no file at all")
        to_read: list[tuple[str, tuple[str, ...]]] = []
        for same in names.values():
            hashes = {sha256 for file in same for sha256 in self._expected(places[file.path])}
            facts = None if self._full else self._remembered(same[0], hashes)
            if facts is None:
                to_read.append((same[0].path, tuple(hashes)))
            else:
                found |= {file.path: facts for file in same}
        self._read = len(to_read)
        same_as = {same[0].path: same for same in names.values()}
        for done, (path, facts) in enumerate(self._read_all(to_read), 1):
            self._on_read(done, len(to_read))
            if facts is not None:
                found |= {file.path: facts for file in same_as[path]}
        return found

    def _expected(self, place: Place) -> Iterable[str]:
        if place.kind == "version":
            return (place.sha256,)
        return self._archived[place.key] if place.key is not None else ()

    def _remembered(self, file: LakeFile, expected: set[str]) -> FileFacts | None:
        seen = self._before.seen.get(file.path)
        if seen is None or seen.stamp != file.stamp:
            return None
        facts = self._before.facts.get(seen.file_sha256)
        # A file that had no place in the archive, and has one now, was not looked into.
        return facts if facts is not None and (facts.decoded or facts.file_sha256 not in expected) else None

    def _read_all(self, files: Sequence[tuple[str, tuple[str, ...]]]) -> Iterator[tuple[str, FileFacts | None]]:
        read = partial(_read_one, self._lake)
        if not self._lake.is_local:
            with ThreadPoolExecutor(16) as threads:
                yield from threads.map(read, files)
        elif len(files) < _FEW_FILES or self._processes < 2:
            yield from map(read, files)
        else:
            # Not forked: this process may have threads of Arrow's or of Dagster's.
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(self._processes, mp_context=context) as pool:
                yield from pool.map(read, files, chunksize=_CHUNK)

    # Files by themselves

    def _judge_table(self, file: LakeFile, place: Place, facts: FileFacts) -> None:
        record = self._parse(facts.record)
        archived = self._archived[place.key] if place.key is not None else set()
        if place.kind == "current" and place.key is not None and facts.file_sha256 not in archived:
            # It may have been written, archive first, after the archive was listed.
            version = f"{self._lake.root}/{VERSIONS}/{place.key.folder}/{facts.file_sha256}.parquet"
            if self._lake.fs.exists(version):
                archived = archived | {facts.file_sha256}
        judged = verdict_of(place, facts, record, archived)
        self._keep(file, place, judged, facts.file_sha256, facts.content_sha256)
        if facts.file_sha256:
            self._now.facts[facts.file_sha256] = facts
        if record is not None:
            self._records[file.path] = record
            self._created[facts.file_sha256] = record.created_at

    def _judge_removal(self, file: LakeFile, place: Place) -> None:
        content = self._content(file)
        if content is None:
            self._keep(file, place, (Verdict.UNREADABLE, "it cannot be read"))
            return
        verdict, reason, removal = removal_verdict(place, content)
        file_sha256 = _sha256(content)
        seen = self._before.seen.get(file.path)
        if verdict is Verdict.INTACT and seen is not None and seen.file_sha256 != file_sha256:
            verdict, reason = Verdict.TAMPERED, "it was changed since an earlier audit"
        self._keep(file, place, (verdict, reason), file_sha256)
        if seen is not None and verdict is not Verdict.INTACT:
            # What it was stays known: it must not become right by being audited twice.
            self._now.seen[file.path] = seen
        if removal is not None and verdict is Verdict.INTACT and place.key is not None:
            self._removals[place.key, removal.file_sha256] = removal

    def _judge_other(self, file: LakeFile) -> None:
        if is_seal(file.path) and file.plain:
            self._keep(file, Place("other"), (Verdict.INTACT, ""))
        else:
            self._keep(file, Place("other"), (Verdict.ORPHAN, "the lake has no such file"))

    def _content(self, file: LakeFile) -> bytes | None:
        if not file.plain:
            return None
        try:
            return bytes(self._lake.fs.cat_file(f"{self._lake.root}/{file.path}"))
        except OSError:
            return None

    def _keep(
        self, file: LakeFile, place: Place, judged: tuple[Verdict, str], file_sha256: str = "", content: str = ""
    ) -> None:
        self._found[file.path] = AuditedFile(
            printable(file.path, keep=""),
            place,
            *judged,
            size=file.size,
            file_sha256=file_sha256,
            content_sha256=content,
        )
        if file_sha256:
            self._now.seen[file.path] = Seen(file.size, file.stamp, file_sha256)
        elif file.path in self._before.seen:
            # It cannot be read now; that it was there stays known.
            self._now.seen[file.path] = self._before.seen[file.path]

    # Files against each other

    def _gone_since_last_audit(self) -> None:
        """What an earlier audit saw, and is neither there nor removed on purpose."""
        for path, seen in self._before.seen.items():
            if path in self._found or (place := place_of(path)).key is None:
                continue
            if place.kind != "removal" and (place.key, seen.file_sha256) in self._removals:
                continue
            if place.kind == "current" and self._a_later_one_was_removed(place.key, seen.file_sha256):
                continue
            if place.kind == "version" and self._lake.fs.exists(f"{self._lake.root}/{path}"):
                continue
            self._missing(path, place, "an earlier audit saw it, and nothing tells of its removal", seen.file_sha256)
            self._now.seen[path] = seen

    def _a_later_one_was_removed(self, key: LakeKey, file_sha256: str) -> bool:
        """Whether a table that took the place of this one was removed, so that there is no current one."""
        created = self._created.get(file_sha256)
        removed = [removal.record for (of, _), removal in self._removals.items() if of == key]
        return created is not None and any(later.created_at > created for later in removed)

    def _missing_inputs(self) -> None:
        """What a table was made from, and is in neither place: the archive and the removals."""
        kept: set[tuple[LakeKey, str]] = {
            (removal.record.key, removal.record.content_sha256) for removal in self._removals.values()
        }
        damaged: set[LakeKey] = set()
        tables = [(path, file) for path, file in self._found.items() if file.place.kind in {"current", "version"}]
        for _, file in tables:
            key = file.place.key
            if key is not None:
                if file.verdict is Verdict.INTACT:
                    kept.add((key, file.content_sha256))
                elif file.place.kind == "version":
                    damaged.add(key)
        for path, file in tables:
            record = self._records.get(path) if file.verdict is Verdict.INTACT else None
            for needed in record.derivation.inputs if record is not None else ():
                # A damaged version may be the one; it is told of where it lies.
                if (needed.key, needed.content_sha256) not in kept and needed.key not in damaged:
                    gone = f"{VERSIONS}/{needed.key.folder}/? ({needed.content_sha256})"
                    reason = f"{file.path} was made from it, and it is neither archived nor removed"
                    place = Place("version", needed.key)
                    self._found.setdefault(
                        gone,
                        AuditedFile(gone, place, Verdict.MISSING, reason, content_sha256=needed.content_sha256),
                    )

    def _missing(self, path: str, place: Place, reason: str, file_sha256: str = "") -> None:
        self._found.setdefault(
            path, AuditedFile(printable(path, keep=""), place, Verdict.MISSING, reason, file_sha256=file_sha256)
        )

    def _parse(self, text: str) -> LineageRecord | None:
        if text not in self._parsed:
            self._parsed[text] = None
            with contextlib.suppress(ValidationError):
                self._parsed[text] = LineageRecord.model_validate_json(text)
        return self._parsed[text]

    # Files against the event log

    def _compare_with_log(self, expected: Sequence[KnownWrite], recorded: Sequence[KnownWrite]) -> None:
        expected_by_key = _by_key(expected)
        by_key = expected_by_key if recorded == expected else _by_key(recorded)
        for key, writes in expected_by_key.items():
            self._find_missing(key, writes)
        for path, file in list(self._found.items()):
            of = file.place.key
            if of is None or file.place.kind not in {"current", "version"} or file.verdict is not Verdict.INTACT:
                continue
            record = self._records.get(path)
            if record is None:
                continue
            newest = max((self._made(write) for write in expected_by_key[of]), default="")
            if file.place.kind == "current" and self._was_followed(file, record, by_key[of], newest):
                self._change(path, Verdict.TAMPERED, "an earlier version was put back")
            elif not self._is_recorded(file, record, by_key[of]) and not self._may_be_unrecorded(
                record, record.created_at
            ):
                self._change(path, Verdict.ORPHAN, "Dagster recorded no run that wrote it")

    def _was_followed(
        self, file: AuditedFile, record: LineageRecord, writes: Sequence[KnownWrite], newest: str
    ) -> bool:
        """Whether the newest table that was recorded was begun when this one was already current.

        Of two that were written at once, the one that was begun first may have become current last.
        """
        if record.created_at >= newest:
            return False
        told = [write.recorded for write in writes if write.recorded and write.file_sha256 == file.file_sha256]
        if told or self._is_recorded(file, record, writes):
            return min(told, default="") < newest
        return not self._may_be_unrecorded(record, newest)

    def _may_be_unrecorded(self, record: LineageRecord, time: str) -> bool:
        return self._known is not None and self._known.may_be_unrecorded(record.run_id, time)

    def _find_missing(self, key: LakeKey, writes: Sequence[KnownWrite]) -> None:
        there = self._archived[key]
        for write in writes:
            if write.file_sha256 and write.file_sha256 not in there and (key, write.file_sha256) not in self._removals:
                path = f"{VERSIONS}/{key.folder}/{write.file_sha256}.parquet"
                reason = "Dagster recorded it, and nothing tells of its removal"
                self._missing(path, Place("version", key, write.file_sha256), reason, write.file_sha256)
        current = f"{key.folder}/data.parquet"
        newest = max(writes, key=self._made)
        removed = [removal for (of, _), removal in self._removals.items() if of == key]
        gone = any(
            (newest.file_sha256 in {"", one.file_sha256} and newest.content_sha256 == one.record.content_sha256)
            # One that nobody recorded had taken its place.
            or (newest.made and one.record.created_at > self._made(newest))
            for one in removed
        )
        if current not in self._found and not gone:
            self._missing(current, Place("current", key), "Dagster recorded it, and there is no such table")

    def _is_recorded(self, file: AuditedFile, record: LineageRecord, writes: Sequence[KnownWrite]) -> bool:
        for write in writes:
            if write.file_sha256 == file.file_sha256:
                return True
            if write.content_sha256 != record.content_sha256:
                continue
            # A release that noted no file's hash; or another run's table was current by the time this one's was noted.
            if not write.file_sha256 or (write.made == record.created_at and self._made(write) != write.made):
                return True
        return False

    def _made(self, write: KnownWrite) -> str:
        """When the file that was recorded was made; where two runs wrote at once, it may be the other one's."""
        return self._created.get(write.file_sha256, write.made)

    # What moved on

    def _find_stale(self, today: Today) -> None:
        current: dict[str, LineageRecord] = {}
        for path, file in self._found.items():
            if file.place.kind == "current" and file.verdict is Verdict.INTACT and path in self._records:
                current[path] = self._records[path]
        changes = today(list(current.values()))
        for path, record in current.items():
            found = () if record.asset == AUDIT_TABLE else changes(record)
            if found:
                self._change(path, Verdict.STALE, in_words(found))

    def _change(self, path: str, verdict: Verdict, reason: str) -> None:
        file = self._found[path]
        self._found[path] = AuditedFile(
            file.path, file.place, verdict, reason, file.size, file.file_sha256, file.content_sha256
        )


def _unheard(done: int, of: int) -> None:
    """Nobody waits for it."""


def _read_one(lake: Lake, file: tuple[str, tuple[str, ...]]) -> tuple[str, FileFacts | None]:
    """Facts of a file; None where it is gone by now."""
    path, expected = file
    try:
        if lake.is_local:
            # A link must not lead the audit out of the lake.
            descriptor = os.open(f"{lake.root}/{path}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(descriptor, "rb") as opened:
                content = opened.read()
        else:
            content = lake.fs.cat_file(f"{lake.root}/{path}")
    except FileNotFoundError:
        return path, None
    except OSError as error:
        if not lake.is_local and not isinstance(error, PermissionError):
            raise lake.out_of_reach(path, error) from error  # it says nothing about the file
        return path, FileFacts("", wrong=f"it cannot be opened ({error.strerror or type(error).__name__})")
    return path, facts_of(content, expected)


def _by_key(writes: Iterable[KnownWrite]) -> dict[LakeKey, list[KnownWrite]]:
    found: dict[LakeKey, list[KnownWrite]] = defaultdict(list)
    for write in writes:
        found[write.key].append(write)
    return found


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
