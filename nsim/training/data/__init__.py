"""Spoken digits made offline: words spoken by espeak-ng, and turned into spikes by a model of the inner ear."""
