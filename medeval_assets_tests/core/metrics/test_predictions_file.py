"""What a predictions file may hold, and what is said of one that is not as it should be."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from medeval_assets.errors import BadInput
from medeval_assets.metrics.predictions_file import Prediction, read_predictions

KNOWN = {"e1", "e2", "e3"}
SECRET = "zyxomeride"
"""Stands for the text of a prediction: no message may hold it."""
GOOD = '{"example_id": "e1", "text": "Gout"}'


def written(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "answers.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def refused(tmp_path: Path, content: str | bytes) -> list[str]:
    with pytest.raises(BadInput) as caught:
        read_predictions(written(tmp_path, content), KNOWN)
    assert SECRET not in str(caught.value)
    return [str(problem) for problem in caught.value.problems]


def test_lines_become_predictions_in_order_and_the_file_is_known_by_its_hash(tmp_path: Path) -> None:
    lines = [
        {"example_id": "e2", "text": "", "model": "my-gpt", "usage": {"tokens": float("nan")}},
        {"example_id": "e1", "text": "A", "finish_reason": "length", "prompt_sha256": "0f" * 32},
        {"example_id": "e3", "text": " B ", "finish_reason": None, "prompt_sha256": None},
    ]
    content = "\n\n".join(map(json.dumps, lines)).encode()
    file = read_predictions(written(tmp_path, content), KNOWN)
    assert file.predictions == (
        Prediction("e2", "", "stop", ""),
        Prediction("e1", "A", "length", "0f" * 32),
        Prediction("e3", " B ", "stop", ""),
    )
    assert file.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["unix", "windows"])
def test_a_byte_order_mark_and_either_line_end_are_taken(tmp_path: Path, mark: bytes, end: bytes) -> None:
    content = mark + GOOD.encode() + end + GOOD.replace("e1", "e2").encode() + end
    assert [one.example_id for one in read_predictions(written(tmp_path, content), KNOWN).predictions] == ["e1", "e2"]


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        (r"a\ud800b", "a\ufffdb"),
        (r"\udc00\ud800", "\ufffd\ufffd"),
        (r"\ud83d\ude00", "😀"),
        (r"\u0000\u0007\u001b[31m", "\0\a\x1b[31m"),
        ("הסתמנות \u202eabc", "הסתמנות \u202eabc"),
        (r"line\nline\u2028line", "line\nline\u2028line"),
    ],
    ids=["lone surrogate", "surrogates in the wrong order", "pair", "control", "right to left", "separators"],
)
def test_odd_characters_are_text(tmp_path: Path, escaped: str, text: str) -> None:
    file = read_predictions(written(tmp_path, f'{{"example_id": "e1", "text": "{escaped}"}}'), KNOWN)
    assert file.predictions[0].text == text
    assert file.predictions[0].text.encode()


def test_a_prediction_of_10_mb_is_read_as_it_is(tmp_path: Path) -> None:
    text = "wörd " * 2_000_000
    (one,) = read_predictions(written(tmp_path, json.dumps({"example_id": "e1", "text": text})), KNOWN).predictions
    assert one.text == text


@pytest.mark.parametrize(
    ("line", "where", "what"),
    [
        (f'{{"example_id": "e9", "text": "{SECRET}"}}', "example_id", "no scored example has this id"),
        (f'{{"example_id": "e1", "text": "{SECRET}"}}', "example_id", "it repeats the id of answers.jsonl:1"),
        (f'{{"example_id": "e2", "answer": "{SECRET}"}}', "text", "the field is missing"),
        (f'{{"text": "{SECRET}"}}', "example_id", "the field is missing"),
        (f'{{"example_id": "", "text": "{SECRET}"}}', "example_id", "the field is empty"),
        (f'{{"example_id": ["e2"], "text": "{SECRET}"}}', "example_id", "expected text, found list"),
        (f'{{"example_id": NaN, "text": "{SECRET}"}}', "example_id", "the field is empty"),
        (f'{{"example_id": "e2\\ud800", "text": "{SECRET}"}}', "example_id", "no scored example has this id"),
        ('{"example_id": "e2", "text": NaN}', "text", "expected a string, found float"),
        ('{"example_id": "e2", "text": null}', "text", "expected a string, found NoneType"),
        (f'{{"example_id": "e2", "text": ["{SECRET}"]}}', "text", "expected a string, found list"),
        (f'{{"example_id": "e2", "text": "", "finish_reason": "{SECRET}"}}', "finish_reason", "expected stop or"),
        ('{"example_id": "e2", "text": "", "finish_reason": ["stop"]}', "finish_reason", "expected stop or"),
        (f'{{"example_id": "e2", "text": "", "prompt_sha256": "{SECRET}"}}', "prompt_sha256", "expected 64 hex"),
        (f'["{SECRET}"]', "", "expected an object, found list"),
        (SECRET, "", "not valid JSON"),
        (f'{{"example_id": "e2", "text": "{SECRET}', "", "not valid JSON (Unterminated string"),
        (f'{{"example_id": "e2", "text": "{SECRET}\x07"}}', "", "not valid JSON (Invalid control character"),
        (f'{{"example_id": "e2", "text": "{SECRET}", "text": ""}}', "", "an object has the same key twice"),
        ("[" * 100_000, "", "not valid JSON (nested too deeply)"),
        (f'{{"example_id": {"9" * 5000}, "text": "{SECRET}"}}', "", "not valid JSON (a number is too long)"),
    ],
)
def test_a_bad_line_is_named_with_its_field_and_never_quoted(tmp_path: Path, line: str, where: str, what: str) -> None:
    (problem,) = refused(tmp_path, f"{GOOD}\n\n{line}")
    assert problem.startswith(f"answers.jsonl:3 {where}".rstrip() + f": {what}")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "answers.jsonl: the file is empty"),
        (b"\xef\xbb\xbf \n\n", "answers.jsonl: the file is empty"),
        (GOOD.encode() + b'\n{"text": "\xff"}', "answers.jsonl:2: byte 0xff is not UTF-8"),
        (GOOD.encode("utf-16"), "answers.jsonl: is UTF-16 text"),
        (GOOD.encode() + b"\n\0", "answers.jsonl:2: the file holds NUL characters"),
    ],
)
def test_a_file_that_is_no_text_is_refused_as_a_whole(tmp_path: Path, content: bytes, expected: str) -> None:
    (problem,) = refused(tmp_path, content)
    assert problem.startswith(expected)


def test_a_folder_and_a_file_that_is_not_there_are_told(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere.jsonl"):
        with pytest.raises(BadInput, match=f"{path.name}: cannot be read"):
            read_predictions(path)


def test_all_that_is_wrong_is_told_together_in_order_up_to_twenty_lines(tmp_path: Path) -> None:
    bad = ['{"example_id": "e9", "text": ""}', "{", '{"example_id": "e2"}'] * 10
    problems = refused(tmp_path, "\n".join([GOOD, *bad]))
    assert [problem.split(":")[1].split()[0] for problem in problems[:20]] == [str(line) for line in range(2, 22)]
    # 30 bad lines, 20 of them shown.
    assert problems[20:] == ["answers.jsonl: and 10 more lines like these. Mend these first."]


def test_without_known_ids_any_is_taken(tmp_path: Path) -> None:
    assert len(read_predictions(written(tmp_path, '{"example_id": 17, "text": ""}')).predictions) == 1
