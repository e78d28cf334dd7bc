"""The most pairs that two lists of word sets allow, each of a pair sharing a word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def most_pairs(left: Sequence[frozenset[str]], right: Sequence[frozenset[str]]) -> int:
    """The size of a maximum one-to-one matching in which two sets match when they have a word in common.

    It is the largest flow from the left sets through their words to the right ones (Dinic's algorithm in scipy), every
    set passing on as much as it occurs. The words stand between the sets, so the network is as large as the input:
    sets that all share one word would otherwise have an edge for each two of them.
    """
    groups = Counter(left), Counter(right)
    shared = frozenset[str]().union(*groups[0]) & frozenset[str]().union(*groups[1])
    if not shared:
        return 0
    import numpy as np
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_flow

    source, sink = 0, 1
    node = {word: number for number, word in enumerate(sorted(shared), start=2)}
    last = sink + len(node)
    edges: list[tuple[int, int, int]] = []
    for side, sets in enumerate(groups):
        for words, count in sets.items():
            met = [node[word] for word in words if word in node]
            if not met:
                continue
            last += 1
            edges.append((last, sink, count) if side else (source, last, count))
            edges.extend((word, last, count) if side else (last, word, count) for word in met)
    starts, ends, capacities = np.array(edges, dtype=np.int32).T
    network = csr_array((capacities, (starts, ends)), shape=(last + 1, last + 1))
    return int(maximum_flow(network, source, sink).flow_value)
