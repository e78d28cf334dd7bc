"""The metadata of a card on the Hugging Face Hub: put results into it, and leave every other byte as it is.

A card is Markdown after a block of YAML. What a reader takes for that block is huggingface_hub's to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from medeval_assets.errors import BadInput, Problem
from medeval_assets.exports.yaml_text import as_yaml

Result = Mapping[str, Any]
Replaced = Callable[[Any], bool]
_Edit = tuple[int, int, str]  # from, to, what stands there instead

_INDEX, _RESULTS = "model-index", "results"
_BYTE_ORDER_MARK = "\ufeff"
_LINE_BREAK = re.compile(r"[\r\n]")


def card_with(card: str, where: str, model: str, results: Sequence[Result], replaced: Replaced) -> str:
    """The card with the results in its `model-index`; "" is a card that is not there yet.

    where: the card's name in errors. replaced: whether a result of the index gives way to these. They go to the model
    of the index that has such, else to the one of that name, else to a new one at the end. BadInput where the metadata
    cannot be read, or are written so that nothing can be put between the lines.
    """
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    mark, text = (_BYTE_ORDER_MARK, card[1:]) if card.startswith(_BYTE_ORDER_MARK) else ("", card)
    found = REGEX_YAML_BLOCK.search(text)
    first_line = found.group(1) if found else text.partition("\n")[0]
    line_end = "\r\n" if first_line.rstrip("\n").endswith("\r") else "\n"
    try:
        block = _Block(found.group(2) if found else "", line_end)
        changed = block.with_results(model, results, replaced)
        if found:
            whole = text[: found.start(2)] + changed + text[found.end(2) :]
        else:
            whole = f"---{line_end}{changed}{line_end}---{line_end}{text}"
        again = REGEX_YAML_BLOCK.search(whole)
        # Editing text has corners that nobody thought of: what is read back decides.
        if again is None or again.group(2) != changed or not block.is_said_by(changed, model, results, replaced):
            raise _Unfit("more would change than was meant to")
    except _Unfit as error:
        remedy = "Write them in lines, `model-index` as a list; or take the values from the command without `--out`."
        raise BadInput([Problem(where, f"nothing can be put into its metadata: {error}", remedy)]) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # YAML's own words would show the file's lines.
        what, remedy = "its metadata cannot be read", "They stand between two lines of `---`, as YAML; mend them."
        raise BadInput([Problem(where, what, remedy)]) from error
    return mark + whole


class _Unfit(Exception):
    """Metadata that can be read, and that nothing can be put into."""


class _Block:
    """The YAML of a card: its text, the places of its fields, and what they say."""

    def __init__(self, text: str, line_end: str) -> None:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise _Unfit("they use aliases (`*name`)")
        self._text = text
        self._line_end = line_end
        self._root = yaml.compose(text, Loader=yaml.SafeLoader)
        self._metadata = yaml.safe_load(text) or {}
        self._index = _listed(self._metadata, _INDEX)
        for model in self._index:
            _listed(model, _RESULTS)

    def with_results(self, model: str, results: Sequence[Result], replaced: Replaced) -> str:
        """The text with the results in its index, in the line ends that it has."""
        if self._root is None:
            field = self._lines({_INDEX: [_model(model, results)]}, 0)
            return self._line_end.join(filter(None, [self._text, field]))
        text = self._text
        for start, end, instead in sorted(self._edits(model, results, replaced), reverse=True):
            text = text[:start] + instead + text[end:]
        return text

    def is_said_by(self, text: str, model: str, results: Sequence[Result], replaced: Replaced) -> bool:
        """Whether the text says what this one says, with the results in its index, and nothing else."""
        found = yaml.safe_load(text)
        if not isinstance(found, dict):
            return False
        index = found.pop(_INDEX, None)
        others = {name: value for name, value in self._metadata.items() if name != _INDEX}
        return as_yaml([found, index]) == as_yaml([others, _merged(self._index, model, results, replaced)])

    def _edits(self, model: str, results: Sequence[Result], replaced: Replaced) -> list[_Edit]:
        root = _in_lines(self._root, yaml.MappingNode)
        new, index = [_model(model, results)], _field(root, _INDEX)
        if index is None:
            return [self._as_field(root, self._lines({_INDEX: new}, _column(root)))]
        if not self._index:
            return self._instead_of(index, new, _column(root))
        _in_lines(index, yaml.SequenceNode)
        chosen = _chosen(self._index, model, replaced)
        if chosen is None:
            return [self._after(index, self._lines(new, self._dash(index)))]
        return self._edits_of(index.value[chosen], self._index[chosen].get(_RESULTS), results, replaced)

    def _edits_of(
        self, node: yaml.Node, there: list[Any] | None, results: Sequence[Result], replaced: Replaced
    ) -> list[_Edit]:
        """What puts the results among those that are there of a model."""
        entry = _in_lines(node, yaml.MappingNode)
        new, listed = list(results), _field(entry, _RESULTS)
        if listed is None:
            return [self._after(entry, self._lines({_RESULTS: new}, _column(entry)))]
        if not there:
            return self._instead_of(listed, new, _column(entry))
        _in_lines(listed, yaml.SequenceNode)
        told = zip(listed.value, there, strict=True)
        gone = [self._without(item) for item, result in told if replaced(result)]
        return [*gone, self._after(listed, self._lines(new, self._dash(listed)))]

    def _as_field(self, root: yaml.Node, lines: str) -> _Edit:
        """At the end, but where a text stands there whose last line break is its own to keep: then at the beginning."""
        if _keeps_line_breaks(_last(root)):
            start = root.start_mark.index - root.start_mark.column
            return start, start, lines + self._line_end
        return len(self._text), len(self._text), self._line_end + lines

    def _instead_of(self, nothing: yaml.Node, items: list[Any], column: int) -> list[_Edit]:
        """Below the field of a list without items."""
        return [
            (nothing.start_mark.index, nothing.end_mark.index, ""),
            self._after(nothing, self._lines(items, column)),
        ]

    def _after(self, node: yaml.Node, lines: str) -> _Edit:
        end = self._end(node)
        return end, end, self._line_end + lines

    def _without(self, item: yaml.Node) -> _Edit:
        """The lines of an item of a list go, with the line break before them."""
        dash = self._text.rfind("-", 0, item.start_mark.index)
        before = self._text.rfind("\n", 0, dash)
        return before - self._text.endswith("\r", 0, before), self._end(item), ""

    def _end(self, node: yaml.Node) -> int:
        """Where the last line of the node ends, before its line break."""
        last = _last(node)
        end: int = last.end_mark.index
        if _keeps_line_breaks(last):
            return len(self._text[:end].rstrip())
        line_break = _LINE_BREAK.search(self._text, end)
        return line_break.start() if line_break else len(self._text)

    def _dash(self, items: yaml.Node) -> int:
        """The column of a list's dashes."""
        dash = self._text.rfind("-", 0, items.value[0].start_mark.index)
        return dash - (self._text.rfind("\n", 0, dash) + 1)

    def _lines(self, value: Any, column: int) -> str:
        return self._line_end.join(" " * column + line for line in as_yaml(value).rstrip("\n").split("\n"))


def _model(name: str, results: Sequence[Result]) -> dict[str, Any]:
    return {"name": name, _RESULTS: list(results)}


def _merged(index: list[Any], model: str, results: Sequence[Result], replaced: Replaced) -> list[Any]:
    """The index with the results in it, as values."""
    chosen = _chosen(index, model, replaced)
    if chosen is None:
        return [*index, _model(model, results)]
    stay = [result for result in _listed(index[chosen], _RESULTS) if not replaced(result)]
    return [*index[:chosen], index[chosen] | {_RESULTS: [*stay, *results]}, *index[chosen + 1 :]]


def _chosen(index: list[Any], model: str, replaced: Replaced) -> int | None:
    """Which model of the index the results belong to."""
    for number, entry in enumerate(index):
        if any(map(replaced, _listed(entry, _RESULTS))):
            return number
    return next((number for number, entry in enumerate(index) if entry.get("name") == model), None)


def _listed(fields: Any, name: str) -> list[Any]:
    """The list in a field; empty where there is none."""
    found = fields.get(name, []) if isinstance(fields, dict) else fields
    if not isinstance(fields, dict) or not isinstance(found, list | None):
        raise _Unfit(f"where its `{name}` should be, there is something else")
    return found or []


def _in_lines(node: yaml.Node | None, kind: type[yaml.CollectionNode]) -> yaml.Node:
    if not isinstance(node, kind) or node.flow_style:
        raise _Unfit("they are not written in lines")
    return node


def _field(mapping: yaml.Node, name: str) -> yaml.Node | None:
    return next((value for key, value in mapping.value if key.value == name), None)


def _column(mapping: yaml.Node) -> int:
    """The column of a mapping's fields."""
    column: int = mapping.value[0][0].start_mark.column
    return column


def _keeps_line_breaks(node: yaml.Node) -> bool:
    """Whether it is a text of lines under `|` or `>`."""
    return isinstance(node, yaml.ScalarNode) and node.style in {"|", ">"}


def _last(node: yaml.Node) -> yaml.Node:
    """What stands last in the node: a text or number, or a collection in brackets."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(node, yaml.MappingNode) else last
    return node
