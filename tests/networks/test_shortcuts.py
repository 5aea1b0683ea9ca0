"""Shortcuts alone: what each passes on, and which one a block gets."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from residua.networks.shortcuts import (
    IdentityShortcut,
    PaddedShortcut,
    PooledProjectionShortcut,
    ProjectionShortcut,
    shortcut_for,
)
from residua.networks.spec import NetworkSpec, ShortcutKind, small_stem

SPEC = NetworkSpec(stem=small_stem(4), blocks=(1, 1), widths=(4, 8))


def with_shortcut(kind: ShortcutKind) -> NetworkSpec:
    return replace(SPEC, shortcut=kind)


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
def test_a_pool_rounds_up_and_divides_by_what_its_window_holds(kind: ShortcutKind, expected: list[list[float]]) -> None:
    """A 3-pixel side becomes 2, as under a padded 3×3 convolution of stride 2; no zeros join the mean."""
    x = torch.tensor([[1.0, 3, 7], [4, 6, 6], [7, 10, 11]]).view(1, 1, 3, 3)
    pool = shortcut_for(with_shortcut(kind), 1, 1, stride=2)
    assert pool(x)[0, 0].tolist() == expected


@pytest.mark.parametrize("side", [1, 2, 5, 8])
@pytest.mark.parametrize("kind", ["padded", "projection", "projection_everywhere", "average_pooled", "max_pooled"])
def test_every_shortcut_takes_the_shape_of_a_strided_convolution(kind: ShortcutKind, side: int) -> None:
    convolution = nn.Conv2d(4, 8, 3, stride=2, padding=1)
    x = torch.randn(2, 4, side, side + 1)
    assert shortcut_for(with_shortcut(kind), 4, 8, stride=2)(x).shape == convolution(x).shape


@pytest.mark.parametrize(
    ("kind", "agrees", "changes"),
    [
        ("padded", IdentityShortcut, PaddedShortcut),
        ("projection", IdentityShortcut, ProjectionShortcut),
        ("projection_everywhere", ProjectionShortcut, ProjectionShortcut),
        ("average_pooled", IdentityShortcut, PooledProjectionShortcut),
        ("max_pooled", IdentityShortcut, PooledProjectionShortcut),
    ],
)
def test_the_option_decides_where_shapes_agree_and_where_they_change(
    kind: ShortcutKind, agrees: type[nn.Module], changes: type[nn.Module]
) -> None:
    spec = with_shortcut(kind)
    assert type(shortcut_for(spec, 4, 4, stride=1)) is agrees
    for out_channels, stride in ((8, 1), (8, 2), (4, 2)):
        assert type(shortcut_for(spec, 4, out_channels, stride=stride)) is changes


def test_option_d_pools_only_where_the_size_changes_and_projects_only_where_channels_do() -> None:
    spec = with_shortcut("average_pooled")
    wider, smaller = shortcut_for(spec, 4, 8, stride=1), shortcut_for(spec, 4, 4, stride=2)
    assert isinstance(wider.pool, nn.Identity)
    assert wider.state_dict()
    assert isinstance(smaller.pool, nn.AvgPool2d)
    assert not smaller.state_dict()


def test_a_projection_has_the_norm_and_the_bias_that_the_specification_says() -> None:
    names = {
        (norm, bias): set(shortcut_for(replace(SPEC, norm_on_projection=norm, bias=bias), 4, 8, stride=2).state_dict())
        for norm in (True, False)
        for bias in (True, False)
    }
    assert names[False, False] == {"projection.convolution.weight"}
    assert names[False, True] == {"projection.convolution.weight", "projection.convolution.bias"}
    assert "projection.norm.weight" in names[True, False]


def test_a_plain_network_gets_no_shortcut() -> None:
    with pytest.raises(ValueError, match="plain"):
        shortcut_for(SPEC.plain_twin(), 4, 4, stride=1)
