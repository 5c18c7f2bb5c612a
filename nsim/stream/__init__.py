"""Chips without timesteps (discipline `stream`): every event is served as it comes, and evaluated when it is served."""
