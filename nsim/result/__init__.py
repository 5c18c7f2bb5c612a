"""What a run tells: the run itself, counts, energy, tables and summaries."""
