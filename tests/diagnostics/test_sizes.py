"""Sizes that fit a minute: never above the full ones, never below the least, and left out where these do not fit."""

import inspect

import pytest
import torch
from torch import nn

from residua.diagnostics import diagnosis, sizes
from residua.diagnostics.case import opened
from residua.diagnostics.sizes import FULL, SECONDS, Pace, Walk, passes, within_a_minute

RESNET50 = Walk(layers=54, additions=16)


def test_full_sizes_are_those_that_the_parts_take_by_themselves():
    for name, measure in diagnosis.MEASURES.items():
        defaults = {key: one.default for key, one in inspect.signature(measure).parameters.items()}
        assert FULL[name] == {key: defaults[key] for key in FULL[name]}


def test_a_fast_network_is_measured_in_full_and_nothing_is_said():
    chosen = within_a_minute(Pace(seconds=1e-5), RESNET50)
    assert {part.name: part.sizes for part in chosen.parts} == FULL
    assert chosen.says == ()


@pytest.mark.parametrize("seconds", [1e-4, 1e-3, 1e-2, 0.1, 0.4, 2.0])
def test_what_is_chosen_fits_the_time_and_lies_between_the_bounds(seconds):
    chosen = within_a_minute(Pace(seconds=seconds), RESNET50)
    assert sum(part.seconds for part in chosen.parts) <= SECONDS
    for part in chosen.parts:
        for key, size in part.sizes.items():
            assert sizes._LEAST[part.name][key] <= size <= FULL[part.name][key]


def test_no_part_that_was_cut_could_be_doubled():
    chosen = within_a_minute(Pace(seconds=0.01), RESNET50)
    spent = sum(part.seconds for part in chosen.parts)
    cut = [part for part in chosen.parts if part.sizes != FULL[part.name]]
    assert cut
    for part in cut:
        doubled = {key: min(2 * size, FULL[part.name][key]) for key, size in part.sizes.items()}
        assert spent - part.seconds + 0.01 * passes(part.name, doubled, RESNET50) > SECONDS


def test_a_slow_network_keeps_its_gradients_and_says_what_it_leaves_out_with_the_way_to_have_it():
    chosen = within_a_minute(Pace(seconds=0.4), RESNET50)
    names = [part.name for part in chosen.parts]
    assert {"gradients", "signals", "additive"} <= set(names)
    assert "lesions" not in names
    assert names == [name for name in FULL if name in names]
    said = " ".join(chosen.says)
    assert "0.4 s" in said
    assert "`--only " in said
    assert "lesions" in said


def test_twice_the_examples_cost_twice_the_passes():
    for name, full in FULL.items():
        counted = "points" if name == "shattering" else "examples" if "examples" in full else "size"
        twice = full | {counted: 2 * full[counted]}
        assert passes(name, twice, RESNET50) == pytest.approx(2 * passes(name, full, RESNET50))


@pytest.mark.parametrize(
    ("took", "examples"),
    [((9.0, 2.0), 4), ((9.0, 0.1, 2.0), 16), ((9.0, 0.1, 0.1, 0.1), 64)],
)
def test_the_pace_is_of_one_example_in_the_first_pass_that_takes_long_enough(took, examples):
    seen: list[int] = []
    trained: list[bool] = []

    class Watched(nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            seen.append(len(input))
            trained.append(self.training)
            return super().forward(input)

    times = iter([time for seconds in took for time in (0.0, seconds)])
    module = Watched(2, 2).eval()
    generator = torch.Generator().manual_seed(0)
    case = opened(module, torch.randn(100, 2, generator=generator), torch.zeros(100, dtype=torch.long))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("residua.diagnostics.sizes.time.perf_counter", lambda: next(times))
        assert Pace.measured(case).seconds == took[-1] / examples
    assert seen == [2, 4, 4, 16, 64][: 1 + len(took)]
    assert trained == [False, *[True] * len(took)]  # the first call is `opened`'s
    assert not module.training
    assert module.weight.grad is None
