"""The same activity timed on chips that differ in their costs, one module for each discipline; see ranges.py."""
