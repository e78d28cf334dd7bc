"""The chain behind a number as people read it in a terminal. What comes out of files is shown as plain text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.text import Text
from rich.tree import Tree

from medeval_assets.catalog.quoted import quoted
from medeval_assets.lake.lineage_record import LineageRecord
from medeval_assets.printable import printable
from medeval_assets.trace.chain import Link
from medeval_assets.trace.example import ExampleTrace

_SHORT = 16  # digits of a hash that are shown; --json has all
_LONGEST = 4000  # characters of a text that are shown


def trace_tree(chain: Link, rows: Sequence[Mapping[str, Any]]) -> Tree:
    """rows: of the metric table, those that are traced."""
    tree = Tree(Text(f"{chain.key.model} × {chain.key.task}", style="bold"), guide_style="dim")
    for row in rows:
        tree.add(Text(_value(row)))
    _grow(tree, chain, set())
    return tree


def example_tree(trace: ExampleTrace) -> Tree:
    """Raw files, row, messages, prompt as rendered, output, and the scores with the rule that read it."""
    tree = Tree(Text(f"example {quoted(str(trace.row['example_id']))}", style="bold"), guide_style="dim")
    raw = tree.add(Text(f"raw files, read again: {trace.raw}"))
    for file in trace.raw_files:
        raw.add(_plain(f"{file['name']} {file['sha256'][:_SHORT]} ({file['size']} bytes)"))
    row = tree.add(Text("row of the dataset"))
    for name in ("inputs", "options", "targets"):
        if trace.row[name]:
            row.add(_named(name, trace.row[name]))
    if trace.row["documents"]:
        row.add(Text(f"documents: {len(trace.row['documents'])}"))
    messages = tree.add(Text("messages"))
    for message in trace.prompt["messages"]:
        messages.add(_named(str(message["role"]), message["content"]))
    proof = {None: "", True: ": what was asked, token for token", False: ": not what was asked then"}
    rendered = tree.add(Text(f"prompt as rendered{proof[trace.asked.matches]}"))
    if trace.asked.rendered:
        rendered.add(_plain(trace.asked.rendered))
    if trace.asked.why:
        rendered.add(_plain(trace.asked.why))
    answer = trace.generation
    output = tree.add(Text(f"output ({answer['finish_reason']}, {answer['generated_tokens']} tokens)"))
    output.add(_plain(str(answer["text"])))
    if len(answer["option_logprobs"]):
        options = list(dict(trace.prompt["options"]))
        likelihoods = dict(zip(options, answer["option_logprobs"], strict=False))
        output.add(
            _named("log-likelihood of each option", {name: f"{value:.4f}" for name, value in likelihoods.items()})
        )
    scores = tree.add(Text("scores"))
    for score in trace.scores:
        read = f"read by {score['parse_rule']}" if score["parse_rule"] else ""
        failed = f"not read: {score['failure']}" if score["failure"] else ""
        value = "says nothing here" if score["value"] is None else f"{score['value']:.4g}"
        told = "; ".join(filter(None, (value, read, failed)))
        scores.add(Text(f"{score['metric']} ({score['profile']}): {told}"))
    return tree


def _grow(tree: Tree, link: Link, shown: set[str]) -> None:
    """shown: hashes of the tables that stand in the tree already; what is behind them is not told twice."""
    state = "" if link.state == "current" else f" ({link.state})"
    again = ", as above" if link.content_sha256 in shown else ""
    branch = tree.add(Text(f"{link.key.asset} {link.content_sha256[:_SHORT]}{state}{again}"))
    record = link.record
    if record is None or again:
        return
    shown.add(link.content_sha256)
    for line in _facts(record):
        branch.add(_plain(line))
    for file in record.derivation.raw_files:
        branch.add(_plain(f"raw file {file.name} {file.sha256[:_SHORT]} ({file.size} bytes)"))
    for source in link.inputs:
        _grow(branch, source, shown)


def _facts(record: LineageRecord) -> Iterator[str]:
    data = "synthetic samples" if record.synthetic else "real data"
    yield f"{record.rows} rows, {data}, {record.access.value}, {record.licence}".rstrip(", ")
    commit = f", commit {record.git_commit[:12]}{' with changes' if record.git_dirty else ''}"
    code = f"code {record.derivation.code_version}, medeval-assets {record.package_version}"
    yield f"made {record.created_at} by {code}{commit if record.git_commit else ''}, run {record.run_id or 'none'}"
    for name, value in record.derivation.model.items():
        if value:
            yield f"model {name.replace('_', ' ')}: {value[:_SHORT] if name.endswith('sha256') else value}"
    if record.environment:
        yield ", ".join(f"{name} {value}" for name, value in record.environment.items())
    if record.derivation.parameters and record.asset in {"generations", "prompt_sets"}:
        chosen = {name: value for name, value in record.derivation.parameters.items() if not isinstance(value, dict)}
        yield ", ".join(f"{name}: {value}" for name, value in chosen.items())


def _value(row: Mapping[str, Any]) -> str:
    if row["value"] is None:
        return f"{row['title']} ({row['profile']}): no value, n {row['n']}"
    interval = f", 95 % interval {row['low']:.4f} to {row['high']:.4f}" if row["low"] is not None else ""
    return f"{row['title']} ({row['profile']}): {row['value']:.4f}{interval}, n {row['n']}"


def _named(name: str, value: Any) -> Text:
    if isinstance(value, Mapping):
        value = "; ".join(f"{key}: {text}" for key, text in value.items())
    elif isinstance(value, list):
        value = "; ".join(map(str, value))
    return _plain(f"{name}: {value}")


def _plain(text: str) -> Text:
    """The text without anything that a terminal would act upon; very long ones are cut."""
    shown = printable(text[:_LONGEST])
    return Text(shown if len(text) <= _LONGEST else f"{shown}… ({len(text)} characters)")
