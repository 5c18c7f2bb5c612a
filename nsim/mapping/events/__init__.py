"""Layers on the cores of a chip without timesteps."""
