"""The additive check: it passes what is right, of any kind, and fails each way of being wrong."""

import itertools
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from residua.diagnostics.additive import additive_check
from residua.diagnostics.case import Case, opened
from residua.diagnostics.slopes import Direction
from residua.errors import BadNetwork
from residua.networks.network import build
from residua.networks.residual import Residual
from residua.networks.shortcuts import SHORTCUTS
from residua.networks.spec import NetworkSpec, Order, small_stem

IDENTITY = torch.eye(6)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def images_case(network: nn.Module) -> Case:
    return opened(network, normal(8, 3, 8, 8), torch.arange(8) % 5)


def vectors(*parts: nn.Module) -> Case:
    return opened(nn.Sequential(*parts), normal(8, 6))


@pytest.mark.parametrize(("order", "shortcut"), list(itertools.product(get_args(Order), SHORTCUTS)))
def test_every_order_and_shortcut_passes(order, shortcut):
    spec = NetworkSpec(
        stem=small_stem(4),
        blocks=(1, 2),
        widths=(4, 8),
        order=order,
        shortcut=shortcut,
        shortcut_scale=0.7,
        norm_on_projection=False,
        classes=5,
    )
    check = additive_check(images_case(build(spec, seed=0)))
    assert check.precision == "float64"
    assert len(check.blocks) == 3
    assert check.failed == ()
    assert all(block.error < 1e-14 and (block.slope_error or 0) < 1e-5 for block in check.blocks)
    assert all(block.total > 0 and block.shortcut > 0 and block.branch > 0 for block in check.blocks)


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_transformer_passes_with_its_dropout(norm_first):
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.3, batch_first=True, norm_first=norm_first)
    check = additive_check(opened(layer, normal(4, 5, 8)))
    assert len(check.blocks) == 2
    assert check.failed == ()
    assert all(block.slope_error is not None for block in check.blocks)


class Times(nn.Module):
    """x ↦ factor · x with a parameter."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(factor * IDENTITY)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight)


def test_the_terms_are_those_of_the_equation():
    """F(x) = 3x beside x: ‖J_Fᵀ g‖ = 3‖g‖, ‖J_sᵀ g‖ = ‖g‖, ‖total‖ = 4‖g‖; beside 2x: ‖total‖ = 5‖g‖."""
    (block,) = additive_check(vectors(Residual(Times(3.0), nn.Hardtanh(-1e9, 1e9)), nn.Flatten())).blocks
    assert block.kind == "free"
    assert (block.branch / block.shortcut, block.total / block.shortcut) == pytest.approx((3.0, 4.0))
    (doubled,) = additive_check(vectors(Residual(Times(3.0), Times(2.0)))).blocks
    assert doubled.kind == "projection"
    assert sorted((doubled.shortcut, doubled.branch)) == pytest.approx([doubled.total * 2 / 5, doubled.total * 3 / 5])


class WrongBackward(torch.autograd.Function):
    """The identity, whose gradient comes a tenth too small."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return 0.9 * gradients[0]


class Sabotaged(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = Times(3.0)

    def forward(self, x: Tensor) -> Tensor:
        return WrongBackward.apply(self.layer(x))  # type: ignore[return-value]


def test_a_branch_with_a_wrong_backward_fails_by_its_slope():
    """Both products go through it, so they agree; its values do not."""
    check = additive_check(vectors(Residual(Times(2.0)), Residual(Sabotaged()), Residual(Times(2.0))))
    assert [block.name for block in check.failed] == ["1"]
    (failed,) = check.failed
    assert failed.error < 1e-12
    assert failed.slope_error is not None
    assert failed.slope_error > 0.01


class HalfAnAddition(torch.autograd.Function):
    """F + x, whose backward forgets the shortcut."""

    @staticmethod
    def forward(ctx: Any, branch: Tensor, shortcut: Tensor) -> Tensor:
        return branch + shortcut

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        return gradients[0], torch.zeros_like(gradients[0])


class Forgetful(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = Times(3.0)

    def forward(self, x: Tensor) -> Tensor:
        return HalfAnAddition.apply(self.layer(x), x)  # type: ignore[return-value]


def test_an_addition_that_drops_the_shortcuts_term_fails_by_the_sum():
    """total = 3g and the terms are 3g and g: the error is g/3g."""
    check = additive_check(vectors(Residual(Times(2.0)), Forgetful(), Residual(Times(2.0))))
    assert [block.name for block in check.failed] == ["1"]
    (failed,) = check.failed
    assert failed.error == pytest.approx(1 / 3)
    assert failed.slope_error is None or failed.slope_error < 1e-6


def test_a_head_of_zeros_does_not_make_the_check_empty():
    """Under it the loss's gradient is 0 at every block, and 0 = 0 + 0 whatever the backward is."""
    check = additive_check(vectors(Residual(Times(2.0)), Forgetful(), Times(0.0)))
    assert [block.name for block in check.failed] == ["1"]


def test_a_branch_that_passes_nothing_back_is_no_failure():
    """A batch norm takes a gradient away that is the same for all examples; what rounding leaves has any slope."""
    given = vectors(Residual(nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6))))
    check = additive_check(given)
    assert check.blocks[0].branch < 1e-12 * check.blocks[0].total
    assert check.failed == ()


def test_blocks_within_a_branch_are_moved_apart_from_it():
    inner = nn.Sequential(Times(0.5), Residual(nn.Sequential(Times(2.0), nn.Tanh())), Times(1.5))
    check = additive_check(vectors(Residual(inner), Residual(Times(0.5))))
    assert len(check.blocks) == 3
    assert check.failed == ()
    assert all((block.slope_error or 0) < 1e-5 for block in check.blocks)


def test_an_alpha_and_an_addition_in_place_pass():
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.relu = nn.Linear(6, 6), nn.ReLU(inplace=True)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.add(x, self.relu(self.layer(x)), alpha=0.3)
            out = self.layer(x)
            out += x
            return self.relu(out)

    check = additive_check(vectors(InPlace(), InPlace()))
    assert len(check.blocks) == 4
    assert check.failed == ()


def test_a_module_that_only_knows_float32_is_checked_in_it():
    class Single(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            if x.dtype is not torch.float32:
                raise TypeError("float32 only")
            return x + self.layer(x).relu()

    check = additive_check(vectors(Single(), Single()))
    assert check.precision == "float32"
    assert check.failed == ()
    assert check.tolerance > 1e-9
    assert [block.name for block in additive_check(vectors(Single(), Forgetful())).failed] == ["1"]


def test_a_module_that_cannot_be_copied_is_checked_itself_and_comes_back():
    class Uncopied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.norm = nn.Linear(6, 6), nn.BatchNorm1d(6)

        def __deepcopy__(self, memo: object) -> nn.Module:
            raise RuntimeError("there is one of me")

        def forward(self, x: Tensor) -> Tensor:
            return x + self.norm(self.layer(x))

    module = Uncopied().eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    check = additive_check(opened(module, normal(8, 6)))
    assert check.precision == "float32"
    assert len(check.blocks) == 1
    assert check.failed == ()
    assert not module.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_a_plain_network_has_no_blocks_and_a_broken_one_is_refused():
    assert additive_check(vectors(Times(2.0), nn.ReLU(), Times(3.0))).blocks == ()
    broken = vectors(Times(2.0))
    broken.module.append(nn.Linear(7, 7))  # type: ignore[operator]
    with pytest.raises(BadNetwork, match="cannot take these inputs"):
        additive_check(broken)


def test_the_random_state_and_the_answer_do_not_depend_on_when():
    given = opened(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), normal(4, 5, 8))
    state = torch.get_rng_state()
    first = additive_check(given)
    torch.rand(7)
    second = additive_check(given)
    torch.set_rng_state(state)
    assert first == second


def test_a_zero_is_not_moved():
    """There ReLU has its kink, and a central difference is ½ where autograd says 0."""
    direction = Direction(x=torch.tensor([0.0, 3.0, -4.0]), vector=torch.tensor([0.0, 1.0, -1.0]))
    assert direction.absolute(1e-3) == pytest.approx(1e-3 * (25 / 3) ** 0.5)
    assert direction.at(1e-3)[0] == 0

    class Rectifying(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = Times(1.0)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x.relu())

    check = additive_check(vectors(nn.ReLU(), Residual(Rectifying())))
    assert check.blocks[0].slope_error is not None
    assert check.blocks[0].slope_error < 1e-6


class RoundingNorm(nn.Module):
    """A norm that computes in float32 whatever it is given, as many do."""

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        return (wide * wide.square().mean(-1, keepdim=True).add(1e-6).rsqrt()).to(x.dtype)


def test_a_block_that_computes_in_float32_by_itself_is_checked_in_float32():
    """In float64 a step of 1e-9 would vanish in its rounding, and a healthy backward would look wrong."""
    network = nn.Sequential(*(Residual(nn.Sequential(RoundingNorm(), nn.Linear(8, 8))) for _ in range(3)))
    found = additive_check(opened(network, torch.randn(8, 8), torch.arange(8) % 8))
    assert found.precision == "float32"
    assert not found.failed


def test_no_other_device_is_seeded(monkeypatch):
    """`torch.manual_seed` seeds every device, and `undisturbed` puts one back."""
    monkeypatch.setattr(torch, "manual_seed", None)
    assert additive_check(vectors(Residual(Times(2.0)))).failed == ()
