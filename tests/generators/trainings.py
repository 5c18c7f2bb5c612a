"""Small trainings that tests share."""

from nsim.training.routing.options import Choice
from nsim.training.routing.settings import Settings

PROFILE = ((1, 0.5), (3, 0.125))


def tiny(data, method="deepr-profile", **changes):
    choice = Choice(method, profile=PROFILE if method != "dense" else ())
    size = {"grid": "3x3", "neurons_per_tile": 8, "inputs": 16, "bins": 20, "shifts": "first"}
    return Settings(str(data), choice, **{**size, "epochs": 4, "batch": 6, "tau_ms": 10.0, **changes})
