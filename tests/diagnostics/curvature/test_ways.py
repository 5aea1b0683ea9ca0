"""Which way products are taken: any module's, or one line that says why not."""

from typing import Any

import pytest
import torch
from tests.diagnostics.curvature.dense import drawn, images_case, initialised, whole_hessian
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from residua.diagnostics.case import Case, opened
from residua.diagnostics.curvature.products import products_of
from residua.diagnostics.curvature.ways import way_of
from residua.errors import BadNetwork


class ByHand(torch.autograd.Function):
    """x³ by hand, as functions are written that torch's newer transforms refuse."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 3 * x**2 * gradients[0]


class Detached(ByHand):
    """The same, whose backward is a number to the second derivative."""

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 3 * x.detach() ** 2 * gradients[0]


class Once(ByHand):
    """The same, which says that it has no second derivative."""

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        return 3 * x**2 * gradients[0]


class Wrong(torch.autograd.Function):
    """The same in the newer form, with a forward derivative, and a backward that is no derivative: 2x² for 3x²."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x**3

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 2 * x**2 * gradients[0]

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 3 * x**2 * tangents[0]


class Net(nn.Module):
    def __init__(self, function: type[torch.autograd.Function] | None) -> None:
        super().__init__()
        self.first, self.head, self.function = nn.Linear(5, 6), nn.Linear(6, 3), function
        initialised(self.double())

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        return self.head(h**3 if self.function is None else self.function.apply(h))


def vectors(module: nn.Module, *, linear: bool = False) -> Case:
    return opened(module, drawn(8, 5), None if linear else torch.arange(8) % 3)


def test_what_torch_derives_goes_forward():
    assert way_of(images_case()) == "forward"
    assert way_of(images_case(), policy="batch") == "forward"


def test_a_function_by_hand_goes_in_reverse_to_the_same_product():
    case, same = vectors(Net(ByHand)), vectors(Net(None))
    assert (way_of(case), way_of(same)) == ("reverse", "forward")
    v = drawn(57, seed=2)
    with products_of(case, case.examples, way="reverse") as product:
        torch.testing.assert_close(product(v), whole_hessian(same) @ v)


def test_recurrent_layers_and_attention_have_products():
    class Sequence(nn.Module):
        def __init__(self, layer: nn.Module) -> None:
            super().__init__()
            self.layer = layer
            initialised(self)

        def forward(self, x: Tensor) -> Tensor:
            found = self.layer(x)
            return (found[0] if isinstance(found, tuple) else found).mean(1)

    x = drawn(4, 3, 8).float()
    recurrent = opened(Sequence(nn.LSTM(8, 4, batch_first=True)).eval(), x, torch.arange(4) % 3)
    attention = opened(Sequence(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)).eval(), x, torch.arange(4) % 3)
    assert way_of(recurrent) == "reverse"
    assert way_of(attention) == "forward"
    for case in (recurrent, attention):
        v = drawn(sum(one.numel() for one in case.module.parameters()), seed=2).float()
        with sdpa_kernel(SDPBackend.MATH):
            expected = twice_backward(case, v)
        with products_of(case, case.examples, way=way_of(case)) as product:
            torch.testing.assert_close(product(v), expected, rtol=1e-3, atol=1e-4)


def twice_backward(case: Case, v: Tensor) -> Tensor:
    weights = list(case.module.parameters())
    first = torch.autograd.grad(case.loss_of(case.examples), weights, create_graph=True)
    along = sum(
        (one.reshape(-1) @ part for one, part in zip(first, v.split([w.numel() for w in weights]), strict=True))
    )
    return torch.cat([one.reshape(-1) for one in torch.autograd.grad(along, weights)])  # type: ignore[arg-type]


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("function", [Detached, Once])
def test_a_second_derivative_that_is_lost_is_refused_in_one_line(function, linear):
    """Under a linear loss what is left is symmetric: zero. Only the gradient's change tells."""
    with pytest.raises(BadNetwork, match="second derivative") as told:
        way_of(vectors(Net(function), linear=linear))
    assert "\n" not in str(told.value)


def test_products_that_are_not_symmetric_are_refused():
    with pytest.raises(BadNetwork, match="uᵀHv and vᵀHu differ"):
        way_of(vectors(Net(Wrong)))


def test_a_module_that_reads_copies_of_its_weights_is_refused():
    class Keeps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = initialised(nn.Linear(5, 3).double())
            self.kept = [self.layer.weight]  # no parameter of its own, and never replaced

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.linear(x, self.kept[0], self.layer.bias)

    with pytest.raises(BadNetwork, match=r"reads layer.weight from elsewhere than its parameters"):
        way_of(vectors(Keeps()))


def test_a_module_that_no_gradient_passes_is_refused():
    class Cut(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).detach()

    with pytest.raises(BadNetwork, match="no gradient passes through Cut"):
        way_of(vectors(Cut(None)))


def test_what_draws_in_evaluation_mode_draws_the_same():
    class Noisy(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x * (1 + torch.rand_like(x)))

    assert way_of(vectors(Noisy(None))) == "forward"
