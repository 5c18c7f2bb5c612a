"""Better mappings: moves, searches that make them, and a history of what was kept and why."""
