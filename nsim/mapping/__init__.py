"""Network + chip -> mapping: who holds which neurons, and what every message reaches and costs there."""
