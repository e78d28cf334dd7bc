"""The assets, one noun a file, in the order the data flow."""

import warnings

import dagster as dg

# `backfill_policy` and ranged runs are marked beta; what we rely on is pinned by the contract tests.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
