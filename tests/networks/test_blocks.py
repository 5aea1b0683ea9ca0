"""Blocks: the addition, and what passes it forwards and backwards."""

from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from residua.networks.blocks import LAYOUTS, Place, PlainBlock, Preactivation, ResidualBlock, build_block
from residua.networks.layers import ActivationKind, BlockShape, NormKind
from residua.networks.shortcuts import ExclusiveGate, IdentityShortcut
from residua.networks.spec import NetworkSpec, Order, small_stem

SPEC = NetworkSpec(stem=small_stem(4), blocks=(1,), widths=(4,))
SAME = BlockShape(in_channels=4, width=4, out_channels=4, stride=1)
IN_BRANCH = Place(preactivation="in_branch")


class Scale(nn.Module):
    """F(x) = a·x."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


def scaling(factor: float, entry: nn.Module | None = None) -> ResidualBlock:
    return ResidualBlock(Scale(factor), IdentityShortcut(), entry or nn.Identity(), nn.Identity())


def test_a_block_adds_its_input_to_its_residual_function() -> None:
    """He et al. 2015, Eq. 1: y = F(x) + x, here with F(x) = 3x."""
    x = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(scaling(3.0)(x), 4 * x)


def test_a_chain_of_blocks_passes_back_the_direct_and_the_residual_gradient() -> None:
    """He et al. 2016, Eq. 5: ∂x_L/∂x_l = 1 + ∂/∂x_l Σ F, for F(x) = a·x the product of the (1 + a)."""
    x = torch.randn(1, 1, 2, 2, dtype=torch.float64, requires_grad=True)
    nn.Sequential(scaling(0.5), scaling(-0.25), scaling(2.0))(x).sum().backward()
    torch.testing.assert_close(x.grad, torch.full_like(x, 1.5 * 0.75 * 3.0))


def test_without_its_residual_function_a_block_still_passes_the_gradient() -> None:
    """The direct term alone: what a plain block with F = 0 lacks."""
    x = torch.randn(1, 1, 2, 2, requires_grad=True)
    scaling(0.0)(x).sum().backward()
    assert x.grad is not None
    assert x.grad.unique().tolist() == [1.0]
    plain = PlainBlock(Scale(0.0), nn.Identity(), nn.Identity())
    assert plain(x).abs().max() == 0


def test_both_paths_read_what_the_entry_gives() -> None:
    """He et al. 2016, appendix: a shared pre-activation comes before the paths split."""
    x = torch.tensor([-2.0, 5.0]).view(1, 1, 1, 2)
    assert scaling(2.0, nn.ReLU())(x).flatten().tolist() == [0.0, 15.0]


def test_the_activation_comes_after_the_addition() -> None:
    x = torch.tensor([-2.0, 5.0]).view(1, 1, 1, 2)
    block = ResidualBlock(Scale(-3.0), IdentityShortcut(), nn.Identity(), nn.ReLU())
    assert block(x).flatten().tolist() == [4.0, 0.0]


def test_the_branches_can_be_replaced() -> None:
    """A lesion reads and sets plain attributes."""
    block = build_block(SPEC, SAME, IN_BRANCH)
    assert isinstance(block, ResidualBlock)
    block.residual = Scale(0.0)
    x = torch.rand(1, 4, 3, 3)
    assert torch.equal(block(x), x)


NEED_NORMS = ("bn_after_addition", "relu_only_preactivation")


@pytest.mark.parametrize("activation", get_args(ActivationKind))
@pytest.mark.parametrize("preactivation", get_args(Preactivation))
@pytest.mark.parametrize(
    ("order", "norm"),
    [(order, norm) for order in LAYOUTS for norm in get_args(NormKind) if norm != "none" or order not in NEED_NORMS],
)
def test_no_branch_writes_its_input(
    order: Order, norm: NormKind, preactivation: Preactivation, activation: str
) -> None:
    """An in-place ReLU that opens a branch would change what the shortcut reads."""
    spec = replace(SPEC, order=order, activation=activation, norm=norm, norm_on_projection=False)
    block = build_block(spec, SAME, Place(preactivation=preactivation))
    x = torch.randn(2, 4, 5, 5)
    before = x.clone()
    block(x)
    assert torch.equal(x, before)


def layers_of(module: nn.Module) -> str:
    """Writes the layers in order: C a convolution, N a norm, A an activation."""
    letters = {nn.Conv2d: "C", nn.BatchNorm2d: "N", nn.GroupNorm: "N", nn.ReLU: "A"}
    return "".join(letters.get(type(layer), "") for layer in module.modules())


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@pytest.mark.parametrize(
    ("order", "preactivation", "entry", "residual", "after"),
    [
        ("original", "in_branch", "", "CNACN", "A"),
        ("bn_after_addition", "in_branch", "", "CNAC", "NA"),
        ("relu_before_addition", "in_branch", "", "CNACNA", ""),
        ("relu_only_preactivation", "in_branch", "", "ACNACN", ""),
        ("relu_only_preactivation", "shared", "A", "CNACN", ""),
        ("relu_only_preactivation", "above", "", "CNACN", ""),
        ("full_preactivation", "in_branch", "", "NACNAC", ""),
        ("full_preactivation", "shared", "NA", "CNAC", ""),
        ("full_preactivation", "above", "", "CNAC", ""),
    ],
)
def test_the_layers_stand_in_the_order_of_the_figure(
    order: Order, preactivation: Preactivation, entry: str, residual: str, after: str, block: str, norm: NormKind
) -> None:
    """He et al. 2016, Fig. 4, a to e, and the shared pre-activation of its appendix; a bottleneck has one CNA more."""
    spec = replace(SPEC, order=order, block=block, norm=norm, norm_on_projection=False)
    built = build_block(spec, SAME, Place(preactivation=preactivation))
    if block == "bottleneck":
        residual = residual.replace("CNA", "CNACNA", 1)
    written = (layers_of(built.entry), layers_of(built.residual), layers_of(built.activation))
    assert written == (entry, residual, after)
    plain = build_block(spec.plain_twin(), SAME, Place(preactivation=preactivation))
    assert (layers_of(plain.entry), layers_of(plain.residual), layers_of(plain.activation)) == written


def test_without_norms_the_activations_stay_where_they_are() -> None:
    bare = {"norm": "none", "norm_on_projection": False}
    original = build_block(replace(SPEC, **bare), SAME, IN_BRANCH)
    assert (layers_of(original.residual), layers_of(original.activation)) == ("CAC", "A")
    shared = build_block(replace(SPEC, order="full_preactivation", **bare), SAME, Place(preactivation="shared"))
    assert (layers_of(shared.entry), layers_of(shared.residual)) == ("A", "CAC")


def test_only_exclusive_gating_merges_by_more_than_an_addition() -> None:
    """He et al. 2016, Fig. 2c: the gate that weighs F is the one whose rest weighs the shortcut."""
    gated = build_block(replace(SPEC, shortcut="exclusive_gating"), SAME, IN_BRANCH)
    assert isinstance(gated, ResidualBlock)
    assert isinstance(gated.merge, ExclusiveGate)
    assert [name for name, _ in gated.named_parameters() if "gate" in name] == ["merge.gate.weight", "merge.gate.bias"]
    only = build_block(replace(SPEC, shortcut="shortcut_only_gating"), SAME, IN_BRANCH)
    assert [name for name, _ in only.named_parameters() if "gate" in name] == [
        "shortcut.gate.weight",
        "shortcut.gate.bias",
    ]


@pytest.mark.parametrize(
    ("changes", "ends"),
    [
        ({}, []),
        ({"squeeze_excitation": 2}, ["excitation"]),
        ({"initialization": "skipinit"}, ["scale"]),
        ({"initialization": "scaled_branches"}, ["depth_scale"]),
        ({"shortcut": "scaled"}, ["fixed_scale"]),
        (
            {"squeeze_excitation": 2, "initialization": "skipinit", "shortcut": "scaled"},
            ["excitation", "scale", "fixed_scale"],
        ),
    ],
)
def test_what_weighs_a_residual_function_comes_last_and_has_a_name_of_its_own(
    changes: dict[str, Any], ends: list[str]
) -> None:
    """The excitation reads F before any factor does (Hu et al. 2018, Fig. 3)."""
    names = [name for name, _ in build_block(replace(SPEC, **changes), SAME, IN_BRANCH).residual.named_children()]
    assert names[5:] == ends


def test_every_layer_of_a_branch_has_a_name_of_its_own() -> None:
    block = build_block(replace(SPEC, block="bottleneck"), SAME, IN_BRANCH)
    assert [name for name, _ in block.residual.named_children()] == [
        *("convolution1", "norm1", "activation1", "convolution2", "norm2", "activation2"),
        *("convolution3", "norm3"),
    ]


@pytest.mark.parametrize(("place", "strides"), [("first", [2, 1, 1]), ("3x3", [1, 2, 1])])
def test_a_bottleneck_shrinks_where_the_specification_says(place: str, strides: list[int]) -> None:
    """The papers shrink in the first 1×1 convolution, torchvision in the 3×3."""
    spec = replace(SPEC, block="bottleneck", stride_on=place)
    block = build_block(spec, BlockShape(in_channels=4, width=2, out_channels=8, stride=2), IN_BRANCH)
    convolutions = [layer for layer in block.residual.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.stride[0] for layer in convolutions] == strides
    assert [layer.kernel_size[0] for layer in convolutions] == [1, 3, 1]
