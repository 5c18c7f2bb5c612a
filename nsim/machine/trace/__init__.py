"""Every service of a run as a table of messages, or as tracks for Perfetto."""
