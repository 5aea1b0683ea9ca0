"""Signs of trouble are read off samples; healthy ones have none."""

from collections.abc import Sequence

import pytest

from residua.diagnostics.motion import BlockMotion, Sample
from residua.diagnostics.trouble import AT_FULL_RATE, GROWS, LASTING, TOO_FAR, TOO_LITTLE, first_sign, signs


def samples(
    *,
    gradients: Sequence[float | None] | None = None,
    ratios: list[float] | None = None,
    rates: list[float] | None = None,
    weights: float = 2.0,
) -> list[Sample]:
    """Samples at steps 1, 11, … of one healthy block, ``b``, and of block ``a`` as told."""
    count = len(gradients or ratios or rates or [])
    found = []
    for i in range(count):
        gradient = gradients[i] if gradients else 1.0
        update = weights * (ratios[i] if ratios else 1e-3)
        told = BlockMotion(block="a", gradient=gradient, weights=weights, update=update)
        healthy = BlockMotion(block="b", gradient=1.0, weights=1.0, update=1e-3)
        found.append(Sample(step=1 + 10 * i, learning_rate=rates[i] if rates else 0.1, blocks=(told, healthy)))
    return found


def told(found: list[Sample]) -> list[tuple[int, str, str]]:
    return [(sign.step, sign.block, sign.rule) for sign in signs(found)]


def test_healthy_samples_and_none_have_no_sign():
    assert signs([]) == ()
    assert told(samples(gradients=[1.0, 0.5, 30.0, 0.01] * 5)) == []
    assert first_sign(()) == ""


def test_one_gradient_that_is_not_finite_is_enough():
    found = samples(gradients=[1.0, 1.0, None, None])
    assert told(found) == [(21, "a", "gradient not finite")]
    assert first_sign(signs(found)) == "step 21: the gradient is no finite number in a"


def test_a_gradient_that_stays_away_is_a_sign_from_its_first_sample():
    assert told(samples(gradients=[1.0, *[0.0] * LASTING])) == [(11, "a", "no gradient")]
    assert told(samples(gradients=[1.0, *[0.0] * (LASTING - 1)])) == []


def test_a_block_that_is_left_out_now_and_then_is_no_sign():
    """Stochastic depth: pauses come and go, and the last one is no longer than twice those before."""
    pause = [0.0] * LASTING
    assert told(samples(gradients=[1.0, *pause, 1.0])) == []
    assert told(samples(gradients=[1.0, *pause, 1.0, *pause])) == []
    assert told(samples(gradients=[1.0, *pause, 1.0, *pause, *pause])) == [(71, "a", "no gradient")]


@pytest.mark.parametrize(("factor", "rules"), [(0.9, []), (1.1, [(21, "a", "gradient grows")])])
def test_a_gradient_grows_over_the_median_of_the_first_samples(factor, rules):
    """Of 2 and 4 before it: 3."""
    assert told(samples(gradients=[2.0, 4.0, factor * GROWS * 3.0, 1.0])) == rules


def test_what_began_without_a_gradient_has_nothing_to_grow_from():
    assert told(samples(gradients=[0.0, 1e-6, 1e-6, 1.0])) == []
    assert told(samples(gradients=[1e-6, 1e-6, 1e-6, 1.0])) == [(31, "a", "gradient grows")]


def test_moving_too_far_counts_where_it_lasts_and_not_from_zero():
    assert told(samples(ratios=[1e-3, *[1.1 * TOO_FAR] * LASTING])) == [(11, "a", "moves too far")]
    assert told(samples(ratios=[0.9 * TOO_FAR] * 2 * LASTING)) == []
    assert told(samples(ratios=[1e-3, *[1.1 * TOO_FAR] * (LASTING - 1), 1e-3])) == []
    zero = samples(ratios=[1e-3], weights=0.0)
    assert told([*zero, *samples(ratios=[1.1 * TOO_FAR] * LASTING)]) == []


def test_standing_still_is_a_sign_at_full_rate_alone():
    still = [0.9 * TOO_LITTLE] * LASTING
    assert told(samples(ratios=[1e-3, *still])) == [(11, "a", "does not move")]
    assert told(samples(ratios=[1e-3, *still], rates=[0.1, *[0.09 * AT_FULL_RATE] * LASTING])) == []
    assert told(samples(ratios=[1e-3, *[1.1 * TOO_LITTLE] * LASTING])) == []


def test_the_first_sign_counts_the_blocks_that_show_it_at_once():
    one = BlockMotion(block="a", gradient=None, weights=1.0, update=None)
    blocks = tuple(BlockMotion(block=name, gradient=None, weights=1.0, update=None) for name in "abc")
    late = [Sample(step=1001, learning_rate=0.1, blocks=(one,)), Sample(step=2001, learning_rate=0.1, blocks=blocks)]
    assert first_sign(signs(late)) == "step 1,001: the gradient is no finite number in a"
    assert first_sign(signs(late[1:])) == "step 2,001: the gradient is no finite number in a and 2 other blocks"
