"""Profiles of hypothesis: `pytest --hypothesis-profile nightly` draws many more examples."""

from hypothesis import HealthCheck, settings

NOISY = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}  # shared machines
settings.register_profile("ordinary", max_examples=100, **NOISY)
settings.register_profile("nightly", max_examples=2_000, **NOISY)
settings.load_profile("ordinary")
