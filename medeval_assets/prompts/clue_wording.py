"""The benchmark's own words, read out of a user's clone of it. Its scripts are parsed, never run."""

from __future__ import annotations

import ast
import hashlib
import json
import re
import string
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from jinja2 import TemplateSyntaxError
from jinja2.environment import TemplateExpression

from medeval_assets.catalog.task_spec import Example, TaskSpec
from medeval_assets.errors import BadInput, Problem
from medeval_assets.prompts.project_wording import (
    ProjectWording,
    answer_context,
    printable,
    question_context,
    refusal,
    sandbox,
)

_SYSTEM = "sys_prompt"
_ANSWER = "assistant_response_template"
_CLONE_REMEDY = "Clone https://github.com/TIO-IKIM/CLUE and set MEDEVAL_CLUE to the clone's folder."
_SCRIPT_REMEDY = "The clone may be of another version: use one whose scripts the task describes."


@dataclass(frozen=True)
class _Text:
    """A text in a script. where: `file:line` of its assignment."""

    where: str
    text: str


class ClueScriptWording:
    """The texts of a task's script in a clone of the benchmark.

    What neither the script nor the task's `clue` says (the answer of a task without shots, the cue) is the project's.
    identity: the script, its SHA-256, the clone's git commit ("" where it cannot be told), and the hashes of
        the task's `clue` and of the project's template.
    """

    def __init__(self, task: TaskSpec, clone: Path) -> None:
        if task.clue is None:
            what = "the benchmark has no wording of this task"
            raise BadInput([Problem(task.name, what, "Use the project's wording: leave `--prompts clue` out.")])
        self._project = ProjectWording(task)
        source = _script(clone, task.clue.script)
        texts = module_texts(source, task.clue.script)
        missing = [name for name in (_SYSTEM, task.clue.user) if name not in texts]
        if missing:
            what = f"no text is assigned to {' and '.join(missing)} at its top level"
            raise BadInput([Problem(task.clue.script, what, _SCRIPT_REMEDY)])
        self._system = _Filled(texts[_SYSTEM], {}, task)
        self._user = _Filled(texts[task.clue.user], task.clue.inputs, task)
        placeholders = dict(task.clue.answer)
        whole = placeholders.pop("", None)
        self._answer: _Filled | None = None
        if _ANSWER in texts:
            self._answer = _Filled(texts[_ANSWER], placeholders, task)
        elif whole is not None:
            self._answer = _Filled(_Text(task.clue.script, "{answer}"), {"answer": whole}, task)
        self.identity: Mapping[str, str] = {
            "wording": "clue",
            "script": task.clue.script,
            "script_sha256": hashlib.sha256(source).hexdigest(),
            "commit": git_commit(clone),
            "clue_sha256": hashlib.sha256(json.dumps(asdict(task.clue), sort_keys=True).encode()).hexdigest(),
            "template_sha256": self._project.identity["template_sha256"],
        }

    def system(self, example: Example) -> str:
        return self._system.fill(question_context(example), example)

    def user(self, example: Example) -> str:
        return self._user.fill(question_context(example), example)

    def answer(self, example: Example, option: str | None = None) -> str:
        if self._answer is None:
            return self._project.answer(example, option)
        return self._answer.fill(answer_context(example, option), example)

    def cue(self, example: Example) -> str:
        """What the script puts before an answer's first placeholder, else the project's cue."""
        opening = self._answer.opening.strip() if self._answer else ""
        return opening or self._project.cue(example)


class _Filled:
    """A text with `{name}` placeholders, each filled with the value of its Jinja expression.

    `str.format` is not used: its fields may reach attributes and items, and its widths may fill the memory.
    """

    def __init__(self, template: _Text, expressions: Mapping[str, str], task: TaskSpec) -> None:
        self._where = template.where
        self._pieces: list[tuple[str, str | None]] = []
        try:
            pieces = list(string.Formatter().parse(template.text))
        except ValueError as error:
            what = f"its braces cannot be read ({error})"
            raise BadInput([Problem(template.where, what, _SCRIPT_REMEDY)]) from error
        problems = []
        for literal, name, spec, conversion in pieces:
            if name is not None and (spec or conversion or not name.isidentifier()):
                problems.append(Problem(template.where, "a placeholder is not a plain `{name}`", _SCRIPT_REMEDY))
            elif name is not None and name not in expressions:
                remedy = f"Map it in `clue` of the task {task.name}. {_SCRIPT_REMEDY}"
                problems.append(Problem(template.where, f"the placeholder {{{name}}} is not known", remedy))
            self._pieces.append((literal, name))
        used = {expressions[name] for _, name in self._pieces if name is not None and name in expressions}
        # Spellings of one field share an expression; one of them is enough.
        for expression in sorted(set(expressions.values()) - used):
            names = " or ".join(f"{{{name}}}" for name in expressions if expressions[name] == expression)
            problems.append(Problem(template.where, f"the placeholder {names} is missing", _SCRIPT_REMEDY))
        if problems:
            raise BadInput(problems)
        environment = sandbox(task.template.parent)
        self._values: dict[str, TemplateExpression] = {}
        for name, expression in expressions.items():
            try:
                self._values[name] = environment.compile_expression(expression, undefined_to_none=False)
            except TemplateSyntaxError as error:
                where = f"the task {task.name} clue {name}"
                raise BadInput([Problem(where, f"is no Jinja expression ({error})", "Mend the task.")]) from error

    @property
    def opening(self) -> str:
        """The literal text before the first placeholder."""
        literals: list[str] = []
        for literal, name in self._pieces:
            literals.append(literal)
            if name is not None:
                break
        return "".join(literals)

    def fill(self, values: Mapping[str, object], example: Example) -> str:
        filled: list[str] = []
        name: str | None = None
        kind = ""
        try:
            for literal, name in self._pieces:
                filled.append(literal)
                if name is not None:
                    filled.append(str(printable(self._values[name](**values))))
        except Exception as error:
            kind = type(error).__name__
        if kind:
            # Raised outside the handler: as its cause, the failed expression would show the example.
            raise refusal(f"{self._where} {name}", kind, example)
        return "".join(filled)


def module_texts(source: bytes, script: str) -> dict[str, _Text]:
    """The texts that the top level of a Python source leaves assigned to names, read without running it.

    A text is a literal, an earlier such name, or a sum of them. A name that is last bound to anything else is
    left out.
    """
    texts: dict[str, _Text] = {}
    try:
        for statement in ast.parse(source).body:
            for name in _bound_names(statement):
                value = _assigned(statement, name, texts)
                if value is None:
                    texts.pop(name, None)
                else:
                    texts[name] = _Text(f"{script}:{statement.lineno}", value)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        at = f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        what = f"is not valid Python ({type(error).__name__})"
        raise BadInput([Problem(f"{script}{at}", what, _SCRIPT_REMEDY)]) from error
    return texts


def _bound_names(statement: ast.stmt) -> set[str]:
    """The names of the module that a statement of its top level binds or deletes."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    names = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
    return {name.id for name in names if isinstance(name.ctx, ast.Store | ast.Del)}


def _assigned(statement: ast.stmt, name: str, texts: Mapping[str, _Text]) -> str | None:
    match statement:
        case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
            return _literal(value, texts)
        case ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value) if target == name:
            return _literal(value, texts)
    return None


def _literal(value: ast.expr, texts: Mapping[str, _Text]) -> str | None:
    match value:
        case ast.Constant(value=str(text)):
            return text
        case ast.Name(id=name) if name in texts:
            return texts[name].text
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            first, second = _literal(left, texts), _literal(right, texts)
            return None if first is None or second is None else first + second
    return None


def git_commit(clone: Path) -> str:
    """The commit that a clone has checked out, read from its files; "" where they do not say."""
    folder = clone / ".git"
    try:
        head = (folder / "HEAD").read_text(encoding="ascii").strip()
        reference = re.fullmatch(r"ref: (refs/(?:[A-Za-z0-9_-][A-Za-z0-9._-]*/)*[A-Za-z0-9_-][A-Za-z0-9._-]*)", head)
        if reference is None:
            return _commit_in(head)
        loose = folder / reference[1]
        if loose.is_file():
            return _commit_in(loose.read_text(encoding="ascii").strip())
        packed = (folder / "packed-refs").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    found = [line.split()[0] for line in packed.splitlines() if line.split()[1:] == [reference[1]]]
    return _commit_in(found[0]) if found else ""


def _commit_in(text: str) -> str:
    return text if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", text) else ""


def _script(clone: Path, script: str) -> bytes:
    if not clone.is_dir():
        raise BadInput([Problem(str(clone), "there is no clone of the benchmark here", _CLONE_REMEDY)])
    path = clone / script
    if not path.is_file():
        raise BadInput([Problem(script, f"the script is not in the clone {clone}", _SCRIPT_REMEDY)])
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput([Problem(script, f"cannot be read ({error.strerror})", "Check its permissions.")]) from error
