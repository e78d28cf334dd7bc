"""JSON values as YAML that every reader takes for the same values."""

from __future__ import annotations

from typing import Any

import yaml


def as_yaml(value: Any) -> str:
    """The values as YAML, in their order, a line each.

    Texts stand in double quotes: readers differ in what else they take for a number or a date (`1e3`, `12:30`), and
    quoted text is never markup.
    """
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_NO_LINE_IS_FOLDED)


_NO_LINE_IS_FOLDED = 2**31


class _Dumper(yaml.SafeDumper):
    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> yaml.MappingNode:
        node = super().represent_mapping(tag, mapping, flow_style)
        for name, _ in node.value:
            name.style = None
        return node

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _quoted(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')


_Dumper.add_representer(str, _quoted)
