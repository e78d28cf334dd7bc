"""PackedOptions: a prompt's options side by side, so that one pass behind the prompt scores all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medeval_assets.engines.protocol import Request

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class PackedOptions:
    """The options of some requests as trees: the root is the last token of the context, and each option a branch.

    The last token of an option is left out: nothing follows it. Rows are padded on the right.
    token_ids: rows × width.
    depth: how many tokens behind the root each of them is, rows × width.
    seen: rows × width × width, true where the token of the second sees the one of the third: itself, what is before it
        in its option, and the root.
    """

    token_ids: Tensor
    depth: Tensor
    seen: Tensor


def packed_width(request: Request) -> int:
    """How many tokens the packed options are."""
    return 1 + sum(len(option) - 1 for option in request.options)


def packed_options(requests: Sequence[Request], pad: int) -> PackedOptions:
    """The options of the requests, all of which have some."""
    import torch

    width = max(map(packed_width, requests))
    token_ids = torch.full((len(requests), width), pad)
    depth = torch.zeros((len(requests), width), dtype=torch.long)
    seen = torch.zeros((len(requests), width, width), dtype=torch.bool)
    seen[:, :, 0] = True  # by padding too: a token that sees nothing would be no number
    for row, request in enumerate(requests):
        token_ids[row, 0] = request.option_context[-1]
        end = 1
        for option in request.options:
            start, end = end, end + len(option) - 1
            token_ids[row, start:end] = torch.tensor(option[:-1], dtype=torch.long)
            depth[row, start:end] = torch.arange(1, len(option))
            seen[row, start:end, start:end] = torch.ones(end - start, end - start, dtype=torch.bool).tril()
    return PackedOptions(token_ids, depth, seen)


def packed_likelihoods(logits: Tensor, options: Sequence[Sequence[int]]) -> tuple[float, ...]:
    """Summed log-probability (nats) of each option. logits: of one request's packed tokens, width × vocabulary."""
    import torch

    places: list[int] = []
    end = 1
    for option in options:
        start, end = end, end + len(option) - 1
        places += [0, *range(start, end)]
    tokens = torch.tensor([token for option in options for token in option], device=logits.device)
    each = logits.float().log_softmax(-1)[places].gather(1, tokens[:, None])[:, 0].double()
    parts: Any = torch.split(each, [len(option) for option in options])
    return tuple(part.sum().item() for part in parts)
