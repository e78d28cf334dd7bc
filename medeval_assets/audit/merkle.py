"""The root of a Merkle tree: one hash that stands for a list of things in their order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def leaf_hash(content: bytes) -> bytes:
    """A leaf's hash. Its prefix keeps a leaf from being taken for an inner node (RFC 6962, section 2.1)."""
    return hashlib.sha256(b"\x00" + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees beside each other."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The root over the leaves' contents, as RFC 6962 defines it; of no leaf at all, the hash of nothing."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    # Complete subtrees, the largest first: (leaves, hash). Two of one size make one of twice the size.
    complete: list[tuple[int, bytes]] = []
    for leaf in leaves:
        size, digest = 1, leaf_hash(leaf)
        while complete and complete[-1][0] == size:
            digest = node_hash(complete.pop()[1], digest)
            size *= 2
        complete.append((size, digest))
    root = complete.pop()[1]
    while complete:
        root = node_hash(complete.pop()[1], root)
    return root
