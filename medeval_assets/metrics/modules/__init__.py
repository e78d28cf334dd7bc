"""The metrics as modules of Hugging Face's `evaluate` library, one a file, each loaded by its path alone.

evaluate.load("medeval_assets/metrics/modules/rouge.py") works from a checkout; elsewhere the folder is that of this
package. The library copies the file into its own cache and imports it from there, so the package has to be installed;
nothing is fetched. What a module computes is the metric objects of `medeval_assets.metrics`, by the same formula as a
metric table's value.
"""
