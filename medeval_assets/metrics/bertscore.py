"""BERTScore: how well the tokens of an answer and of a reference match, by the similarity of their vectors."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from medeval_assets.metrics.encoder_folder import Encoder
from medeval_assets.metrics.loaded_encoder import Embedded, LoadedEncoder
from medeval_assets.metrics.metric import CORRECTED, Metric, Response, Score
from medeval_assets.parsers.parsed import EMPTY

if TYPE_CHECKING:
    from torch import Tensor

_REMEMBERED_BYTES = 512 * 2**20
_PAIRS_AT_ONCE = 256
_ENCODERS_AT_ONCE = 2


class Match(NamedTuple):
    """How an answer matches a reference, each in [0, 1]; the field order is that of `bert-score`."""

    precision: float
    recall: float
    f1: float


_NOTHING = Match(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class BertScore:
    """One of BERTScore's three values (Zhang et al. 2020, arXiv 1904.09675, section 3), range [0, 1].

    Precision is the mean over the answer's tokens of the highest cosine similarity to any of the reference's, recall
    the mean over the reference's tokens likewise, F1 their harmonic mean; no idf weights, no rescaling. Special tokens
    can be matched but do not count. The table's value is the mean over examples. The same numbers as `bert-score`
    0.3.13 within 1e-6, where that works.

    Edge cases: of several references each value is that of the reference where it is highest, as in `bert-score`.
    A token that resembles nothing (no positive cosine) counts 0. A text is read up to the encoder's limit, most often
    512 tokens. An answer in which the encoder sees no token scores 0 with the failure "empty"; a reference without one
    gives 0. Raises BadInput where the encoder cannot be loaded.

    shown: the field of `Match`.
    matches: shared by the three metrics of an encoder.
    """

    name: str
    title: str
    shown: str
    matches: Matches
    profile: str = CORRECTED
    reads_likelihood: bool = False

    def scores(self, responses: Sequence[Response]) -> list[Score | None]:
        return [
            Score(0.0, failure=EMPTY) if match is None else Score(getattr(match, self.shown))
            for match in self.matches.of(responses)
        ]


def bertscore_metrics(encoder: Encoder) -> tuple[Metric, ...]:
    """F1, precision and recall under this encoder. Nothing is loaded before the first of them is asked for scores."""
    matches = Matches(encoder)
    shown = {"f1": "F1", "precision": "precision", "recall": "recall"}
    return tuple(
        BertScore(
            name=f"bertscore_{value}.{encoder.name}.l{encoder.layer}",
            title=f"BERTScore {words} ({encoder.name}, layer {encoder.layer})",
            shown=value,
            matches=matches,
        )
        for value, words in shown.items()
    )


class Matches:
    """Matches under one encoder; those asked for last are kept, for the next metric asks for most of them again."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._found: dict[tuple[str, str], Match | None] = {}

    def of(self, responses: Sequence[Response]) -> list[Match | None]:
        """One a response, in order: the highest of each value over its references; None for an empty answer."""
        # An answer without a reference is matched with none, to tell whether it is empty.
        pairs = [[(one.text, target) for target in one.example.targets or ("",)] for one in responses]
        asked = set(itertools.chain(*pairs))
        self._found = {pair: match for pair, match in self._found.items() if pair in asked}
        missing = asked - self._found.keys()
        if missing:
            self._found |= _matcher(self._encoder, self._encoder.identity_sha256).matches(missing)
        return [_best([self._found[pair] for pair in of_one]) for of_one in pairs]


def _best(matches: Sequence[Match | None]) -> Match | None:
    there = [match for match in matches if match is not None]
    return Match(*map(max, zip(*there, strict=True))) if there else None


@lru_cache(maxsize=_ENCODERS_AT_ONCE)
def _matcher(encoder: Encoder, identity_sha256: str) -> Matcher:
    """The one for an encoder with these files. It stays in the process: the next model finds its references encoded."""
    return Matcher(LoadedEncoder(encoder), ReferenceMemory(_REMEMBERED_BYTES))


class ReferenceMemory:
    """The embeddings of references, up to so many bytes of vectors; those not used for longest go first.

    Never on disk: a text can be guessed from its embeddings, and many references are confidential.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[str, Embedded] = OrderedDict()

    def get(self, text: str) -> Embedded | None:
        if text in self._kept:
            self._kept.move_to_end(text)
        return self._kept.get(text)

    def keep(self, text: str, embedded: Embedded) -> None:
        """Remember it as the one used last. One larger than the whole memory is not kept."""
        gone = self._kept.pop(text, None)
        self._kept[text] = embedded
        self._bytes += embedded.vectors.nbytes - (0 if gone is None else gone.vectors.nbytes)
        while self._bytes > self._most:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= oldest.vectors.nbytes


class Matcher:
    """Matches answers with references under one loaded encoder. Threads may share it."""

    def __init__(self, encoder: LoadedEncoder, memory: ReferenceMemory) -> None:
        self._encoder = encoder
        self._memory = memory
        self._alone = threading.Lock()

    def matches(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Match | None]:
        """The match of each pair (answer, reference); None where the encoder sees no token in the answer.

        On a CPU a pair's match is the same to the last bit, whatever else is matched and whatever is remembered.
        """
        # Identical answers come one after the other, and a block holds answers of about one length.
        ordered = sorted(set(pairs), key=lambda pair: (len(pair[0]), pair))
        found: dict[tuple[str, str], Match | None] = {}
        held: dict[str, Embedded | None] = {}
        with self._alone:
            for start in range(0, len(ordered), _PAIRS_AT_ONCE):
                block = ordered[start : start + _PAIRS_AT_ONCE]
                held = self._embedded(block, held)
                found.update((pair, _match(held[pair[0]], held[pair[1]])) for pair in block)
        return found

    def _embedded(
        self, block: Sequence[tuple[str, str]], held: Mapping[str, Embedded | None]
    ) -> dict[str, Embedded | None]:
        """What the texts of the block are encoded to. held: those of the block before."""
        embedded: dict[str, Embedded | None] = {}
        missing: list[str] = []
        for text in dict.fromkeys(itertools.chain(*block)):
            known = held.get(text) or self._memory.get(text)
            if known is None:
                missing.append(text)
            else:
                embedded[text] = known
        embedded.update(zip(missing, self._encoder.embed(missing), strict=True))
        for _, reference in block:
            vectors = embedded[reference]
            if vectors is not None:
                self._memory.keep(reference, vectors)
        return embedded


def _match(answer: Embedded | None, reference: Embedded | None) -> Match | None:
    if answer is None:
        return None
    if reference is None:
        return _NOTHING
    from bert_score.utils import greedy_cos_idf

    return Match(*(min(float(value), 1.0) for value in greedy_cos_idf(*_padded(reference), *_padded(answer))))


def _padded(text: Embedded) -> tuple[Tensor, Tensor, Tensor]:
    """Copies of vectors, mask and weights as a batch of one; `greedy_cos_idf` writes into what it is given.

    There is one place more than tokens: in `greedy_cos_idf` a padded place has similarity 0 with everything, and so a
    token without any positive similarity counts 0. Without it, it would count as negative or as 0, depending on the
    batch.
    """
    import torch
    from torch.nn.functional import pad

    vectors = pad(text.vectors, (0, 0, 0, 1), value=1.0)
    mask = pad(torch.ones(len(text.vectors)), (0, 1))
    return vectors[None], mask[None], pad(text.weights, (0, 1))[None]
