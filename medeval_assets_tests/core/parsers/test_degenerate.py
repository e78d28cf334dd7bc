"""Degenerate answers: each kind is found, and no right answer and no clinical text is taken for one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medeval_assets.catalog.task_spec import Document, Example, Output, TaskSpec
from medeval_assets.parsers.degenerate import degenerate_kind
from medeval_assets.settings import Settings
from medeval_assets.sources.dataset import read_dataset
from medeval_assets.tasks import all_tasks
from medeval_assets_tests.real_data import SHARED_DATA, needs_real_data

LETTER = (
    "She was given intravenous furosemide for four days and lost five kilograms. The ibuprofen she took for her knees "
    "was stopped because it makes the body hold salt and water."
)
EXAMPLE = Example("e1", "p1", {"letter": LETTER, "question": "Why was it stopped?"}, ("It holds water.",), documents=())


def right_answer(task: TaskSpec, example: Example) -> str:
    return (", " if task.output is Output.CODES else "\n").join(example.targets) or "none"


@pytest.mark.parametrize("text", ["", " \n\t", "\u200b\ufeff", "\x00\x07"])
def test_nothing_visible_is_empty(text: str) -> None:
    assert degenerate_kind(text, EXAMPLE) == "empty"


@pytest.mark.parametrize(
    "text",
    [
        "It holds water.<|im_end|>\n<|im_start|>user",
        "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nIt holds water.",
        "<|user|>\nWhy was it stopped?",
        "<\uff5cAssistant\uff5c>It holds water.",
        "It holds water. [INST] Why?",
        "<<SYS>>\nYou are a helpful assistant.\n<</SYS>>",
        "It holds water.<end_of_turn>",
        "It holds water.</s>",
        "### Response:\nIt holds water.",
        "It holds water.\n\nUser: And then?\nAssistant: Nothing.",
        "**Assistant**: It holds water.",
        "It holds water.assistant\n\nIs there anything else?",
        "It holds water.\nuser\nWhy?",
    ],
)
def test_chat_markup_is_found(text: str) -> None:
    assert degenerate_kind(text, EXAMPLE) == "role_tokens"


@pytest.mark.parametrize(
    "text",
    [
        "The patient was seen by a physician assistant\nand by an intravenous drug user.",
        "### Findings:\nSodium < 130 | potassium > 5",
        "Intravenous drug abuser\nOpioid user",
        "User reported burning pain.",
    ],
)
def test_words_that_markup_is_made_of_are_no_markup(text: str) -> None:
    assert degenerate_kind(text, EXAMPLE) == ""


@pytest.mark.parametrize(
    "text",
    [
        "no " * 128,
        "Torsade de pointes\n" + "QT\n" * 40,
        "Acute kidney injury, " + "acute myocardial infarction, " * 12 + "acute",
        # A loop whose turns differ a little.
        "They found that the heart was a small, thin thing. "
        + "They also found that the heart was a small, thin thing. " * 3,
        "!" * 60,
        "a" * 5000,
        "肝硬化" * 400,
        # 10 words, 7 stretches of four, 2 different ones: 1 - 2/7.
        "renal failure " * 5,
    ],
)
def test_loops_are_repetition(text: str) -> None:
    assert degenerate_kind(text, EXAMPLE) == "repetition"


@pytest.mark.parametrize(
    "text",
    [
        "C2 deficiency\nC2 deficiency\nC2 deficiency\nC2 deficiency",  # annotated so in the NCBI disease test set
        "The answer is yes.\n\nThe answer is yes.",
        "I10, E11.9, N18.3, I50.9, J44.9, Z79.4, Z87.891, E78.5, K21.9, F32.9, M17.0, G47.33",
        "The rate was 4 % at 1 year, 6 % at 2 years, 7 % at 3 years, 9 % at 4 years and 12 % at 5 years.",
    ],
)
def test_lists_and_short_answers_may_repeat_themselves(text: str) -> None:
    assert degenerate_kind(text, EXAMPLE) == ""


def test_an_answer_that_is_half_a_copied_stretch_is_an_echo() -> None:
    """20 copied words and as many of its own are half; 21 of its own, or 19 copied, are less."""
    copied = LETTER.split()[-20:]
    own = ["but", *(f"own{number}" for number in range(19))]
    assert degenerate_kind(" ".join(copied), EXAMPLE) == "prompt_echo"
    assert degenerate_kind(" ".join([*copied, *own]).upper(), EXAMPLE) == "prompt_echo"
    assert degenerate_kind(" ".join([*copied, *own, "more"]), EXAMPLE) == ""
    assert degenerate_kind(" ".join(copied[1:]), EXAMPLE) == ""


def test_documents_are_part_of_the_prompt_and_targets_are_not() -> None:
    text = " ".join(f"word{number}" for number in range(25))
    shown = Example("e1", "p1", {"question": "Why?"}, (), documents=(Document("d1", text),))
    assert degenerate_kind(text, shown) == "prompt_echo"
    assert degenerate_kind(text, Example("e1", "p1", {"question": "Why?"}, (text,))) == ""


@pytest.mark.parametrize(
    "text",
    [
        "患者患有急性肾损伤和心力衰竭 需要住院治疗",
        "أعطيت المريضة furosemide لمدة أربعة أيام في المستشفى",
        "Die Patientin wurde mit Furosemid behandelt und hat in vier Tagen 5,5 kg verloren. Das ist nicht wenig.",
        "La patiente a été traitée par furosémide pendant quatre jours et elle a perdu 5,5 kg dans le service.",
        "La paciente fue tratada con furosemida por cuatro días y perdió 5,5 kg en el hospital.",
        "La paziente è stata trattata con furosemide per quattro giorni e non ha più gli edemi.",
        "A paciente foi tratada com furosemida por quatro dias e perdeu 5,5 kg em uma semana.",
        "De patiënt is met furosemide behandeld en het gewicht nam af, maar ook de nierfunctie.",
        "Pacjentka jest leczona furosemidem od czterech dni, nie ma obrzęków i czuje się dobrze po leczeniu.",
        "Hasta dört gün furosemid ile tedavi edildi ve bu ilaç için çok iyi bir sonuç verdi.",
    ],
)
def test_another_language_is_found(text: str) -> None:
    assert degenerate_kind(text, EXAMPLE) == "other_language"


@pytest.mark.parametrize(
    "text",
    [
        "Torsade de pointes, café-au-lait spots, cri du chat, tic douloureux, grand mal, coup de sabre, et al.",
        "Diabetes mellitus, placenta praevia, lupus erythematodes, in vivo, per os, post mortem, ad libitum, nil",
        "β-HCG 4,500, β-lactamase, Δ-gap 12",
        "DM, HTN, CAD, AF, CKD, OSA, COPD, GERD, DVT, PE, ER visit, Na 130, K 3.2, no CP, no SOB, as before",
        "Αγγειίτιδα",  # ten letters: too few to tell
        "Guillain-Barré syndrome, Sjögren disease, Ménière disease, Behçet disease, Kölliker organ, Löffler syndrome",
    ],
)
def test_lists_and_foreign_terms_are_no_other_language(text: str) -> None:
    assert degenerate_kind(text, EXAMPLE) == ""


def test_the_first_kind_that_fits_is_the_one() -> None:
    loop = "Die Frau ist krank und das ist nicht gut. " * 5
    assert degenerate_kind(loop, EXAMPLE) == "repetition"
    assert degenerate_kind(loop + "<|im_end|>", EXAMPLE) == "role_tokens"
    assert degenerate_kind(loop, Example("e1", "p1", {"letter": loop}, ())) == "repetition"


def test_an_endless_answer_is_judged_by_its_end() -> None:
    start = " ".join(map(str, range(1_200_000)))
    assert degenerate_kind(start, EXAMPLE) == ""
    assert degenerate_kind(start + " no" * 40_000, EXAMPLE) == "repetition"


@pytest.mark.parametrize("text", ["\ud800 it holds water", "\u202eretaw sdloh ti\u202c", "it\x00holds\x1bwater"])
def test_strange_characters_are_read(text: str) -> None:
    assert degenerate_kind(text, EXAMPLE) == ""


@pytest.mark.parametrize("task", all_tasks().values(), ids=all_tasks())
def test_no_right_answer_and_no_sample_text_is_degenerate(task: TaskSpec, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, sources=tmp_path / "sources")
    nowhere = Example("e1", "e1", {}, ())
    for example in read_dataset(task, settings).examples:
        answers = [right_answer(task, example), *example.options.values()]
        assert {degenerate_kind(answer, example) for answer in answers} == {""}
        texts = [*example.inputs.values(), *(document.text for document in example.documents)]
        assert {degenerate_kind(text, nowhere) for text in texts if text} <= {""}


@needs_real_data
def test_no_right_answer_of_the_real_files_is_degenerate(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "ncbi_disease").symlink_to(SHARED_DATA / "NCBI-disease-IOB")
    (sources / "meqsum").mkdir()
    (book,) = SHARED_DATA.glob("MeQSum*.xlsx")
    (sources / "meqsum" / book.name).symlink_to(book)
    settings = Settings(home=tmp_path, sources=sources)
    found = [
        (example.example_id, kind)
        for name in ("meqsum", "ncbi_disease")
        for example in read_dataset(all_tasks()[name], settings).examples
        if (kind := degenerate_kind(right_answer(all_tasks()[name], example), example))
    ]
    assert found == []


@needs_real_data
def test_no_abstract_is_degenerate() -> None:
    records = json.loads((SHARED_DATA / "pubmedqa" / "ori_pqal.json").read_text(encoding="utf-8")).values()
    texts = [text for record in records for text in [record["LONG_ANSWER"], *record["CONTEXTS"]]]
    nowhere = Example("e1", "e1", {}, ())
    assert len(texts) > 4000
    assert {degenerate_kind(text, nowhere) for text in texts} == {""}
