"""Neurons on tiles and their connections over routing tiles (Mosaic)."""
