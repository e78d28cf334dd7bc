"""LoadedEncoder: an encoder in memory, which turns texts into one vector a token."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medeval_assets.errors import BadInput, Problem
from medeval_assets.metrics.encoder_folder import Encoder

if TYPE_CHECKING:
    from torch import Tensor

_MOST_TOKENS_UNLESS_STATED = 512
# A tokenizer that states no limit says 10^30.
_NO_LIMIT = 10**9
_LENGTH_STEP = 4
_TOKENS_AT_ONCE = 4096
_FIRST_PART = 8192
_PART_GROWTH = 8
# More words than the longest special token of a tokenizer has letters.
_UNSURE_WORDS = 64
_MISSING_SHOWN = 3
_GET_AGAIN = "Get the encoder's files again, all from the same release."


@dataclass(frozen=True)
class Embedded:
    """A text's tokens in order, with the special ones that frame it.

    vectors: [tokens, width], float32, on the CPU.
    weights: [tokens], 1 for a token of the text and 0 for a special one.
    """

    vectors: Tensor
    weights: Tensor


class LoadedEncoder:
    """A model and its tokenizer as `bert-score` uses them, mended where that fails under transformers 5.

    A text is stripped, and lone surrogates become U+FFFD. RoBERTa's and GPT-2's tokenizers see a space before the first
    word, as `bert-score` asks of them. What goes beyond `most_tokens` is left out.
    """

    def __init__(self, encoder: Encoder) -> None:
        """Reads the folder, to the GPU where there is one; raises BadInput where it cannot be used."""
        # Threads that wait sleep soon: spinning ones take the cores from other processes. Read when torch is imported.
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
        import torch
        import transformers

        library: Any = transformers  # most of its functions are not annotated
        self._where = f"encoders/{encoder.name}"
        with _quiet(library), torch.random.fork_rng(devices=[]):
            try:
                self._tokenizer = library.AutoTokenizer.from_pretrained(
                    encoder.folder, local_files_only=True, trust_remote_code=False
                )
                model, report = _load(library, encoder)
            except Exception as error:
                what = f"cannot be loaded ({type(error).__name__})"
                raise BadInput([Problem(self._where, what, _GET_AGAIN)]) from error
        problems = [*_missing(report, self._where), *_unfit(self._tokenizer, model, self._where)]
        if problems:
            raise BadInput(problems)
        self._tokenizer.truncation_side = "right"
        self._special = {self._tokenizer.cls_token_id, self._tokenizer.sep_token_id}
        self._spaced = isinstance(self._tokenizer, (library.GPT2Tokenizer, library.RobertaTokenizer))
        self.most_tokens = _most_tokens(self._tokenizer, model)
        self._model = model.requires_grad_(False).to("cuda" if torch.cuda.is_available() else "cpu")

    def embed(self, texts: Sequence[str]) -> list[Embedded | None]:
        """One result a text, in order; None where the encoder sees no token in it. Identical texts are encoded twice.

        A text is padded to a length that depends on nothing but itself (the next multiple of 4), so that on a CPU its
        vectors are the same, to the last bit, whatever it is encoded with. Raises BadInput where a vector is not
        finite or 0, which comes of damaged weights.
        """
        found: list[Embedded | None] = [None] * len(texts)
        by_length: dict[int, list[tuple[int, list[int]]]] = defaultdict(list)
        for place, ids in enumerate(self._token_ids(texts)):
            if not self._special.issuperset(ids):
                padded = -(-len(ids) // _LENGTH_STEP) * _LENGTH_STEP
                by_length[min(padded, self.most_tokens)].append((place, ids))
        for length, rows in sorted(by_length.items()):
            most = max(1, _TOKENS_AT_ONCE // length)
            for start in range(0, len(rows), most):
                batch = rows[start : start + most]
                for (place, ids), vectors in zip(batch, self._vectors([ids for _, ids in batch], length), strict=True):
                    found[place] = self._embedded(ids, vectors[: len(ids)])
        return found

    def _token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        beginnings = [self._beginning(self._plain(text)) for text in texts]
        encoded = self._tokenizer(beginnings, truncation=True, max_length=self.most_tokens)
        ids: list[list[int]] = encoded["input_ids"]
        return ids

    def _plain(self, text: str) -> str:
        stripped = text.strip().encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return f" {stripped}" if self._spaced and stripped else stripped

    def _beginning(self, text: str) -> str:
        """As much of the text as is needed to find its first `most_tokens` tokens, which are those of the whole text.

        A tokenizer reads word by word, so all words but the last are the same with or without what follows. More than
        the last are left out of the count, because the cut may go through a special token.
        """
        length = _FIRST_PART
        while length < len(text):
            words = self._tokenizer(text[:length], add_special_tokens=False, verbose=False).word_ids()
            if words and sum(word < words[-1] - _UNSURE_WORDS for word in words) >= self.most_tokens:
                break
            length *= _PART_GROWTH
        return text[:length]

    def _vectors(self, rows: Sequence[Sequence[int]], length: int) -> Tensor:
        import torch
        from bert_score.utils import bert_encode

        ids = torch.full((len(rows), length), self._tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        for row, tokens in enumerate(rows):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens)] = 1
        device = self._model.device
        vectors: Tensor = bert_encode(self._model, ids.to(device), attention_mask=mask.to(device))
        return vectors.cpu()

    def _embedded(self, ids: Sequence[int], vectors: Tensor) -> Embedded:
        import torch

        norms = vectors.norm(dim=-1)
        if not bool(((norms > 0) & norms.isfinite()).all()):
            raise BadInput([Problem(self._where, "its weights give vectors that are 0 or not finite", _GET_AGAIN)])
        weights = torch.tensor([float(token not in self._special) for token in ids])
        # A view would keep the whole batch in memory.
        return Embedded(vectors.clone(), weights)


@contextlib.contextmanager
def _quiet(library: Any) -> Iterator[None]:
    """Without the bars and the report of unused layers that the library writes; a person can do nothing about them."""
    logging = library.utils.logging
    verbosity = logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def _load(library: Any, encoder: Encoder) -> tuple[Any, dict[str, Any]]:
    """The model up to the encoder's layer in float32, whatever its files hold, and the report of what was read."""
    config = library.AutoConfig.from_pretrained(encoder.folder, local_files_only=True, trust_remote_code=False)
    config.num_hidden_layers = encoder.layer
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[: encoder.layer]
    model, report = library.AutoModel.from_pretrained(
        encoder.folder,
        config=config,
        dtype="float32",
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    return model, report


def _missing(report: dict[str, Any], where: str) -> list[Problem]:
    # The library fills weights that are not there with random numbers. The pooler comes after all layers.
    names = {str(name) for kind in ("missing_keys", "mismatched_keys") for name in report[kind]}
    missing = sorted(name for name in names if not name.startswith("pooler."))
    if not missing:
        return []
    shown = ", ".join(missing[:_MISSING_SHOWN]) + (" …" if len(missing) > _MISSING_SHOWN else "")
    return [Problem(where, f"the weights lack {len(missing)} tensors that the config asks for: {shown}", _GET_AGAIN)]


def _unfit(tokenizer: Any, model: Any, where: str) -> list[Problem]:
    last = max(tokenizer.get_vocab().values(), default=0)
    if last >= model.config.vocab_size:
        what = f"the tokenizer has tokens up to {last}, and the model knows only {model.config.vocab_size}"
        return [Problem(where, what, _GET_AGAIN)]
    framed = [tokenizer.cls_token_id, tokenizer.sep_token_id]
    if not tokenizer.is_fast or tokenizer.pad_token_id is None or tokenizer("")["input_ids"] != framed:
        what = "the tokenizer does not frame a text with a first and a last special token"
        return [Problem(where, what, "Use an encoder with a tokenizer like BERT's or RoBERTa's.")]
    return []


def _most_tokens(tokenizer: Any, model: Any) -> int:
    """The most tokens of a text, the two special ones included."""
    places: int = model.config.max_position_embeddings
    table = getattr(model.embeddings, "position_embeddings", None)
    # RoBERTa and its kin count a text's positions from behind that of the padding token.
    if table is not None and table.padding_idx is not None:
        places -= table.padding_idx + 1
    stated = tokenizer.model_max_length
    return min(places, _MOST_TOKENS_UNLESS_STATED if stated > _NO_LIMIT else stated)
