"""Layers as hardware sequences of processors (chips with frames)."""
