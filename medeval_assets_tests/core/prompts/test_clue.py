"""The benchmark's words out of a clone: what is read, what is refused, and that nothing of it ever runs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from medeval_assets.catalog.task_spec import (
    Access,
    ClueWording,
    Decoding,
    Document,
    Example,
    Group,
    Output,
    TaskSpec,
)
from medeval_assets.errors import BadInput
from medeval_assets.prompts.clue_wording import ClueScriptWording, git_commit, module_texts
from medeval_assets.prompts.prompt import DOCUMENTS, Message
from medeval_assets.prompts.prompt_set import prompt_set
from medeval_assets.prompts.wording import wording_for
from medeval_assets.settings import Settings

TEMPLATE = """
{% block system %}Own system.{% endblock %}{% block user %}{{ inputs.note }}{% endblock %}
{% block answer %}Own answer {{ target }}{% endblock %}{% block cue %}Own cue{% endblock %}
"""

SCRIPT = '''
import json
from somewhere_that_does_not_exist import Engine

PREFIX = "Verdict: "
sys_prompt = """
You weigh notes.
"""
user_prompt_template = """=== NOTE ===
{Note}
=== END, {{braces}} ===
Which of {Labels}?""" "!"
assistant_response_template = PREFIX + """{Label}""" + "."


def helper():
    sys_prompt = "local"
    return sys_prompt


if __name__ == "__main__":
    open("ran.txt", "w").write(user_prompt_template.format(Note=1))
'''

SECRET = "Zylkowskaemia"

INPUTS = {"Note": "inputs.note", "Labels": "options | join(', ')"}
ANSWER = {"Label": "target | upper"}

EXAMPLE = Example(
    example_id="e1",
    cluster_id="e1",
    inputs={"note": f"{SECRET} {{Labels}} {{{{ inputs }}}}"},
    targets=("no",),
    options={"yes": "yes", "no": "no"},
)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    (tmp_path / "clone" / "eval").mkdir(parents=True)
    (tmp_path / "clone" / "eval" / "eval_made_up.py").write_text(SCRIPT, encoding="utf-8")
    return tmp_path / "clone"


@pytest.fixture
def task(tmp_path: Path) -> Callable[..., TaskSpec]:
    def make(inputs: Mapping[str, str] = INPUTS, answer: Mapping[str, str] = ANSWER, *, clue: bool = True) -> TaskSpec:
        (tmp_path / "task.jinja").write_text(TEMPLATE)
        return TaskSpec(
            name="made_up",
            title="Made up",
            about="",
            group=Group.LEVEL_1,
            output=Output.LABEL,
            access=Access.CREDENTIALED,
            licence="",
            homepage="",
            folder="made_up",
            read=lambda folder: [],
            template=tmp_path / "task.jinja",
            decoding=Decoding(5),
            metrics=(),
            clue=ClueWording("eval/eval_made_up.py", inputs, answer) if clue else None,
        )

    return make


def rewrite(clone: Path, old: str, new: str) -> None:
    path = clone / "eval" / "eval_made_up.py"
    source = path.read_text(encoding="utf-8")
    assert old in source
    path.write_text(source.replace(old, new), encoding="utf-8")


def test_the_scripts_texts_are_used_as_they_stand(task: Callable[..., TaskSpec], clone: Path) -> None:
    [prompt] = prompt_set(task(), [EXAMPLE], ClueScriptWording(task(), clone))
    note = EXAMPLE.inputs["note"]
    assert prompt.messages == (
        Message("system", "\nYou weigh notes.\n"),
        Message("user", f"=== NOTE ===\n{note}\n=== END, {{braces}} ===\nWhich of yes, no?!"),
    )
    assert prompt.options == {"yes": "Verdict: YES.", "no": "Verdict: NO."}
    assert prompt.cue == "Verdict:"


def test_without_an_assistant_text_the_answers_are_the_projects(task: Callable[..., TaskSpec], clone: Path) -> None:
    rewrite(clone, "assistant_response_template", "something_else")
    wording = ClueScriptWording(task(answer={}), clone)
    assert wording.answer(EXAMPLE) == "Own answer no"
    assert wording.answer(EXAMPLE, "yes") == "Own answer yes"
    assert wording.cue(EXAMPLE) == "Own cue"


def test_without_an_assistant_text_the_task_may_say_the_whole_answer(
    task: Callable[..., TaskSpec], clone: Path
) -> None:
    whole = {"": "'It is ' ~ target ~ ': {' ~ options[target]"}
    with pytest.raises(BadInput, match=r"the placeholder \{Label\} is not known"):
        ClueScriptWording(task(answer=whole), clone)
    rewrite(clone, "assistant_response_template", "something_else")
    wording = ClueScriptWording(task(answer=whole), clone)
    assert wording.answer(EXAMPLE) == "It is no: {no"
    assert wording.answer(EXAMPLE, "yes") == "It is yes: {yes"
    assert wording.cue(EXAMPLE) == "Own cue"


def test_the_cue_is_the_projects_where_the_answer_opens_with_a_placeholder(
    task: Callable[..., TaskSpec], clone: Path
) -> None:
    rewrite(clone, "PREFIX + ", "")
    assert ClueScriptWording(task(), clone).cue(EXAMPLE) == "Own cue"


def test_documents_keep_their_slot(task: Callable[..., TaskSpec], clone: Path) -> None:
    wording = ClueScriptWording(task({**INPUTS, "Note": "documents"}), clone)
    example = Example("e1", "e1", {}, ("no",), {"no": "no"}, (Document("d", "text"),))
    assert f"\n{DOCUMENTS}\n" in wording.user(example)


def test_nothing_in_the_clone_runs(
    task: Callable[..., TaskSpec], clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mark = tmp_path / "mark"
    rewrite(clone, "import json", f"open({str(mark)!r}, 'w').close()\n[exit(1) for _ in range(1)]")
    for name in ("sitecustomize.py", "conftest.py", "__init__.py", "eval/__init__.py", "eval/utils.py"):
        (clone / name).write_text(f"open({str(mark)!r}, 'w').close()")
    ClueScriptWording(task(), clone).user(EXAMPLE)
    assert not mark.exists()
    assert not (tmp_path / "ran.txt").exists()


@pytest.mark.parametrize(
    "placeholder",
    [
        "{Note.__class__.__mro__}",
        "{Note[0]}",
        "{Note!r}",
        "{Note:>999999999}",
        "{Note:{Labels}}",
        "{}",
        "{0}",
        "{Note }",
        "{Unknown}",
        "{__import__}",
        "{Note",
        "Note}",
    ],
)
def test_other_placeholders_are_refused_with_file_and_line(
    task: Callable[..., TaskSpec], clone: Path, placeholder: str
) -> None:
    rewrite(clone, "{Note}", placeholder)
    with pytest.raises(BadInput) as refused:
        ClueScriptWording(task(), clone)
    # `user_prompt_template` is assigned on line 9 of SCRIPT, which begins with an empty line.
    assert {problem.where for problem in refused.value.problems} == {"eval/eval_made_up.py:9"}


def test_an_input_that_the_script_no_longer_asks_for_is_told(task: Callable[..., TaskSpec], clone: Path) -> None:
    rewrite(clone, "{Note}", "the note")
    with pytest.raises(BadInput, match=r"eval_made_up.py:9: the placeholder \{Note\} or \{Letter\} is missing"):
        ClueScriptWording(task({**INPUTS, "Letter": "inputs.note"}), clone)


def test_one_of_two_spellings_of_an_input_is_enough(task: Callable[..., TaskSpec], clone: Path) -> None:
    assert SECRET in ClueScriptWording(task({**INPUTS, "Letter": "inputs.note"}), clone).user(EXAMPLE)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("sys_prompt = ", "other = ", "eval/eval_made_up.py: no text is assigned to sys_prompt"),
        ('sys_prompt = """', 'sys_prompt = f"""{1 + 1}', "no text is assigned to sys_prompt"),
        ("def helper", "sys_prompt = open('x').read()\n\ndef helper", "no text is assigned to sys_prompt"),
        ("def helper", "sys_prompt += 'more'\n\ndef helper", "no text is assigned to sys_prompt"),
        ("def helper", "def sys_prompt(): ...\n\ndef helper", "no text is assigned to sys_prompt"),
        ("def helper", "del user_prompt_template\n\ndef helper", "assigned to user_prompt_template"),
        ("def helper", "def helper(:", "eval/eval_made_up.py:16: is not valid Python (SyntaxError)"),
        ("import json", "\0", "is not valid Python"),
        ("import json", "x = " + "(" * 5000 + ")" * 5000, "is not valid Python"),
    ],
)
def test_a_script_of_another_shape_is_refused(
    task: Callable[..., TaskSpec], clone: Path, old: str, new: str, complaint: str
) -> None:
    rewrite(clone, old, new)
    with pytest.raises(BadInput) as refused:
        ClueScriptWording(task(), clone)
    assert complaint in str(refused.value)


def test_a_sum_too_deep_to_read_is_refused() -> None:
    with pytest.raises(BadInput, match=r"long\.py: is not valid Python \(RecursionError\)"):
        module_texts(("a = " + " + ".join(["'x'"] * 20_000)).encode(), "long.py")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"Label": "inputs.gone"}, "UndefinedError"),
        ({"Label": "options"}, "TypeError"),
        ({"Label": "{}[inputs.note]"}, "UndefinedError"),
        ({"Label": "inputs.note.__class__.__subclasses__()"}, "SecurityError"),
    ],
)
def test_an_expression_that_errs_names_the_example_and_no_text(
    task: Callable[..., TaskSpec], clone: Path, answer: Mapping[str, str], kind: str
) -> None:
    wording = ClueScriptWording(task(answer=answer), clone)
    with pytest.raises(BadInput) as refused:
        wording.answer(EXAMPLE)
    assert "eval/eval_made_up.py:13 Label: the text for example e1 cannot be made" in str(refused.value)
    assert kind in str(refused.value)
    assert SECRET not in str(refused.value)
    assert refused.value.__context__ is None


def test_the_question_cannot_show_the_answer(task: Callable[..., TaskSpec], clone: Path) -> None:
    wording = ClueScriptWording(task({**INPUTS, "Labels": "target"}), clone)
    with pytest.raises(BadInput, match="UndefinedError"):
        wording.user(EXAMPLE)


def test_an_expression_that_is_none_is_refused(task: Callable[..., TaskSpec], clone: Path) -> None:
    with pytest.raises(BadInput, match="the task made_up clue Label: is no Jinja expression"):
        ClueScriptWording(task(answer={"Label": "target |"}), clone)


def test_a_missing_clone_or_script_says_what_to_do(task: Callable[..., TaskSpec], clone: Path) -> None:
    with pytest.raises(BadInput, match=r"there is no clone of the benchmark here.*MEDEVAL_CLUE"):
        ClueScriptWording(task(), clone / "gone")
    (clone / "eval" / "eval_made_up.py").unlink()
    with pytest.raises(BadInput, match=r"eval/eval_made_up\.py: the script is not in the clone"):
        ClueScriptWording(task(), clone)


def test_a_task_that_the_benchmark_has_not_is_told(task: Callable[..., TaskSpec], clone: Path) -> None:
    with pytest.raises(BadInput, match="made_up: the benchmark has no wording of this task"):
        ClueScriptWording(task(clue=False), clone)


COMMIT = "0123456789abcdef" * 2 + "01234567"


@pytest.mark.parametrize(
    ("files", "commit"),
    [
        ({"HEAD": f"{COMMIT}\n"}, COMMIT),
        ({"HEAD": "ref: refs/heads/main\n", "refs/heads/main": f"{COMMIT}\n"}, COMMIT),
        ({"HEAD": "ref: refs/heads/a/b\n", "packed-refs": f"# pack\n{COMMIT} refs/heads/a/b\n^{COMMIT}\n"}, COMMIT),
        ({"HEAD": "ref: refs/heads/main\n", "packed-refs": f"{COMMIT} refs/heads/main2\n"}, ""),
        ({"HEAD": "ref: refs/heads/main\n"}, ""),
        ({"HEAD": "ref: refs/../../secret\n"}, ""),
        ({"HEAD": "ref: /etc/passwd\n"}, ""),
        ({"HEAD": "ref: refs/heads/main\n", "refs/heads/main": "<script>\n"}, ""),
        ({"HEAD": "é"}, ""),
        ({}, ""),
    ],
)
def test_the_commit_is_read_from_the_clones_files(clone: Path, files: Mapping[str, str], commit: str) -> None:
    (clone / "secret").write_text(f"{COMMIT}\n")
    for name, text in files.items():
        path = clone / ".git" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert git_commit(clone) == commit


def test_the_identity_follows_the_script_and_the_task(task: Callable[..., TaskSpec], clone: Path) -> None:
    before = ClueScriptWording(task(), clone).identity
    assert before["script"] == "eval/eval_made_up.py"
    assert before["script_sha256"] == hashlib.sha256(SCRIPT.encode()).hexdigest()
    assert before["commit"] == ""
    assert ClueScriptWording(task({**INPUTS, "Note": "inputs.note | upper"}), clone).identity != before
    rewrite(clone, "import json", "import csv")
    assert ClueScriptWording(task(), clone).identity != before


def test_the_clone_is_found_where_the_user_says(
    task: Callable[..., TaskSpec], clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=tmp_path / "home", sources=tmp_path)
    monkeypatch.delenv("MEDEVAL_CLUE", raising=False)
    assert wording_for(task(), "clue", settings, clone).identity["wording"] == "clue"
    with pytest.raises(BadInput, match="no clone of the benchmark here"):
        wording_for(task(), "clue", settings)
    monkeypatch.setenv("MEDEVAL_CLUE", str(clone))
    assert wording_for(task(), "clue", settings).identity["wording"] == "clue"
    monkeypatch.delenv("MEDEVAL_CLUE")
    (tmp_path / "home").mkdir()
    clone.rename(tmp_path / "home" / "clue")
    assert wording_for(task(), "clue", settings).identity["wording"] == "clue"
