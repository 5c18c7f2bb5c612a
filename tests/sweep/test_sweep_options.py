"""What a sweep allows on a chip, `map_network` and `simulate` allow, and what it refuses by name they refuse too."""

from itertools import pairwise

import nir
import numpy as np
import pytest

from nsim import load_chip, load_network, map_network, simulate
from nsim.errors import MappingError
from nsim.sweep.check import problems_of
from nsim.sweep.evaluate import Task, evaluate
from nsim.sweep.points import Point, Points
from nsim.sweep.spec import load_spec

NETWORKS = {"loihi2": "mlp:width=8,depth=2,inputs=8", "akd1000": "cnn", "speck": "speck-gesture"}
OPTIONS = {  # of a point: the keyword of map_network, and a value
    "partition": ("partition", "even:2"),
    "placement": ("placement", "greedy"),
    "weight_format": ("weight_format", "sparse"),
    "precision": ("precision", "float"),
    "mode": ("mode", "minimal"),
    "clock_mode": ("clock_mode", "economy"),
}


def api_takes(chip, keyword, value):
    try:
        map_network(load_network(NETWORKS[chip]), load_chip(chip), **{keyword: value})
    except MappingError as error:
        assert "is not for chip" in str(error)
        return False
    return True


@pytest.mark.parametrize("chip", NETWORKS)
@pytest.mark.parametrize("option", OPTIONS)
def test_a_sweep_takes_what_the_api_takes(chip, option):
    keyword, value = OPTIONS[option]
    refused = [
        line
        for line in problems_of(Point(NETWORKS[chip], chip, options=((option, value),)))
        if "is not for chip" in line
    ]
    assert bool(refused) != api_takes(chip, keyword, value)


def test_precisions_are_an_axis_and_share_no_activity(tmp_path):
    """A weight of 1/3 is 0.33333 in floats and 85/256 in the chip's integers: 3 spikes pass 0.998 in one only."""
    values = (np.full(4, value, np.float32) for value in (1.0, 0.998))
    nodes = {
        "input": nir.Input({"input": np.array([3])}),
        "fc": nir.Linear(np.full((4, 3), 1 / 3, np.float32)),
        "if": nir.IF(*values, v_reset=np.zeros(4, np.float32)),
        "output": nir.Output({"output": np.array([4])}),
    }
    nir.write(tmp_path / "net.nir", nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False))
    np.save(tmp_path / "in.npy", np.ones((6, 3), np.int8))
    (tmp_path / "spec.toml").write_text(
        f'[[points]]\nnetworks = ["{tmp_path}/net.nir"]\nchips = ["loihi2"]\ninputs = ["{tmp_path}/in.npy"]\n'
        'precisions = ["float", "fixed"]\n'
    )
    points = Points(load_spec(tmp_path / "spec.toml"))
    assert [point.option("precision") for point in points] == ["float", "fixed"]
    spikes = set()
    for point in points:
        done = evaluate(Task(point.option("precision"), point))
        mapping = map_network(load_network(point.network), load_chip("loihi2"), precision=point.option("precision"))
        assert done.error is None
        assert done.measures["spikes"] == simulate(mapping, point.input).summary()["spikes"]
        spikes.add(done.measures["spikes"])
    assert len(spikes) == 2


def test_a_no_of_a_sweep_is_an_option_like_a_yes(tmp_path):
    """drain = false and warm_up = 0 differ from what is left out."""
    (tmp_path / "spec.toml").write_text(
        '[[points]]\nnetworks = ["mlp"]\nchips = ["loihi2"]\ndrain = false\nwarm_up = 0\n'
    )
    (point,) = Points(load_spec(tmp_path / "spec.toml"))
    assert (point.option("drain"), point.option("warm_up"), point.option("timesteps")) == (False, 0, None)
