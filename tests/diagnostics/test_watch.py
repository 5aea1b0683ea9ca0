"""A watch sees what the optimizer does, and changes nothing."""

import copy
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from residua.diagnostics.motion import BlockMotion, Sample
from residua.diagnostics.watch import Watch
from residua.errors import BadSetting
from residua.networks import catalogue
from residua.networks.network import build

Learner = tuple[nn.Module, torch.optim.Optimizer]


def network() -> nn.Module:
    return build(catalogue.specification("resnet8", classes=4), seed=0)


def small() -> nn.Sequential:
    """Two blocks, named 0 and 2."""
    made = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    generator = torch.Generator().manual_seed(0)
    for parameter in made.parameters():
        nn.init.normal_(parameter, generator=generator)
    return made


def inputs(step: int = 0, *shape: int) -> torch.Tensor:
    return torch.randn(shape or (5, 3), generator=torch.Generator().manual_seed(step))


def steps(module: nn.Module, optimizer: torch.optim.Optimizer, count: int, *shape: int, first: int = 0) -> None:
    """A loop of anybody: so many steps on the batches that follow ``first``."""
    for step in range(first, first + count):
        optimizer.zero_grad()
        module(inputs(step, *shape)).square().mean().backward()
        optimizer.step()


def sgd(module: nn.Module, **options: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(module.parameters(), **{"lr": 0.1, "momentum": 0.9, **options})


def norm(tensors: list[torch.Tensor]) -> float:
    return math.sqrt(sum(float(tensor.detach().double().square().sum()) for tensor in tensors))


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-2),
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-2, fused=True),
        lambda p: torch.optim.AdamW(p, lr=0.01),
    ],
)
@pytest.mark.parametrize("every", [1, 3])
def test_what_is_trained_is_the_same_to_the_bit(optimizer: Callable[[Any], torch.optim.Optimizer], every):
    trained, states = [], []
    for watched in (False, True):
        module = network()
        steps_with = optimizer(module.parameters())
        torch.manual_seed(3)
        if watched:
            with Watch(module, steps_with, every=every) as watch:
                steps(module, steps_with, 7, 4, 3, 16, 16)
            assert [sample.step for sample in watch.samples] == list(range(1, 8, every))
        else:
            steps(module, steps_with, 7, 4, 3, 16, 16)
        trained.append(module.state_dict())
        states.append((steps_with.state_dict()["state"], torch.get_rng_state()))
    assert all(map(torch.equal, trained[0].values(), trained[1].values()))
    assert torch.equal(states[0][1], states[1][1])
    for ours, theirs in zip(states[0][0].values(), states[1][0].values(), strict=True):
        assert all(torch.equal(torch.as_tensor(ours[key]), torch.as_tensor(theirs[key])) for key in ours)


def test_gradient_weights_and_update_are_those_of_the_obvious_way():
    """A naive reference, tensor by tensor in float64, with two groups of which one has another rate."""
    module = small()
    optimizer = torch.optim.SGD(
        [{"params": module[0].parameters()}, {"params": module[2].parameters(), "lr": 0.3}], lr=0.1, momentum=0.9
    )
    with Watch(module, optimizer, every=1) as watch:
        for step in range(3):
            optimizer.zero_grad()
            module(inputs(step)).square().mean().backward()
            before = copy.deepcopy(module)
            gradients = {block: [p.grad for p in module[int(block)].parameters()] for block in ("0", "2")}
            expected = {block: norm([g for g in found if g is not None]) for block, found in gradients.items()}
            optimizer.step()
            sample = watch.samples[-1]
            assert (sample.step, sample.learning_rate) == (step + 1, 0.3)
            assert [one.block for one in sample.blocks] == ["0", "2"]
            for one in sample.blocks:
                name = f"{one.block}.weight"
                old, new = before.get_parameter(name), module.get_parameter(name)
                assert one.gradient == pytest.approx(expected[one.block], rel=1e-5)
                assert one.weights == pytest.approx(norm([old]), rel=1e-5)
                assert one.update == pytest.approx(norm([new - old]), rel=1e-4)
                assert one.ratio == pytest.approx(norm([new - old]) / norm([old]), rel=1e-4)


def test_plain_sgd_moves_by_the_rate_times_the_gradient():
    """w′ = w − ηg, without biases ‖w′ − w‖ = η‖g‖."""
    module = nn.Sequential(nn.Linear(3, 4, bias=False), nn.Linear(4, 2, bias=False))
    optimizer = sgd(module, lr=0.25, momentum=0.0)
    with Watch(module, optimizer, every=1) as watch:
        steps(module, optimizer, 2)
    for sample in watch.samples:
        for one in sample.blocks:
            assert one.update == pytest.approx(0.25 * (one.gradient or 0), rel=1e-4)


def test_gradients_that_are_accumulated_are_measured_as_the_sum():
    module = small()
    optimizer = sgd(module)
    with Watch(module, optimizer, every=1) as watch:
        for part in range(3):
            module(inputs(part)).square().mean().backward()
        expected = norm([p.grad for p in module[0].parameters() if p.grad is not None])
        optimizer.step()
    assert watch.samples[0].blocks[0].gradient == pytest.approx(expected, rel=1e-5)


def test_a_closure_is_called_as_often_and_its_first_gradient_is_measured():
    calls = []

    def train(watched: bool) -> tuple[nn.Module, Watch | None, float]:
        module = small()
        optimizer = torch.optim.LBFGS(module.parameters(), lr=0.1, max_iter=4)

        def closure() -> torch.Tensor:
            calls.append(watched)
            optimizer.zero_grad()
            loss = module(inputs()).square().mean()
            loss.backward()
            return loss

        closure()
        first = norm([p.grad.clone() for p in module[0].parameters() if p.grad is not None])
        watch = Watch(module, optimizer, every=1).__enter__() if watched else None
        optimizer.step(closure)
        return module, watch, first

    (alone, _, _), (module, watch, first) = train(False), train(True)
    assert calls.count(True) == calls.count(False) > 2
    assert all(map(torch.equal, alone.state_dict().values(), module.state_dict().values()))
    assert watch is not None
    watch.end()
    assert watch.samples[0].blocks[0].gradient == pytest.approx(first, rel=1e-5)


@pytest.mark.parametrize("fused", [False, True])
def test_under_a_gradient_scaler_gradients_are_unscaled_and_steps_left_out_are_no_samples(fused):
    """The same steps in float32 with and without a scale of 1,024; then one whose gradient overflows."""

    def train(enabled: bool) -> Watch:
        module = small()
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1, fused=fused)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, enabled=enabled)
        with Watch(module, optimizer, every=1) as watch:
            for size in (1.0, 1.0, math.inf):
                optimizer.zero_grad()
                scaler.scale(size * module(inputs()).square().mean()).backward()
                if not enabled and size == math.inf:
                    break
                scaler.step(optimizer)
                scaler.update()
        return watch

    plain, scaled = train(False), train(True)
    assert len(plain.samples) == len(scaled.samples) == 2
    for ours, theirs in zip(plain.samples, scaled.samples, strict=True):
        assert [one.gradient for one in ours.blocks] == pytest.approx([one.gradient for one in theirs.blocks], rel=1e-4)


def test_what_is_frozen_is_left_out_and_what_is_cut_off_has_no_gradient():
    module = small()
    optimizer = sgd(module)
    with Watch(module, optimizer, every=1) as watch:
        module[0].requires_grad_(False)
        steps(module, optimizer, 1)
        module[0].requires_grad_(True)
        optimizer.zero_grad()
        module[2](module[1](module[0](inputs())).detach()).square().mean().backward()
        optimizer.step()
    frozen, cut = watch.samples
    assert [one.block for one in frozen.blocks] == ["2"]
    assert [one.block for one in cut.blocks] == ["0", "2"]
    assert cut.blocks[0].gradient == 0
    assert cut.blocks[1].gradient


def test_parameters_that_are_added_later_are_seen_and_sparse_gradients_are_not():
    module = small()
    optimizer = torch.optim.SGD(module[0].parameters(), lr=0.1)
    with Watch(module, optimizer, every=1) as watch:
        steps(module, optimizer, 1)
        optimizer.add_param_group({"params": module[2].parameters()})
        module.append(nn.Linear(2, 2))
        optimizer.add_param_group({"params": module[3].parameters()})
        steps(module, optimizer, 1)
    assert [[one.block for one in sample.blocks] for sample in watch.samples] == [["0"], ["0", "2", "3"]]
    table = nn.Sequential(nn.Embedding(4, 3, sparse=True), nn.Linear(3, 2))
    optimizer = torch.optim.SGD(table.parameters(), lr=0.1)
    with Watch(table, optimizer, every=1) as watch:
        table(torch.tensor([1, 2])).sum().backward()
        optimizer.step()
    assert [one.block for one in watch.samples[0].blocks] == ["1"]


def test_half_precision_is_measured_in_single():
    """In float16 the norm of the weights, 128,000, is infinite."""
    module = nn.Sequential(nn.Linear(64, 64, bias=False)).half()
    weight = nn.init.constant_(module.get_parameter("0.weight"), 2000.0)
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    with Watch(module, optimizer, every=1) as watch:
        weight.grad = torch.full((64, 64), 4.0, dtype=torch.float16)
        optimizer.step()
    [one] = watch.samples[0].blocks
    assert (one.gradient, one.weights, one.update) == (64 * 4.0, 64 * 2000.0, 64 * 4.0)


def test_what_is_not_finite_is_none_and_a_sign():
    module = small()
    optimizer = sgd(module)
    with Watch(module, optimizer, every=1) as watch:
        steps(module, optimizer, 1)
        (module(inputs()).square().mean() * math.nan).backward()
        optimizer.step()
    assert [one.gradient for one in watch.samples[1].blocks] == [None, None]
    assert [one.ratio for one in watch.samples[1].blocks] == [None, None]
    assert [(sign.step, sign.block, sign.rule) for sign in watch.signs] == [
        (2, "0", "gradient not finite"),
        (2, "2", "gradient not finite"),
    ]
    assert json.loads(json.dumps(watch.to_json(), allow_nan=False))["signs"][0]["step"] == 2


def test_a_block_without_weights_of_two_axes_has_a_gradient_and_no_ratio():
    module = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    optimizer = sgd(module)
    with Watch(module, optimizer, every=1) as watch:
        steps(module, optimizer, 1)
    assert watch.samples[0].blocks[1].ratio is None
    assert (watch.samples[0].blocks[1].gradient or 0) > 0
    assert BlockMotion(block="a", gradient=1.0, weights=0.0, update=1.0).ratio is None


def test_wrappers_are_looked_through():
    module = small()
    compiled = torch.compile(module, backend="eager")
    optimizer = sgd(module)
    with Watch(compiled, optimizer, every=1) as watch:  # type: ignore[arg-type]
        steps(module, optimizer, 1)
    assert [one.block for one in watch.samples[0].blocks] == ["0", "2"]


def test_an_exception_passes_and_the_hooks_are_gone():
    module = small()
    optimizer = sgd(module)
    watch = Watch(module, optimizer, every=1)

    def fail() -> None:
        with watch:
            steps(module, optimizer, 2)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert len(watch.samples) == 2
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks
    steps(module, optimizer, 1)
    assert len(watch.samples) == 2


def test_watches_may_be_nested_and_one_may_not_be_entered_twice():
    module = small()
    optimizer = sgd(module)
    with Watch(module, optimizer, every=1) as outer, Watch(module[0], optimizer, every=2) as inner:
        steps(module, optimizer, 3)
        with pytest.raises(BadSetting, match="runs already"), outer:
            pass
        assert (len(outer.samples), len(inner.samples)) == (3, 2)
    assert [one.block for one in inner.samples[0].blocks] == ["weight", "bias"]


def test_a_watch_goes_on_at_the_same_steps_and_may_hand_its_samples_on():
    module, seen = small(), []
    optimizer = sgd(module)
    with Watch(module, optimizer, every=5, taken=lambda: taken, told=seen.append) as watch:
        for taken in range(8, 18):  # noqa: B007
            steps(module, optimizer, 1)
    assert [sample.step for sample in seen] == [11, 16]
    assert watch.samples == ()
    assert [Sample.from_json(json.loads(json.dumps(sample.to_json()))) for sample in seen] == seen


def test_rows_are_one_a_step_and_block():
    module = small()
    optimizer = sgd(module)
    with Watch(module, optimizer, every=2) as watch:
        steps(module, optimizer, 3)
    assert [(row["step"], row["block"]) for row in watch.rows] == [(1, "0"), (1, "2"), (3, "0"), (3, "2")]
    assert [row["ratio"] for row in watch.rows] == [one.ratio for sample in watch.samples for one in sample.blocks]


def test_what_cannot_be_watched_is_refused_in_a_line():
    with pytest.raises(BadSetting, match="holds none of Sequential's parameters"):
        Watch(small(), sgd(small()))
    module = small()
    with pytest.raises(BadSetting, match="every is 0"):
        Watch(module, sgd(module), every=0)
