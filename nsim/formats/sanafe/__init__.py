"""SANA-FE's architectures, networks and mappings, read field by field."""
