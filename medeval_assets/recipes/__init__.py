"""What each table depends on, and how it is made: one table a file, in the order the data flow.

Assets make what these say, and the plan compares it with what is there; so both call the same tables stale. What a
model returns is its cell (`engines.cell`).
"""
