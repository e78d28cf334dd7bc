"""medeval-assets: is a biomedical model better than the general model it came from?

The packages are named after what the data are on their way through:
`sources` → `tasks` → `prompts` → `engines` → `parsers` → `metrics` → `statistics` → `reports`,
every step kept in the `lake`. `catalog` names the models and tasks. These never import Dagster;
`assets`, `checks`, `automation`, `resources`, `partitions` and `definitions` are the thin layer that does.
"""
