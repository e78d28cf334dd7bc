"""Comparisons: is a model better than the one it came from, on the examples that both answered?

Belongs here: which scores may be compared, what is said of them, and why they differ. Does not belong here: the
statistics (`statistics`), and how a comparison is shown (`reports`).
"""
