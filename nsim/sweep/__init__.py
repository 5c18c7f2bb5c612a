"""Sweeps: many runs that differ in network, chip, mapping, activity or seed, described by one file.

`spec` is the file, `points` the runs it asks for, `check` what can be wrong with them before anything runs, `evaluate`
one run, `store` what is finished, `executors` where runs happen, `table` the result, and `run` all of it together.
"""
