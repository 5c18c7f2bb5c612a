"""Layers cut over cores on a mesh: partition, placement, storage, routes (chips with timesteps)."""
