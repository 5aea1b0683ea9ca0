"""What a run will take is said before its first step, and changes nothing of it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.training.conftest import TINY, Watcher

from residua import machine
from residua.data.loader import Batch
from residua.errors import NonFiniteLoss
from residua.machine import Place
from residua.networks.network import build
from residua.training import choice, estimate, loop, pace
from residua.training import fit as fitting
from residua.training.distributed import ALONE, Team
from residua.training.estimate import Estimate
from residua.training.loop import Course
from residua.training.observers import RunStarted
from residua.training.optimizers import optimizer_for
from residua.training.plan import Plan, plan
from residua.training.recipe import Optimizer
from residua.training.sitting import Sitting
from residua.training.spec import TrainSpec
from residua.training.state import State
from residua.training.transfer import Start


@pytest.fixture(scope="module")
def decided() -> Plan:
    return plan(TrainSpec(source="digits", network=TINY, epochs=2, settings=("precision=float32",)))


@pytest.fixture(scope="module")
def sitting(decided: Plan) -> Sitting:
    return Sitting.begin(decided, ())


def at_pace(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(pace, "seconds_per_step", lambda course, state: seconds)


def test_time_is_steps_times_their_measured_time(monkeypatch: pytest.MonkeyPatch, sitting: Sitting, decided: Plan):
    """Steps of 3 s; validation after each epoch, and validation and test at the end, at a third of a step an image."""
    at_pace(monkeypatch, 3.0)
    found = estimate.estimate(decided, sitting.course, sitting.state)
    course, data = sitting.course, decided.dataset
    assert data.validation is not None
    assert data.test is not None
    answered = 2 * len(data.validation) + len(data.validation) + len(data.test)
    expected = 3.0 * (2 * course.steps_per_epoch + answered / 3 / course.batch_size)
    assert found.seconds == pytest.approx(expected)
    rate = decided.inspection.multiply_adds * course.batch_size / 3.0
    assert found.multiply_adds_per_second == pytest.approx(rate)


@pytest.mark.parametrize(("flip", "looks"), [("random", 6), ("none", 0)])
def test_further_views_take_time_where_they_are_taken(monkeypatch: pytest.MonkeyPatch, flip: str, looks: int):
    at_pace(monkeypatch, 3.0)
    seconds = []
    for views in ("one", "six"):
        settings = ("precision=float32", f"flip={flip}", f"views={views}")
        begun = Sitting.begin(plan(TrainSpec(source="digits", network=TINY, epochs=2, settings=settings)), ())
        seconds.append(estimate.estimate(begun.plan, begun.course, begun.state).seconds)
    data, batch = begun.plan.dataset, begun.course.batch_size
    held_out = len(data.validation or []) + len(data.test or [])
    assert seconds[1] - seconds[0] == pytest.approx(3.0 * looks * held_out / 3 / batch)


def test_images_for_statistics_take_time_before_each_evaluation(monkeypatch: pytest.MonkeyPatch):
    """Two epochs' and the last; as many as there are to train on, where more are asked."""
    at_pace(monkeypatch, 3.0)
    seconds = []
    for images in (0, 300, 10**6):
        settings = ("precision=float32", f"recalibration_images={images}")
        begun = Sitting.begin(plan(TrainSpec(source="digits", network=TINY, epochs=2, settings=settings)), ())
        seconds.append(estimate.estimate(begun.plan, begun.course, begun.state).seconds)
    none, some, most = seconds
    assert some - none == pytest.approx(3.0 * 3 * 300 / 3 / begun.course.batch_size)
    assert most - none == pytest.approx(3.0 * 3 * len(begun.plan.dataset.train) / 3 / begun.course.batch_size)


def test_a_measured_step_is_a_real_one(monkeypatch: pytest.MonkeyPatch, sitting: Sitting):
    """Steps of 20 ms by the clock: as many of the run's own as a second holds, by what was measured, take a second."""
    now, ordinary, sizes = [0.0], loop._step, []

    def step(course: Course, state: State, batch: Batch) -> None:
        ordinary(course, state, batch)
        sizes.append(len(batch.labels))
        now[0] += 0.02

    monkeypatch.setattr(loop, "_step", step)
    monkeypatch.setattr("residua.training.pace.time.perf_counter", lambda: now[0])
    each = pace.seconds_per_step(sitting.course, sitting.state)
    assert set(sizes) == {sitting.course.batch_size}
    walk, began = pace.endless_steps(*pace.trial(sitting.course, sitting.state)), now[0]
    for _ in range(round(1 / each)):
        next(walk)
    assert now[0] - began == pytest.approx(1.0)


def test_an_epoch_of_one_step_can_be_measured(decided: Plan):
    """The walk goes on into the next epochs, so that a whole number of steps is timed."""
    recipe = replace(decided.recipe, batch_size=len(decided.dataset.train))
    one = Sitting.begin(replace(decided, recipe=recipe), ())
    assert one.course.steps_per_epoch == 1
    assert pace.seconds_per_step(one.course, one.state) > 1e-4


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw", "rmsprop"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_optimizers_bytes_are_those_it_holds_after_a_step(kind, momentum: float, sitting: Sitting):
    spec = Optimizer(kind=kind, momentum=momentum, nesterov=False)
    network = Sitting.begin(sitting.plan, ()).network
    made = optimizer_for(network, spec)
    network(torch.zeros(2, 1, 8, 8)).sum().backward()
    made.step()
    moments = [value for state in made.state.values() for value in state.values() if torch.is_tensor(value)]
    held = sum(tensor.nbytes for tensor in moments if tensor.ndim or tensor.numel() > 1)
    assert estimate.optimizer_bytes(network, spec) == held


def with_batches_of(decided: Plan, images: int) -> Sitting:
    settings = (*decided.asked.settings, f"batch_size={images}")
    return Sitting.begin(plan(replace(decided.asked, settings=settings)), ())


def test_a_run_that_does_not_fit_says_so_with_the_ways_out(monkeypatch: pytest.MonkeyPatch, decided: Plan):
    """One byte is missing. It is said before any step is tried, and the smaller batch that is named does fit."""
    large = with_batches_of(decided, 1200)
    at_pace(monkeypatch, 1.0)
    needed = estimate.estimate(large.plan, large.course, large.state).further_bytes
    monkeypatch.setattr(machine, "memory_bytes", lambda: needed - 1)
    monkeypatch.setattr(pace, "seconds_per_step", lambda course, state: pytest.fail("a step was taken"))
    found = estimate.estimate(large.plan, large.course, large.state)
    assert not found.fits
    assert found.fitting_batch == 600
    assert "--set batch_size=600 or --set checkpoint_activations=true" in found.says
    at_pace(monkeypatch, 1.0)
    smaller = with_batches_of(decided, 600)
    assert estimate.estimate(smaller.plan, smaller.course, smaller.state).fits


def test_the_processes_of_a_machine_share_its_memory(monkeypatch: pytest.MonkeyPatch, decided: Plan):
    large = with_batches_of(decided, 1200)
    at_pace(monkeypatch, 1.0)
    needed = estimate.estimate(large.plan, large.course, large.state).further_bytes
    monkeypatch.setattr(machine, "memory_bytes", lambda: 3 * needed)
    for processes, fits in ((3, True), (4, False)):
        monkeypatch.setattr(machine, "place", lambda number=processes: Place(ranks=number, local_ranks=number))
        assert estimate.estimate(large.plan, large.course, large.state).fits is fits


def test_unknown_free_memory_is_no_reason_to_warn():
    known = {"multiply_adds_per_second": None, "memory_bytes": 9, "further_bytes": 9, "seconds": 1.0}
    assert Estimate(free_bytes=0, **known).fits
    assert not Estimate(free_bytes=8, **known).fits


def test_a_quicker_network_is_the_first_on_the_ladder_that_takes_half_or_less():
    large = plan(TrainSpec(source="digits", network="resnet56", epochs=2, settings=("precision=float32",)))
    name, seconds = estimate._quicker(large, 600.0) or ("", 0.0)
    assert name == choice.TINY.networks[0]
    assert seconds == pytest.approx(600 * 20 / 56, rel=0.2)
    assert estimate._quicker(large, 30.0) is None
    least = plan(TrainSpec(source="digits", network="resnet8", epochs=2, settings=("precision=float32",)))
    assert estimate._quicker(least, 600.0) is None


def test_no_other_network_is_named_for_weights_that_the_user_named():
    large = plan(TrainSpec(source="digits", network="resnet56", epochs=2, settings=("precision=float32",)))
    network = build(large.specification, seed=0)
    start = Start(network=network, origin="runs/a", says="from runs/a", head="known")
    begun = replace(large, start=start, asked=replace(large.asked, weights="runs/a"))
    assert estimate._quicker(begun, 600.0) is None
    assert estimate._quicker(replace(begun, start=None), 600.0) is not None


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "1 s"), (42.0, "42 s"), (58.0, "1 min"), (840.0, "14 min"), (5400.0, "1.5 h"), (90_000.0, "25 h")],
)
def test_a_span_is_rough(seconds: float, said: str):
    assert estimate._span(seconds) == said


def test_it_is_said_before_the_first_step_and_written_into_the_run(tiny_digits: TrainSpec, tmp_path: Path):
    watcher = Watcher()
    made = fitting.fit(plan(replace(tiny_digits, epochs=1)), out=tmp_path / "a", observers=[watcher])
    (started,) = watcher.of(RunStarted)
    assert watcher.events[0] is started
    (said,) = [note for note in started.notes if note.startswith("will take about")]
    assert "GB of memory" in said
    assert made.record.read("run")["estimate"]["seconds"] > 0


def test_the_estimate_changes_no_weight_and_no_random_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A network that draws while it trains: with and without the estimate, the same weights to the bit."""
    spec = replace(TINY, shortcut="dropout")
    asked = TrainSpec(source="digits", network=spec, epochs=1, settings=("precision=float32",))
    before = torch.get_rng_state()
    measured = fitting.fit(plan(asked), out=tmp_path / "a")
    assert torch.equal(torch.get_rng_state(), before)
    nothing = Estimate(seconds=None, multiply_adds_per_second=None, memory_bytes=1, further_bytes=1, free_bytes=0)
    monkeypatch.setattr(fitting, "estimate", lambda *_, **__: nothing)
    without = fitting.fit(plan(asked), out=tmp_path / "b")
    for name, tensor in without.network.state_dict().items():
        assert torch.equal(tensor, measured.network.state_dict()[name]), name


def test_one_slow_step_among_the_measured_does_not_make_the_run_long(monkeypatch: pytest.MonkeyPatch):
    """Steps of 10 ms, but one of a second: the median is a usual step."""
    now, took = [0.0], iter([0.01, 0.01, 1.0, 0.01, 0.01, 0.01, 0.01])
    monkeypatch.setattr("residua.training.pace.time.perf_counter", lambda: now[0])

    def steps() -> Iterator[int]:
        for seconds in took:
            now[0] += seconds
            yield 1

    assert pace._timed(steps(), torch.device("cpu"), steps=6, seconds=60.0) == pytest.approx(0.01)


def shared(monkeypatch: pytest.MonkeyPatch, sitting: Sitting, measured: Callable[[Course], float], other: float | None):
    """The estimate of the first of two processes, whose steps take ``measured`` and in the other process ``other``."""
    monkeypatch.setattr(pace, "seconds_per_step", lambda course, state: measured(course))
    monkeypatch.setattr(Team, "gathered", lambda self, value: [value, other] if self.ranks == 2 else [value])
    monkeypatch.setattr(Team, "seconds_to_average", lambda self, numbers, device: 1e-3 * numbers)
    return estimate.estimate(sitting.plan, replace(sitting.course, team=Team(ranks=2)), sitting.state)


def test_several_processes_step_as_fast_as_the_slowest_and_average(monkeypatch: pytest.MonkeyPatch, decided: Plan):
    """Half of 101 images in 3 s here and in 4 s there, and a millisecond for each gradient."""
    sitting, asked = with_batches_of(decided, 101), []
    found = shared(monkeypatch, sitting, lambda course: asked.append((course.batch_size, course.team)) or 3.0, 4.0)
    assert asked == [(51, ALONE)]
    gradients = sum(p.numel() for p in sitting.network.parameters())
    alone = estimate.estimate(sitting.plan, sitting.course, sitting.state, per_step=4.0 + 1e-3 * gradients)
    assert found.seconds == pytest.approx(alone.seconds)
    assert found.multiply_adds_per_second == pytest.approx(alone.multiply_adds_per_second)
    assert found.says.startswith("will take about ")


def test_no_time_is_said_where_one_process_has_measured_none(monkeypatch: pytest.MonkeyPatch, decided: Plan):
    """It had too little memory, or met a loss that is no number: here or there, and nobody waits for it."""

    def fails(course: Course) -> float:
        raise NonFiniteLoss("nan")

    sitting = with_batches_of(decided, 64)
    for found in (
        shared(monkeypatch, sitting, lambda course: 3.0, None),
        shared(monkeypatch, sitting, fails, 3.0),
    ):
        assert found.seconds is None
        assert found.says.startswith("will take about")
        assert found.says.endswith("of memory")
