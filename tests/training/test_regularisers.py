"""Regularisers are means over frames: the same frame shown once or eight times costs the same."""

import numpy as np
import pytest

pytest.importorskip("jax")
pytest.importorskip("optax")

import jax
import jax.numpy as jnp

from nsim.training.sparsity.networks import Passed
from nsim.training.sparsity.regularisers import ORDER, penalty, smooth_maximum


def passed(frames):
    """Two layers that send the same in every frame, all at the same time; three and two neurons, two samples."""
    one = [np.array([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]]), np.array([[1.0, 1.0], [0.0, 1.0]])]
    events = [jnp.asarray(np.repeat(sent[:, None], frames, axis=1)) for sent in one]
    return Passed(jnp.zeros((2, frames, 1)), events, events, pipelined=True)


TABLES = [jnp.asarray([[4.0, 0.0], [2.0, 1.0], [3.0, 0.0]]), jnp.asarray([[0.0, 5.0], [1.0, 2.0]])]
REFERENCES = jnp.asarray([18.0, 10.0])


@pytest.mark.parametrize("name", ["synops", "max-synops", "rate"])
def test_more_of_the_same_frames_cost_the_same(name):
    once, often = (float(penalty(name, passed(frames), TABLES, REFERENCES)) for frames in (1, 8))
    assert once > 0
    assert often == pytest.approx(once, rel=1e-6)


def test_the_penalties_by_hand():
    """Synops of the two cores: sample 0: 4 + 3 + 1 = 8 and 5 + 2 = 7; sample 1: 9 + 1 = 10 and 1 + 2 = 3."""
    assert float(penalty("synops", passed(3), TABLES, REFERENCES)) == pytest.approx((15 + 13) / 2 / 18)
    busiest = (8 + 10) / 2 / 10
    found = float(penalty("max-synops", passed(3), TABLES, REFERENCES))
    assert busiest * (1 - 1e-6) <= found <= busiest * 2 ** (1 / ORDER)


def test_the_busiest_core_is_looked_at_as_sharply_where_all_do_little():
    """A network a thousand times sparser has the same slopes: nearly all of it at the busiest core."""
    work = jnp.array([1.0, 0.9, 0.5])
    busy, idle = (np.asarray(jax.grad(smooth_maximum)(scale * work)) for scale in (1.0, 1e-3))
    assert busy == pytest.approx(idle, rel=1e-4)
    assert busy[0] > 4 * busy[1] > 1000 * busy[2]


def test_a_chip_at_rest_has_no_slope_and_no_nan():
    value, slope = jax.value_and_grad(smooth_maximum)(jnp.zeros(4))
    assert float(value) == 0.0
    assert np.asarray(slope).tolist() == [0.0] * 4
