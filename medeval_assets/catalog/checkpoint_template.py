"""The chat template that lies in a checkpoint folder, read as text; nothing of it is run here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import TemplateSyntaxError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from medeval_assets.catalog.json_object import read_json_object
from medeval_assets.catalog.quoted import quoted
from medeval_assets.errors import BadInput, Problem

MOST_BYTES = 1_000_000

_REMEDY = "Mend the template, or give the model another one: `none`, `file:path` or `as:<key>`."


def read_template(path: Path, where: str) -> str:
    """The text of a template file. Raises BadInput, which calls the file `where`."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise BadInput([Problem(where, f"the chat template is larger than {MOST_BYTES} bytes", _REMEDY)])
        return content.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        raise BadInput([Problem(where, f"cannot be read ({error.strerror})", "Check its path.")]) from error
    except UnicodeDecodeError as error:
        raise BadInput([Problem(where, "the chat template is not UTF-8", "Save it as UTF-8.")]) from error


def own_template(folder: Path, label: str) -> tuple[str, str] | None:
    """(text, where) of the folder's chat template: `chat_template.jinja`, else that in `tokenizer_config.json`.

    Of several named templates it is the one named `default`. None where there is none. Raises BadInput for files
    that cannot be read.
    """
    if (path := folder / "chat_template.jinja").is_file():
        where = f"{label}/{path.name}"
        text: Any = read_template(path, where)
    elif (path := folder / "tokenizer_config.json").is_file():
        where = f"{label}/{path.name} chat_template"
        text = read_json_object(path, f"{label}/{path.name}").get("chat_template")
        if isinstance(text, list):
            named = [item for item in text if isinstance(item, dict) and item.get("name") == "default"]
            text = named[0].get("template") if named else None
        if text is not None and not isinstance(text, str):
            raise BadInput([Problem(where, "the chat template is not text", _REMEDY)])
    else:
        return None
    return (text, where) if text and text.strip() else None


def template_problems(text: str, where: str) -> list[Problem]:
    """What keeps the template from compiling, with its line; empty where it compiles."""
    # The optimizer would compute constant expressions, and a hostile template can make those as large as it likes.
    environment = ImmutableSandboxedEnvironment(
        optimized=False,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols", _Generation],
    )
    try:
        environment.compile(text)
    except TemplateSyntaxError as error:
        said = quoted(error.message or "unreadable", 100).strip("`")
        return [Problem(where, f"broken chat template, line {error.lineno} ({said})", _REMEDY)]
    except (RecursionError, SyntaxError, ValueError, MemoryError) as error:
        return [Problem(where, f"broken chat template ({type(error).__name__})", _REMEDY)]
    return []


class _Generation(Extension):
    """`{% generation %}…{% endgeneration %}`, by which templates mark the assistant's words for training."""

    tags = Extension.tags | {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)
