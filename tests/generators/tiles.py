"""Files of networks and chips of tiles."""

import nir
import numpy as np

from nsim.chip.file import available_chips


def nir_file(path, recurrent=True, weight=None):
    n = 4
    lif = {"tau": np.full(n, 0.01), "r": np.ones(n), "v_leak": np.zeros(n), "v_threshold": np.ones(n)}
    nodes = {
        "input": nir.Input(np.array([n])),
        "in": nir.Linear(np.eye(n)),
        "lif": nir.LIF(**lif),
        "rec": nir.Linear(np.diag(np.ones(n - 1), -1) if weight is None else weight),  # q to q + 1: [target, source]
        "output": nir.Output(np.array([n])),
    }
    edges = [("input", "in"), ("in", "lif"), ("lif", "output"), ("lif", "rec"), ("rec", "lif")]
    if not recurrent:
        del nodes["rec"]
        edges = edges[:3]
    nir.write(path, nir.NIRGraph(nodes, edges))
    return path


COSTS = """
[actions.row_read]
latency_ps = 1_000
energy_fj = 10
source = "mine"
basis = "assumed"
note = "for a test"
[actions.r1_crossing]
latency_ps = 100
energy_fj = 2
source = "mine"
basis = "assumed"
note = "for a test"
[actions.r0_crossing]
latency_ps = 10
energy_fj = 1
source = "mine"
basis = "assumed"
note = "for a test"
"""


def costly_chip(tmp_path, costs=COSTS):
    text = available_chips()["mosaic"].read_text()
    path = tmp_path / "mine.toml"
    path.write_text(text.replace("[sources]", costs + '[sources]\nmine = "a test"'))
    return path
