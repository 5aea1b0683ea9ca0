"""Surgery: what is kept is kept to the last bit, and what is new can learn."""

from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from residua.errors import BadNetwork, BadSetting
from residua.networks.blocks import PlainBlock
from residua.networks.network import ResidualNetwork, build
from residua.networks.residual import Residual
from residua.networks.spec import NetworkSpec, Order, small_stem, whitening_stem
from residua.networks.surgery import NO_IDENTITY, adapt_input, deepen, freeze, plain_twin, replace_head

SPEC = NetworkSpec(stem=small_stem(8), blocks=(2, 2), widths=(8, 16), classes=5, norm_on_projection=False)
IMAGES = torch.randn(16, 3, 12, 12, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(16) % 5

DEEPENED: dict[str, dict[str, Any]] = {
    "original": {},
    "original, group norm": {"norm": "group", "norm_groups": 4},
    "original, without norm": {"norm": "none"},
    "original, Fixup": {"norm": "none", "initialization": "fixup"},
    "original, SkipInit": {"norm": "none", "initialization": "skipinit"},
    "original, Dirac": {"initialization": "identity"},
    "ReLU-only pre-activation": {"order": "relu_only_preactivation"},
    "ReLU-only pre-activation, tanh": {"order": "relu_only_preactivation", "activation": "tanh"},
    "full pre-activation": {"order": "full_preactivation"},
    "full pre-activation with a bias": {"order": "full_preactivation", "bias": True, "activation": "prelu"},
    "full pre-activation without norm": {"order": "full_preactivation", "norm": "none"},
    "ReLU before addition": {"order": "relu_before_addition"},
    "ReLU before addition without norm": {"order": "relu_before_addition", "norm": "none"},
    "option A": {"shortcut": "padded"},
    "option D": {"shortcut": "average_pooled"},
    "squeeze-excitation": {"squeeze_excitation": 4},
}


def lived_in(spec: NetworkSpec) -> ResidualNetwork:
    """A network whose every number has moved, as after training."""
    network = build(spec, seed=1)
    generator = torch.Generator().manual_seed(2)
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            value.add_(0.1 * torch.randn(value.shape, generator=generator))
        if name.endswith("running_var"):
            value.abs_().add_(0.5)
    return network


def loss_of(network: nn.Module) -> Tensor:
    return nn.functional.cross_entropy(network(IMAGES), LABELS)


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("changes", DEEPENED.values(), ids=DEEPENED.keys())
def test_deepening_changes_no_bit_and_what_it_adds_learns(changes: dict[str, Any], stage: int, block: str) -> None:
    """He et al. 2015, §1: the deeper class contains the shallower network."""
    spec = replace(SPEC, **changes, block=block)
    network = lived_in(spec)
    deeper = deepen(network, stage, 2)
    assert deeper.spec.blocks == tuple(2 + 2 * (index == stage) for index in (1, 2))
    for training in (False, True):
        with torch.no_grad():
            assert torch.equal(network.train(training)(IMAGES), deeper.train(training)(IMAGES))
    before = loss_of(deeper)
    before.backward()
    new = list(deeper.stages[stage - 1].children())[2:]
    for added in new:
        norms = [0.0 if p.grad is None else float(p.grad.norm()) for p in added.parameters()]
        assert max(norms) > 0
    optimizer = torch.optim.SGD(deeper.parameters(), lr=0.02)
    for _ in range(20):
        optimizer.zero_grad()
        loss_of(deeper).backward()
        optimizer.step()
    assert loss_of(deeper) < before
    assert any(not torch.equal(p, q) for p, q in zip(new[0].parameters(), new[1].parameters(), strict=True))


REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"shortcut": "none"}, "plain network"),
    ({"order": "bn_after_addition"}, "norm changes the sum"),
    *(
        ({"activation": kind}, "leave its own output")
        for kind in ("leaky_relu", "prelu", "gelu", "silu", "hardswish", "sigmoid", "tanh")
    ),
    *(
        ({"shortcut": kind}, "not the identity where shapes agree")
        for kind in ("projection_everywhere", "scaled", "exclusive_gating", "shortcut_only_gating", "dropout")
    ),
    ({"initialization": "scaled_branches"}, "1/√L"),
    ({"last_survival": 0.8}, "survival"),
)


@pytest.mark.parametrize(("changes", "reason"), REFUSED)
def test_deepening_is_refused_with_the_reason_where_no_block_is_the_identity(
    changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(BadNetwork, match=reason):
        deepen(build(replace(SPEC, **changes), seed=0), 1)


def test_every_reason_is_one_that_the_test_above_meets() -> None:
    met = [{said for _, said in REFUSED if said in reason} for _, reason in NO_IDENTITY]
    assert all(len(said) == 1 for said in met)


def test_every_order_is_deepened_or_refused_by_the_reference_table() -> None:
    """Leaky ReLU is idempotent in no order that ends with it, and does no harm in the others."""
    refused = set()
    for order in get_args(Order):
        try:
            deepen(build(replace(SPEC, order=order, activation="leaky_relu"), seed=0), 1)
        except BadNetwork:
            refused.add(order)
    assert refused == {"original", "bn_after_addition"}


@pytest.mark.parametrize(("stage", "blocks", "said"), [(0, 1, "stages 1 to 2"), (3, 1, "no stage 3"), (1, 0, "from 1")])
def test_a_stage_that_is_none_is_refused(stage: int, blocks: int, said: str) -> None:
    with pytest.raises(BadSetting, match=said):
        deepen(build(SPEC, seed=0), stage, blocks)


def test_a_zeroed_norm_would_leave_a_full_preactivation_branch_dead() -> None:
    """Why the last convolution is zeroed there: with γ = 0 the ReLU behind it passes no gradient."""
    deeper = deepen(build(replace(SPEC, order="full_preactivation"), seed=0), 1)
    added = list(deeper.stages[0].children())[-1]
    last = added.get_submodule("residual.convolution2")
    nn.init.normal_(last.weight)  # pyright: ignore[reportArgumentType]
    norm = added.get_submodule("residual.norm2")
    nn.init.zeros_(norm.weight)  # pyright: ignore[reportArgumentType]
    loss_of(deeper).backward()
    assert all(p.grad is None or float(p.grad.norm()) == 0 for p in added.get_submodule("residual").parameters())


def test_deepening_keeps_device_type_mode_and_the_original() -> None:
    network = build(SPEC, seed=0).double().eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    deeper = deepen(network, 2, 1)
    assert next(deeper.parameters()).dtype == torch.float64
    assert not deeper.training
    for parameter in deeper.parameters():
        parameter.data.add_(1.0)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"order": "full_preactivation"},
        {"shortcut": "padded"},
        {"norm": "none", "initialization": "skipinit"},
        {"norm": "none", "initialization": "fixup"},
        {"shortcut": "exclusive_gating"},
        {"last_survival": 0.5},
        {"initialization": "zero_last"},
    ],
)
def test_a_plain_twin_keeps_every_tensor_but_those_of_the_shortcuts(changes: dict[str, Any]) -> None:
    network = lived_in(replace(SPEC, **changes))
    twin = plain_twin(network)
    assert isinstance(twin, ResidualNetwork)
    kept, all_ = twin.state_dict(), network.state_dict()
    gone = {name for name in all_ if {"shortcut", "merge"} & set(name.split("."))}
    assert set(kept) == set(all_) - gone
    assert all(torch.equal(kept[name], all_[name]) for name in kept)
    assert not any("shortcut" in name for name, _ in twin.named_modules())
    assert not torch.equal(twin.eval()(IMAGES), network.eval()(IMAGES))


def test_a_plain_twin_computes_the_residual_functions_alone() -> None:
    network = lived_in(replace(SPEC, blocks=(1,), widths=(8,))).eval()
    block = network.stages[0].get_submodule("0")
    h = network.stem(IMAGES)
    expected = network.head(torch.relu(block.get_submodule("residual")(h)).mean((2, 3)))
    torch.testing.assert_close(plain_twin(network)(IMAGES), expected)


def test_a_plain_network_has_no_plain_twin() -> None:
    with pytest.raises(BadNetwork, match="plain already"):
        plain_twin(build(SPEC.plain_twin(), seed=0))
    with pytest.raises(BadNetwork, match="holds no shortcut"):
        plain_twin(nn.Linear(2, 2))


def test_shortcuts_are_taken_from_any_module() -> None:
    inner = nn.Linear(4, 4)
    module = nn.ModuleDict({"a": Residual(nn.Sequential(Residual(inner)))})
    twin = plain_twin(module)
    x = torch.randn(3, 4)
    assert torch.equal(twin.get_submodule("a")(x), inner(x))
    assert any(isinstance(part, Residual) for part in module.modules())
    holder = plain_twin(nn.Sequential(build(SPEC, seed=0).stages[0]))
    assert sum(isinstance(part, PlainBlock) for part in holder.modules()) == 2


def test_a_new_head_leaves_the_rest() -> None:
    network = lived_in(SPEC).eval()
    changed = replace_head(network, 7)
    assert changed.spec.classes == 7
    assert changed(IMAGES).shape == (16, 7)
    assert torch.equal(changed.feature_maps(IMAGES), network.feature_maps(IMAGES))


@pytest.mark.parametrize(("before", "after"), [(3, 1), (1, 3), (1, 5), (4, 1)])
def test_a_grey_image_means_the_same_in_other_channels(before: int, after: int) -> None:
    network = lived_in(replace(SPEC, in_channels=before)).eval()
    grey = torch.randn(4, 1, 9, 9)
    adapted = adapt_input(network, after)
    assert adapted.spec.in_channels == after
    torch.testing.assert_close(adapted(grey.expand(4, after, 9, 9)), network(grey.expand(4, before, 9, 9)))


def test_a_whitening_stem_is_not_adapted_to_other_channels():
    network = build(NetworkSpec(stem=whitening_stem(3), blocks=(1,), widths=(4,), classes=3), seed=0)
    with pytest.raises(BadNetwork, match="build the network anew"):
        adapt_input(network, 1)


def test_more_channels_repeat_the_old_ones_in_turn() -> None:
    network = lived_in(SPEC)
    weight = adapt_input(network, 4).stem.get_submodule("convolution").weight
    old = network.stem.get_submodule("convolution").weight
    assert isinstance(weight, Tensor)
    assert isinstance(old, Tensor)
    torch.testing.assert_close(weight, torch.cat([old, old[:, :1]], dim=1) * 0.75)


def test_frozen_parts_neither_learn_nor_count() -> None:
    """Weights, biases and running statistics up to the part stay to the bit; the others move."""
    network = freeze(build(SPEC, seed=0), "stage1").train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    loss_of(network).backward()
    optimizer.step()
    moved = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert not any(name.startswith(("stem", "stages.0")) for name in moved)
    assert {"stages.1.0.residual.norm1.running_mean", "head.weight"} <= moved
    freeze(network, "none")
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert network.stem.training


def test_a_part_that_is_none_is_refused_with_the_nearest() -> None:
    with pytest.raises(BadSetting, match="did you mean 'stage2'"):
        freeze(build(SPEC, seed=0), "stage3")
