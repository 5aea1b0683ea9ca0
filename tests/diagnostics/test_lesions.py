import contextlib
import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from residua.diagnostics import lesions as measuring
from residua.diagnostics.case import Case, opened
from residua.diagnostics.lesions import Lesion, lesions
from residua.diagnostics.recalibration import recalibrated
from residua.diagnostics.replacing import blocks_of, exchangeable, exchanged, without
from residua.networks.network import build
from residua.networks.spec import NetworkSpec, small_stem

IMAGES = torch.randn(24, 3, 8, 8, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(24) % 3


class Block(nn.Module):
    """norm–relu–convolution beside an identity, or a strided projection; adds as it is told to."""

    def __init__(self, into: int, out: int, adds: str) -> None:
        super().__init__()
        stride = 1 if into == out else 2
        self.convolution = nn.Conv2d(into, out, 3, stride, 1)
        self.norm = nn.BatchNorm2d(into)
        self.projection = nn.Identity() if into == out else nn.Conv2d(into, out, 1, stride)
        self.adds = adds

    def forward(self, x):
        f, s = self.convolution(self.norm(x).relu()), self.projection(x)
        if self.adds == "branch += shortcut":
            f += s
            return f.relu_()
        if self.adds == "branch.add_(shortcut)":
            f.add_(s)
            return f
        if self.adds == "shortcut += branch":
            s = s.clone()
            s.add_(f, alpha=0.5)
            return s
        return torch.add(s, f) if self.adds == "shortcut + branch" else f + s


class Hand(nn.Module):
    """Three blocks of one shape, a transition, two more; ``skipped`` ones give their shortcut alone."""

    def __init__(self, adds: str = "branch + shortcut") -> None:
        super().__init__()
        torch.manual_seed(3)
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.blocks: Any = nn.ModuleList(
            Block(into, out, adds) for into, out in ((4, 4), (4, 4), (4, 4), (4, 6), (6, 6))
        )
        self.head = nn.Linear(96, 3)
        self.skipped: set[int] = set()
        self.order = [0, 1, 2, 3, 4]

    def forward(self, x):
        x = self.stem(x)
        for place, index in enumerate(self.order):
            block = self.blocks[index]
            if place in self.skipped:
                x = block.projection(x)
                x = x.relu() if block.adds == "branch += shortcut" else x
            else:
                x = block(x)
        return self.head(x.flatten(1))


def trained_a_little(module: nn.Module) -> Any:
    """Gives batch norms statistics of their own, and leaves the module in training mode."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        for one in module.modules():
            if isinstance(one, nn.BatchNorm2d):
                assert one.running_mean is not None
                assert one.running_var is not None
                assert one.num_batches_tracked is not None
                one.num_batches_tracked.fill_(7)
                one.running_mean.normal_()
                one.running_var.uniform_(0.5, 2)
                one.weight.data.uniform_(0.5, 2)
                one.bias.data.normal_()
    return module.train()


def hand(adds: str = "branch + shortcut") -> Any:
    with torch.random.fork_rng():
        return trained_a_little(Hand(adds))


def case_of(module: nn.Module) -> Case:
    return opened(module, IMAGES, LABELS)


def error_of(module: nn.Module) -> float:
    """The naive reference: all examples at once."""
    with torch.no_grad():
        return float((copy.deepcopy(module).eval()(IMAGES).argmax(1) != LABELS).double().mean())


def alike(lesions_: tuple[Lesion, ...]) -> dict[tuple[str, ...], float]:
    return {one.names: one.error for one in lesions_}


ADDS = ("branch + shortcut", "shortcut + branch", "branch += shortcut", "branch.add_(shortcut)", "shortcut += branch")


@pytest.mark.parametrize("adds", ADDS)
def test_a_removed_block_gives_its_shortcut(adds: str):
    """Veit et al. 2016, §4.1: exactly what the network gives when written without the branch, transition included."""
    network = hand(adds).eval()
    blocks = blocks_of(network, case_of(network).examples.take(slice(0, 2)))
    assert [block.name for block in blocks] == [f"blocks.{i}" for i in range(5)]
    assert [block.changes_shape for block in blocks] == [False, False, False, True, False]
    for chosen in ([0], [3], [4], [1, 3], [0, 1, 2, 3, 4]):
        network.skipped = set(chosen)
        with torch.no_grad():
            expected = network(IMAGES)
            network.skipped = set()
            with without([blocks[i] for i in chosen]):
                got = network(IMAGES)
            assert torch.equal(got, expected)
            assert not torch.allclose(network(IMAGES), expected)


def test_the_errors_are_the_naive_reference_s():
    network = hand()
    measured = lesions(case_of(network))
    assert (measured.quantity, measured.examples, measured.held_out) == ("error", 24, False)
    assert measured.whole == error_of(network)
    assert measured.chance == pytest.approx(2 / 3)
    assert lesions(opened(network, IMAGES, (LABELS == 0).long())).chance == pytest.approx(1 / 3)
    expected = {}
    for chosen in [(i,) for i in range(5)] + [(i, j) for j in range(5) for i in range(j)]:
        network.skipped = set(chosen)
        expected[tuple(f"blocks.{i}" for i in chosen)] = error_of(network)
    network.skipped = set()
    assert [one.names for one in measured.single] == [(f"blocks.{i}",) for i in range(5)]
    assert len({len(one.names) for one in measured.several}) == 1 < len(measured.several)
    for names, error in alike((*measured.single, *measured.several)).items():
        assert error == expected[names]
    assert len(set(expected.values())) > 3
    assert all(one.changes_shape == ("blocks.3" in one.names) for one in (*measured.single, *measured.several))


def test_blocks_of_one_shape_change_places():
    """Veit et al. 2016, §4.2; blocks 0, 1 and 2 have one shape, block 3 changes it and 4 is alone."""
    network = hand().eval()
    two = case_of(network).examples.take(slice(0, 2))
    pairs = exchangeable(network, two, blocks_of(network, two))
    assert [(a.name, b.name) for a, b in pairs] == [(f"blocks.{i}", f"blocks.{j}") for i, j in ((0, 1), (0, 2), (1, 2))]
    with torch.no_grad():
        for chosen, order in (([0], [1, 0, 2, 3, 4]), ([0, 2], [1, 2, 0, 3, 4]), ([0, 1, 2], [2, 1, 0, 3, 4])):
            network.order = order
            expected = network(IMAGES)
            network.order = [0, 1, 2, 3, 4]
            with exchanged([pairs[i] for i in chosen]):
                assert torch.equal(network(IMAGES), expected)
            assert not torch.allclose(network(IMAGES), expected)
    swapped = lesions(case_of(network)).swapped
    assert {len(one.names) for one in swapped} == {2, 4}
    for one in swapped:
        if len(one.names) == 2:
            first, second = (int(name[-1]) for name in one.names)
            network.order[first], network.order[second] = second, first
            assert one.error == error_of(network)
            network.order = [0, 1, 2, 3, 4]


def test_recalibrated_statistics_are_the_average_over_the_batches():
    """Against a hand-written pass that skips the block and averages each batch's mean and unbiased variance."""
    network = hand().eval()
    case = case_of(network)
    batches = case.examples.batches(8)
    blocks = blocks_of(network, case.examples.take(slice(0, 2)))
    means, variances = [], []
    for batch in batches:
        x = network.stem(batch.args[0])
        x = x + network.blocks[0].convolution(
            functional.batch_norm(
                x, None, None, network.blocks[0].norm.weight, network.blocks[0].norm.bias, training=True
            ).relu()
        )
        means.append(x.mean((0, 2, 3)))  # block 1 is skipped, so that block 2 reads what block 0 gives
        variances.append(x.var((0, 2, 3), unbiased=True))
    norm = network.blocks[2].norm
    before = copy.deepcopy(network.state_dict())
    with torch.no_grad(), recalibrated(network, batches, lambda: without([blocks[1]])):
        assert torch.allclose(norm.running_mean, torch.stack(means).mean(0), atol=1e-5)
        assert torch.allclose(norm.running_var, torch.stack(variances).mean(0), rtol=1e-4)
        assert not any(one.training for one in network.modules())
    assert norm.momentum == 0.1
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_the_recalibrated_error_has_the_lesion_in_place_and_training_statistics():
    """The statistics come from the examples, the error from the held-out ones."""
    network = hand()
    held_out = (IMAGES * 2 + 1, LABELS)
    measured = lesions(opened(network, IMAGES, LABELS, held_out=held_out, loss=functional.cross_entropy))
    assert (measured.quantity, measured.held_out) == ("loss", True)
    network.skipped = {1}
    twin = copy.deepcopy(network).eval()
    for one in twin.modules():
        if isinstance(one, nn.BatchNorm2d):
            one.reset_running_stats()
            one.momentum = None
            one.train()
    with torch.no_grad():
        twin(IMAGES)
        expected = float(functional.cross_entropy(twin.eval()(held_out[0]), LABELS))
    assert measured.single[1].recalibrated == pytest.approx(expected, rel=1e-4)
    assert measured.single[1].error != pytest.approx(expected, rel=1e-2)


def test_sublayers_of_a_transformer_are_removed_one_by_one():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        encoder: Any = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        tokens = torch.randn(6, 5, 8)
    measured = lesions(opened(encoder, tokens))
    assert [one.names[0] for one in measured.single] == [f"layers.{i} #{j}" for i in (0, 1) for j in (1, 2)]
    assert (measured.quantity, measured.chance) == ("loss", None)
    assert measured.swapped == ()  # a layer adds twice
    assert all(one.recalibrated is None for one in measured.single)
    case, x = opened(encoder, tokens), tokens
    encoder.eval()
    with torch.no_grad():
        first, second = encoder.layers
        x = first(x)
        h = second.norm1(x)  # without attention
        h = second.norm2(h + second._ff_block(h))
        assert measured.single[2].error == pytest.approx(float(case.loss(h, None)), rel=1e-4)
        assert measured.whole == pytest.approx(float(case.loss_of(case.examples)), rel=1e-4)


def test_attention_runs_as_written_with_blocks_and_without():
    """The fused form gives 0 where tokens are masked; a lesion would be compared with another function."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        encoder, tokens = nn.TransformerEncoder(layer, 1), torch.randn(6, 5, 8)
    masked = torch.zeros(6, 5, dtype=torch.bool)
    masked[:, 4] = True
    case = opened(encoder, {"src": tokens, "src_key_padding_mask": masked})
    written = float(case.loss_of(case.examples).detach())  # training mode is never fused
    assert lesions(case).whole == pytest.approx(written, rel=1e-4)


def plain_spec() -> NetworkSpec:
    return NetworkSpec(stem=small_stem(4), blocks=(2, 2), widths=(4, 8), shortcut="none", in_channels=3, classes=3)


def test_a_plain_network_loses_whole_blocks_that_keep_the_shape():
    network = trained_a_little(build(plain_spec(), seed=0))
    measured = lesions(case_of(network))
    assert [one.names for one in measured.single] == [("stages.0.0",), ("stages.0.1",), ("stages.1.1",)]
    for one in measured.single:
        _, stage, place = one.names[0].split(".")
        without_it = copy.deepcopy(network)
        without_it.stages[int(stage)][int(place)] = nn.Identity()
        assert one.error == error_of(without_it)
    assert [one.names for one in measured.swapped] == [("stages.0.0", "stages.0.1")]


def test_a_foreign_plain_network_has_no_blocks():
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 192), nn.ReLU(), nn.Linear(192, 3))
    measured = lesions(case_of(network))
    assert measured.single == measured.several == measured.swapped == ()
    assert measured.whole == error_of(network)


class Shared(nn.Module):
    """Adds in its own forward, and calls one plain block once or twice."""

    def __init__(self, adds: bool, times: int = 2) -> None:
        super().__init__()
        self.block = build(plain_spec(), seed=0).stages[0][0]  # type: ignore[index]
        self.stem, self.head = nn.Conv2d(3, 4, 1), nn.Linear(4, 3)
        self.adds, self.times = adds, times

    def forward(self, x):
        x = self.stem(x)
        for _ in range(self.times):
            x = x + self.block(x) if self.adds else self.block(x)
        return self.head(x.mean((2, 3)))


def test_what_runs_twice_or_adds_in_the_network_s_own_forward_is_not_exchanged():
    measured = lesions(case_of(Shared(adds=True)))
    assert [one.names for one in measured.single] == [("forward #1",), ("forward #2",)]
    assert measured.swapped == ()
    assert [one.names for one in lesions(case_of(Shared(adds=True, times=1))).single] == [("forward",)]
    assert lesions(case_of(Shared(adds=False))).single == ()


@pytest.mark.parametrize("training", [True, False])
def test_the_module_comes_back_as_it_was(training: bool):
    network = hand("branch += shortcut").train(training)
    network.blocks[1].norm.eval()
    network.stem.weight.grad = torch.ones_like(network.stem.weight)
    inside, modes = list(network.modules()), [one.training for one in network.modules()]
    state, hooks = copy.deepcopy(network.state_dict()), [len(one._forward_hooks) for one in inside]
    state_of_chance = torch.get_rng_state()
    lesions(case_of(network))
    assert all(a is b for a, b in zip(inside, network.modules(), strict=True))
    assert [one.training for one in network.modules()] == modes
    assert [len(one._forward_hooks) for one in inside] == hooks
    assert not any("forward" in vars(one) for one in inside)
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())
    assert torch.equal(network.stem.weight.grad, torch.ones_like(network.stem.weight))
    assert torch.equal(torch.get_rng_state(), state_of_chance)


def test_a_forward_of_the_module_s_own_is_given_back_after_a_failure():
    network = hand().eval()
    two = case_of(network).examples.take(slice(0, 2))
    pairs = exchangeable(network, two, blocks_of(network, two))
    own = vars(network.blocks[0])["forward"] = network.blocks[0].forward
    with contextlib.suppress(ZeroDivisionError), exchanged(pairs[:1]):
        assert network.blocks[1].forward is own
        _ = 1 / 0
    assert vars(network.blocks[0])["forward"] is own
    assert "forward" not in vars(network.blocks[1])


class Drawing(Hand):
    def forward(self, x):
        return super().forward(functional.dropout(x, 0.5, training=True))


def test_the_same_every_time():
    """Also with a module that draws in evaluation mode; another seed takes other blocks."""
    with torch.random.fork_rng():
        network = trained_a_little(Drawing())
    first = lesions(case_of(network), examples=16)
    torch.rand(3)
    assert lesions(case_of(network), examples=16) == first
    assert lesions(case_of(network), examples=16, seed=1).several != first.several


def test_fewer_examples_then_fewer_draws_where_time_is_short(monkeypatch: pytest.MonkeyPatch):
    """5 single and 2 × (5 draws) lesions of three passes each, and the whole: 1 + 3 · 15 + … passes of 24 examples."""
    network = hand()
    images = IMAGES.repeat(20, 1, 1, 1)
    case = opened(network, images, LABELS.repeat(20))
    passes = 1 + 3 * (5 + 3 * 5)  # k = 2 removed, k = 1 and 2 exchanged
    for seconds, expected in ((15 / passes / 300, (256, 5, True)), (15 / passes / 40, (64, 1, True))):
        monkeypatch.setattr(measuring, "_seconds", lambda case, seconds=seconds: seconds)
        plan = measuring._planned(case, 480, 5, 15, 5)
        assert (plan.examples, plan.draws, plan.recalibrates) == expected
    monkeypatch.setattr(measuring, "_seconds", lambda case: 100.0)
    measured = lesions(case)
    assert (measured.examples, measured.several, measured.swapped) == (16, (), ())
    assert [one.recalibrated for one in measured.single] == [None] * 5
