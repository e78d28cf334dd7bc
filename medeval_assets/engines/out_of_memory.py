"""Which errors say that memory did not suffice."""

from __future__ import annotations

# What torch's allocator for the CPU, the standard library's and oneDNN say; none of them has an error of its own.
_WORDS = ("not enough memory", "can't allocate memory", "std::bad_alloc", "could not create a primitive")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error says that memory of the GPU or of the machine did not suffice."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS)
