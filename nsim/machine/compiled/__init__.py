"""The fast engine: the same rules as compiled loops over arrays."""
