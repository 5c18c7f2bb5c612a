"""The readable engine: one SimPy process a station."""
