"""Reports: a run as one self-contained page, and what changed between runs."""
