"""Results and lineage, in the formats that others read."""
