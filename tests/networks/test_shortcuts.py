"""Shortcuts alone: what each passes on, and which one a block gets."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from residua.networks.layers import BlockShape
from residua.networks.shortcuts import (
    MERGES,
    PADDING,
    PROJECTING,
    SHORTCUTS,
    DropoutShortcut,
    ExclusiveGate,
    GatedShortcut,
    IdentityShortcut,
    PaddedShortcut,
    PooledProjectionShortcut,
    ProjectionShortcut,
    ScaledShortcut,
)
from residua.networks.spec import NetworkSpec, small_stem

SPEC = NetworkSpec(stem=small_stem(4), blocks=(1, 1), widths=(4, 8))


def made(kind: str, into: int, out: int, stride: int = 1, **changes: Any) -> Any:
    shape = BlockShape(in_channels=into, width=out, out_channels=out, stride=stride)
    return SHORTCUTS[kind](replace(SPEC, shortcut=kind, **changes), shape)


def test_the_identity_passes_the_tensor_itself() -> None:
    x = torch.randn(1, 2, 3, 3)
    assert IdentityShortcut()(x) is x


def test_padding_takes_every_second_position_and_appends_zeros() -> None:
    """Option A: "extra zero entries padded for increasing dimensions", with a stride of 2."""
    x = torch.arange(1.0, 31.0).view(1, 2, 3, 5)
    y = PaddedShortcut(2, 5, 2)(x)
    assert y.shape == (1, 5, 2, 3)
    assert y[0, 0].tolist() == [[1, 3, 5], [11, 13, 15]]
    assert y[0, 1].tolist() == [[16, 18, 20], [26, 28, 30]]
    assert y[0, 2:].abs().max() == 0


def test_padding_has_no_parameters_and_says_what_it_adds() -> None:
    shortcut = PaddedShortcut(2, 5, 2)
    assert not shortcut.state_dict()
    assert repr(shortcut) == "PaddedShortcut(added_channels=3, stride=2)"


@pytest.mark.parametrize(
    ("kind", "expected"), [("average_pooled", [[3.5, 6.5], [8.5, 11]]), ("max_pooled", [[6, 7], [10, 11]])]
)
def test_a_pool_rounds_up_and_divides_by_what_its_window_holds(kind: str, expected: list[list[float]]) -> None:
    """A 3-pixel side becomes 2, as under a padded 3×3 convolution of stride 2; no zeros join the mean."""
    x = torch.tensor([[1.0, 3, 7], [4, 6, 6], [7, 10, 11]]).view(1, 1, 3, 3)
    assert made(kind, 1, 1, 2)(x)[0, 0].tolist() == expected


@pytest.mark.parametrize("side", [1, 2, 5, 8])
@pytest.mark.parametrize("kind", SHORTCUTS)
def test_every_shortcut_takes_the_shape_of_a_strided_convolution(kind: str, side: int) -> None:
    convolution = nn.Conv2d(4, 8, 3, stride=2, padding=1)
    x = torch.randn(2, 4, side, side + 1)
    assert made(kind, 4, 8, 2)(x).shape == convolution(x).shape


@pytest.mark.parametrize(
    ("kind", "agrees", "changes"),
    [
        ("padded", IdentityShortcut, PaddedShortcut),
        ("projection", IdentityShortcut, ProjectionShortcut),
        ("projection_everywhere", ProjectionShortcut, ProjectionShortcut),
        ("average_pooled", IdentityShortcut, PooledProjectionShortcut),
        ("max_pooled", IdentityShortcut, PooledProjectionShortcut),
        ("scaled", ScaledShortcut, ScaledShortcut),
        ("exclusive_gating", IdentityShortcut, PaddedShortcut),
        ("shortcut_only_gating", GatedShortcut, GatedShortcut),
        ("dropout", DropoutShortcut, DropoutShortcut),
    ],
)
def test_the_option_decides_where_shapes_agree_and_where_they_change(
    kind: str, agrees: type[nn.Module], changes: type[nn.Module]
) -> None:
    assert type(made(kind, 4, 4)) is agrees
    for out_channels, stride in ((8, 1), (8, 2), (4, 2)):
        shortcut = made(kind, 4, out_channels, stride)
        assert type(shortcut) is changes
        assert isinstance(getattr(shortcut, "resize", PaddedShortcut(1, 1, 1)), PaddedShortcut)


def test_all_shortcuts_project_or_pad_and_all_merges_belong_to_one() -> None:
    """Projections may have a norm, and zeros need a network that never narrows: what the refusals go by."""
    assert {*PROJECTING} | {*PADDING} == {*SHORTCUTS}
    assert not {*PROJECTING} & {*PADDING}
    assert {*MERGES} <= {*SHORTCUTS}
    for kind in SHORTCUTS:
        convolutions = [m for m in made(kind, 4, 8, 2).modules() if isinstance(m, nn.Conv2d)]
        projections = [m for m in convolutions if m.bias is None]
        assert bool(projections) == (kind in PROJECTING), kind


def test_option_d_pools_only_where_the_size_changes_and_projects_only_where_channels_do() -> None:
    wider, smaller = made("average_pooled", 4, 8, 1), made("average_pooled", 4, 4, 2)
    assert isinstance(wider.pool, nn.Identity)
    assert wider.state_dict()
    assert isinstance(smaller.pool, nn.AvgPool2d)
    assert not smaller.state_dict()


def test_a_projection_has_the_norm_and_the_bias_that_the_specification_says() -> None:
    names = {
        (norm, bias): set(made("projection", 4, 8, 2, norm_on_projection=norm, bias=bias).state_dict())
        for norm in (True, False)
        for bias in (True, False)
    }
    assert names[False, False] == {"projection.convolution.weight"}
    assert names[False, True] == {"projection.convolution.weight", "projection.convolution.bias"}
    assert "projection.norm.weight" in names[True, False]


def test_a_scaled_shortcut_multiplies_by_its_number() -> None:
    """He et al. 2016, Eq. 7: λx."""
    x = torch.randn(2, 4, 3, 3)
    assert torch.equal(made("scaled", 4, 4, shortcut_scale=0.25)(x), 0.25 * x)


def test_a_gate_lets_the_shortcut_pass_by_one_minus_g() -> None:
    """He et al. 2016, Fig. 2d: with W = 0 and b = ln 3, g = 3/4, and a quarter of x passes."""
    shortcut = made("shortcut_only_gating", 4, 4)
    nn.init.zeros_(shortcut.gate.weight)
    nn.init.constant_(shortcut.gate.bias, math.log(3))
    x = torch.randn(2, 4, 3, 3)
    torch.testing.assert_close(shortcut(x), x / 4)


def test_an_exclusive_gate_weighs_both_paths_with_one_number() -> None:
    """He et al. 2016, Fig. 2c: g·F + (1 − g)·x, g read from the block's input at every position and channel."""
    gate = ExclusiveGate(SPEC, BlockShape(in_channels=1, width=1, out_channels=2, stride=2))
    with torch.no_grad():
        for name, parameter in gate.named_parameters():
            parameter.fill_(1.0 if name == "gate.weight" else 0.0)
    h = torch.tensor([[0.0, 9], [9, 9], [math.log(3), 9]]).view(1, 1, 3, 2)
    residual, shortcut = torch.full((1, 2, 2, 1), 8.0), torch.full((1, 2, 2, 1), 4.0)
    torch.testing.assert_close(gate(residual, shortcut, h)[0, 1], torch.tensor([[6.0], [7.0]]))


def test_dropout_drops_its_share_in_training_and_scales_in_evaluation() -> None:
    """He et al. 2016, §3.1: no 1/(1 − rate) in training, so that the shortcut is 1 − rate on average, as later."""
    shortcut = made("dropout", 4, 4, shortcut_dropout=0.3)
    x = torch.full((100, 4, 10, 10), 2.0)
    torch.manual_seed(0)
    dropped = shortcut(x)
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    deviation = math.sqrt(0.3 * 0.7 / x.numel())
    assert dropped.mean().item() / 2 == pytest.approx(0.7, abs=4 * deviation)
    assert dropped.std(dim=(0, 2, 3)).min() > 0
    torch.testing.assert_close(shortcut.eval()(x), 0.7 * x)


def test_shortcuts_show_their_numbers() -> None:
    assert "factor=0.25" in repr(made("scaled", 4, 4, shortcut_scale=0.25))
    assert "rate=0.3" in repr(made("dropout", 4, 4, shortcut_dropout=0.3))


def test_a_plain_network_has_no_line() -> None:
    assert "none" not in SHORTCUTS
