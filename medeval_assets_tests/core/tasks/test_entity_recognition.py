"""Entity recognition: the samples and the real files, how tags become mentions, and what a bad file is told."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from medeval_assets.catalog.task_spec import TaskSpec
from medeval_assets.prompts.project_wording import ProjectWording
from medeval_assets.sources.source_folder import SourceFolder
from medeval_assets.tasks.entity_recognition import TASKS
from medeval_assets_tests.core.tasks.raw_files import SECRET, folder_of, refusals, sample_of
from medeval_assets_tests.real_data import SHARED_DATA, needs_real_data

NCBI, BC5CDR = TASKS


def iob(*tokens: str) -> str:
    """A sentence from `token/tag` words; a tag is B or I with the first letter of its type, or missing for O."""
    tags = {"": "O", "BD": "B-Disease", "ID": "I-Disease", "BC": "B-Chemical", "IC": "I-Chemical"}
    pairs = [token.partition("#") for token in tokens]
    return "".join(f"{token}\t{tags[tag]}\n" for token, _, tag in pairs) + "\n"


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_the_samples_have_shots_beside_what_is_scored(task: TaskSpec, tmp_path: Path) -> None:
    examples = sample_of(task, tmp_path)
    splits = Counter(example.split for example in examples)
    assert splits["test"] >= 12
    assert splits["dev"] >= task.shots.count
    assert any(not example.targets for example in examples)
    marked = [example for example in examples if example.cluster_id != example.example_id]
    assert marked == (examples if task is BC5CDR else [])
    wording = ProjectWording(task)
    for example in examples:
        assert example.inputs["sentence"] in wording.user(example)
        assert all(mention in example.inputs["sentence"] for mention in example.targets)


@needs_real_data
def test_the_real_files_read_whole() -> None:
    folder = SourceFolder(SHARED_DATA / "NCBI-disease-IOB", synthetic=False)
    examples = NCBI.read(folder)
    # Counted in the files: 940 and 923 sentences, 960 and 787 `B-` tags, and no `I-` without one before it.
    assert Counter(example.split for example in examples) == {"test": 940, "dev": 923}
    mentions = Counter({"test": 0, "dev": 0})
    for example in examples:
        mentions[example.split] += len(example.targets)
        assert all(mention in example.inputs["sentence"] for mention in example.targets)
    assert mentions == {"test": 960, "dev": 787}
    assert [record.sha256 for record in folder.used] == [download.sha256 for download in NCBI.downloads]
    assert examples[0].targets == ("ataxia-telangiectasia", "sporadic T-cell leukaemia")


@pytest.mark.parametrize(
    ("tokens", "mentions"),
    [
        (["no", "finding", "."], ()),
        (["gout#BD", "and", "gout#BD"], ("gout", "gout")),
        (["gout#BD", "asthma#BD"], ("gout", "asthma")),
        (["bone#BD", "cancer#ID", "pain"], ("bone cancer",)),
        # conlleval: an I- after O, or after another type, begins a mention.
        (["bone#ID", "cancer#ID"], ("bone cancer",)),
        (["iron#BC", "overload#ID"], ("iron", "overload")),
        (["iron#BC", "oxide#IC", "in", "oxide#IC"], ("iron oxide", "oxide")),
    ],
)
def test_tags_become_mentions(tmp_path: Path, tokens: list[str], mentions: tuple[str, ...]) -> None:
    (example,) = BC5CDR.read(folder_of(tmp_path, {"test.tsv": iob(*tokens)}))
    assert example.targets == mentions
    assert ProjectWording(BC5CDR).answer(example) == ("\n".join(mentions) or "none")


@pytest.mark.parametrize(
    ("tokens", "sentence"),
    [
        ("A - T ( ATM ) , at 11q22 - q23 .", "A-T (ATM), at 11q22-q23."),
        ("Wilson ' s disease : 0 . 5 mg / dl", "Wilson's disease: 0.5 mg/dl"),
        ("71 % [ n = 4 ] ; is it ?", "71% [n = 4]; is it?"),
    ],
)
def test_a_sentence_reads_as_people_write(tmp_path: Path, tokens: str, sentence: str) -> None:
    (example,) = NCBI.read(folder_of(tmp_path, {"test.tsv": iob(*tokens.split())}))
    assert example.inputs["sentence"] == sentence


def test_a_mention_is_cut_from_the_sentence_it_stands_in(tmp_path: Path) -> None:
    tokens = ["(", "A#BD", "-#ID", "T#ID", ")", "-", "like", "Wilson#BD", "'#ID", "s#ID", "disease#ID", "."]
    (example,) = NCBI.read(folder_of(tmp_path, {"test.tsv": iob(*tokens)}))
    assert example.inputs["sentence"] == "(A-T)-like Wilson's disease."
    assert example.targets == ("A-T", "Wilson's disease")


@pytest.mark.parametrize("marker", ["-DOCSTART-\tO", "-DOCSTART-", "-DOCSTART- (123)\tO", "-DOCSTART- -X- O"])
def test_sentences_of_a_marked_document_are_one_cluster(tmp_path: Path, marker: str) -> None:
    text = f"{marker}\n\n{iob('one')}{iob('two')}{marker}\n{iob('three')}"
    examples = NCBI.read(folder_of(tmp_path, {"test.tsv": text}))
    assert [example.cluster_id for example in examples] == ["test-document-1"] * 2 + ["test-document-2"]
    assert [example.inputs["sentence"] for example in examples] == ["one", "two", "three"]


def test_without_markers_a_sentence_is_named_by_its_first_line(tmp_path: Path) -> None:
    files = {"test.tsv": iob("a", "b") + "\n" + iob("c").rstrip("\n"), "devel.tsv": iob("d")}
    examples = NCBI.read(folder_of(tmp_path, {**files, "train.tsv": SECRET}))
    # Lines of test.tsv: a, b, blank, blank, c.
    assert [(example.example_id, example.split) for example in examples] == [
        ("test-1", "test"),
        ("test-5", "test"),
        ("devel-1", "dev"),
    ]
    assert all(example.cluster_id == example.example_id for example in examples)


def test_a_single_file_may_have_any_name(tmp_path: Path) -> None:
    (example,) = NCBI.read(folder_of(tmp_path, {"own.tsv": iob("gout#BD")}))
    assert (example.example_id, example.split, example.targets) == ("own-1", "test", ("gout",))


GOOD = iob("gout#BD")


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({}, "no file named like test.tsv or *.tsv"),
        ({"a.tsv": GOOD, "b.tsv": GOOD}, "which is the test file? (a.tsv, b.tsv)"),
        ({"test.tsv": "\n"}, "test.tsv: the file is empty"),
        ({"test.tsv": GOOD, "devel.tsv": ""}, "devel.tsv: the file is empty"),
        ({"test.tsv": "-DOCSTART-\tO\n"}, "test.tsv: no sentence could be read from it"),
        ({"test.tsv": GOOD + f"{SECRET}\tB-Dis"}, "test.tsv:3 tag: expected one of B-Disease, I-Disease, O"),
        ({"test.tsv": GOOD + f"{SECRET}\tB-Chemical"}, "test.tsv:3 tag: expected one of"),
        ({"test.tsv": f"a\tO\n{SECRET} O\n"}, "test.tsv:2: expected a token, a tab and its tag"),
        ({"test.tsv": f"{SECRET}\tNN\tO\n"}, "test.tsv:1: expected a token, a tab and its tag"),
        ({"test.tsv": "a\tO\n\tO\n"}, "test.tsv:2: expected a token, a tab and its tag"),
        ({"test.tsv": GOOD, "devel.tsv": SECRET}, "devel.tsv:1: expected a token, a tab and its tag"),
        ({"test.tsv": GOOD.encode() + b"\xe9\tO\n"}, "test.tsv:3: byte 0xe9 is not UTF-8"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, files: dict[str, str | bytes], complaint: str) -> None:
    (told,) = refusals(NCBI, tmp_path, files)
    assert complaint in told


def test_every_bad_sentence_is_told(tmp_path: Path) -> None:
    told = refusals(NCBI, tmp_path, {"test.tsv": f"a O\n\n{GOOD}b\tX\n"})
    assert [text.split(": ")[0] for text in told] == ["test.tsv:1", "test.tsv:5 tag"]
