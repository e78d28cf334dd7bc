"""The project's own words: Jinja templates beside the tasks, rendered in a sandbox."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined, TemplateSyntaxError, Undefined, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from medeval_assets.catalog.task_spec import Example, TaskSpec
from medeval_assets.errors import BadInput, Problem
from medeval_assets.prompts.prompt import DOCUMENTS

BLOCKS = ("system", "user", "answer", "cue")


class ProjectWording:
    """The words of a task's template, with what it extends, includes or imports.

    identity: `template_sha256` is a hash of all these files, so it changes when any of them does.
    """

    def __init__(self, task: TaskSpec) -> None:
        self._environment = sandbox(task.template.parent)
        sources = _sources(self._environment, task.template)
        self.identity: Mapping[str, str] = {
            "wording": "project",
            "template": task.template.name,
            "template_sha256": _hash_of(sources),
        }
        chain = [self._environment.get_template(name) for name in _line_of_descent(self._environment, sources)]
        self._template = chain[0]
        self._blocks = {
            name: [template.blocks[name] for template in chain if name in template.blocks]
            for name in sorted({name for template in chain for name in template.blocks})
        }
        missing = [name for name in BLOCKS if name not in self._blocks]
        if missing:
            what = f"the blocks {', '.join(missing)} are missing"
            raise BadInput([Problem(task.template.name, what, "Add them; a block may be empty.")])

    def system(self, example: Example) -> str:
        return self._render("system", question_context(example), example)

    def user(self, example: Example) -> str:
        return self._render("user", question_context(example), example)

    def answer(self, example: Example, option: str | None = None) -> str:
        return self._render("answer", answer_context(example, option), example)

    def cue(self, example: Example) -> str:
        return self._render("cue", question_context(example), example)

    def _render(self, block: str, values: Mapping[str, object], example: Example) -> str:
        context = self._template.new_context(dict(values))
        context.blocks.update({name: list(found) for name, found in self._blocks.items()})
        try:
            try:
                return "".join(self._blocks[block][0](context)).strip()
            except Exception:
                # Puts the template's own lines into the traceback, and raises the same error again.
                self._environment.handle_exception()
        except Exception as error:
            where = f"{_template_line(error) or self._template.name} {block}"
            kind = type(error).__name__
        # Raised outside the handler: as its cause, the failed expression would show the example.
        raise refusal(where, kind, example)


def _template_line(error: Exception) -> str:
    """`file:line` of the template where the error arose; "" where it arose in none."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith(".jinja")]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def _sources(environment: ImmutableSandboxedEnvironment, path: Path) -> dict[str, str]:
    """The text of a template, then of every template that it refers to, by name."""
    sources: dict[str, str] = {}
    waiting = [path.name]
    while waiting:
        name = waiting.pop()
        if name in sources:
            continue
        try:
            sources[name] = (path.parent / name).read_text(encoding="utf-8")
            referred = list(meta.find_referenced_templates(environment.parse(sources[name], name)))
        except (TemplateSyntaxError, OSError, UnicodeDecodeError) as error:
            at = f":{error.lineno}" if isinstance(error, TemplateSyntaxError) else ""
            remedy = "Templates are UTF-8 files that lie in one folder."
            raise BadInput([Problem(f"{name}{at}", f"cannot be used as a template ({error})", remedy)]) from error
        for other in referred:
            if other is None or Path(other).name != other:
                what = "refers to a template that is computed or lies in another folder"
                raise BadInput([Problem(name, what, "Write out the name of a template beside it.")])
            waiting.append(other)
    return sources


def _line_of_descent(environment: ImmutableSandboxedEnvironment, sources: Mapping[str, str]) -> list[str]:
    """The names of the first template, of the one it extends, of the one that extends, and so on."""
    names = [next(iter(sources))]
    while True:
        parent = environment.parse(sources[names[-1]]).find(nodes.Extends)
        if parent is None:
            return names
        if not isinstance(parent.template, nodes.Const) or parent.template.value in names:
            raise BadInput([Problem(names[-1], "extends no template, or itself", "Name one other template.")])
        names.append(parent.template.value)


def refusal(where: str, kind: str, example: Example) -> BadInput:
    """The error for an example whose text cannot be made; it does not say what the failed expression held."""
    what = f"the text for example {example.example_id} cannot be made ({kind})"
    remedy = "It may print texts and numbers of `inputs`, `options` and, in an answer, `target` and `targets`."
    return BadInput([Problem(where, what, remedy)])


def sandbox(folder: Path) -> ImmutableSandboxedEnvironment:
    """Jinja for plain text: it reads only `folder`, has no globals, and fails on what is undefined.

    Nothing is escaped, for prompts are no HTML. A line of nothing but a Jinja statement leaves no empty line.
    """
    environment = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=printable,
    )
    environment.globals.clear()
    del environment.filters["random"]
    return environment


def printable(value: Any) -> Any:
    """The value, if it is a text or a number; else TypeError: a list or None in a prompt is a mistake."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Undefined):
        raise TypeError(f"a template may not print a {type(value).__name__}")
    return value


def question_context(example: Example) -> dict[str, object]:
    """What the question may show: everything but the right answer."""
    return {
        "inputs": dict(example.inputs),
        "options": dict(example.options),
        "documents": DOCUMENTS if example.documents else "",
    }


def answer_context(example: Example, option: str | None) -> dict[str, object]:
    """What an answer may show: with an option, as if that option were the right one."""
    targets = example.targets if option is None else (option,)
    return question_context(example) | {"targets": targets, "target": targets[0] if targets else ""}


def _hash_of(sources: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    for name in sorted(sources):
        digest.update(f"{name}\0{hashlib.sha256(sources[name].encode()).hexdigest()}\n".encode())
    return digest.hexdigest()
