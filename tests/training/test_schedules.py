import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residua.errors import BadSetting
from residua.training.schedules import Schedule


def rates(schedule: Schedule, steps: int = 100) -> list[float]:
    return [schedule.at(step, steps) for step in range(steps)]


def test_one_cycle_rises_and_falls_linearly():
    factors = rates(Schedule(kind="one_cycle", warmup_fraction=0.2))
    assert factors[:20] == pytest.approx([(k + 1) / 20 for k in range(20)])
    assert factors[19:] == pytest.approx([1 - k / 80 for k in range(81)])


def test_cosine_is_the_half_wave():
    """Loshchilov & Hutter 2017, Eq. 5 without restarts."""
    factors = rates(Schedule(kind="cosine", warmup_fraction=0.0))
    assert factors == pytest.approx([(1 + math.cos(math.pi * (k + 1) / 100)) / 2 for k in range(100)])


def test_the_paper_divides_at_half_and_three_quarters():
    """He et al. 2015, §4.2: 64k steps, divided by 10 at 32k and 48k."""
    schedule = Schedule(kind="step", warmup_fraction=0.0)
    assert [schedule.at(step, 64_000) for step in (0, 31_999, 32_000, 47_999, 48_000, 63_999)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01, 0.01]
    )


def test_constant_warms_up_and_stays():
    assert rates(Schedule(kind="constant", warmup_fraction=0.5), 4) == [0.5, 1, 1, 1]


@pytest.mark.parametrize("kind", ["constant", "step", "cosine", "one_cycle"])
def test_the_only_step_of_a_run_learns(kind):
    assert [Schedule(kind=kind, warmup_fraction=share).at(0, 1) for share in (0.0, 0.2)] == [1, 1]


@given(
    st.sampled_from(["constant", "step", "cosine", "one_cycle"]),
    st.floats(0, 0.9),
    st.integers(1, 500),
    st.floats(0, 1),
)
def test_a_factor_is_never_negative_nor_above_one(kind, warmup: float, steps: int, final: float):
    schedule = Schedule(kind=kind, warmup_fraction=warmup, final_fraction=final)
    assert all(0 <= factor <= 1 for factor in rates(schedule, steps))


@pytest.mark.parametrize("wrong", [{"warmup_fraction": 1.0}, {"final_fraction": -0.1}, {"milestones": (0.5, 1.5)}])
def test_a_schedule_that_cannot_be_is_refused(wrong: dict):
    with pytest.raises(BadSetting, match="schedule."):
        Schedule(**wrong)
