"""Where a number came from: the chain behind it, one example of it, and the same number made again."""
