"""Small networks with their whole Hessians, by torch's own function, and quadratics whose Hessian is known."""

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from residua.diagnostics.case import Case, opened

Module = TypeVar("Module", bound=nn.Module)


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def initialised(module: Module, seed: int = 0) -> Module:
    """Draws every parameter and running statistic anew, so that nothing depends on the process's random state."""
    for index, one in enumerate(module.parameters()):
        one.data = 0.6 * drawn(*one.shape, seed=1000 * seed + index, dtype=one.dtype)
    for index, (name, one) in enumerate(module.named_buffers()):
        if one.is_floating_point():
            values = drawn(*one.shape, seed=2000 + index, dtype=one.dtype)
            one.copy_(values.abs() + 0.5 if "var" in name else 0.3 * values)
    return module


class Small(nn.Module):
    """A convolution, a batch norm, an in-place ReLU and a shortcut that is added in place; p = 127."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.second, self.head = nn.Conv2d(3, 3, 1), nn.Linear(12, 4)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.first(x)))
        out = self.second(x)
        out += x
        return self.head(nn.functional.avg_pool2d(out, 2).flatten(1).tanh())


def convolutional() -> Small:
    return initialised(Small().double())


def small(case: Case) -> Small:
    assert isinstance(case.module, Small)
    return case.module


def images_case(module: nn.Module | None = None, count: int = 12) -> Case:
    return opened(module or convolutional(), drawn(count, 2, 4, 4, seed=7), torch.arange(count) % 4)


def whole_hessian(case: Case) -> Tensor:
    """Returns ∇²L [p, p] over all parameters, the module in its present mode."""
    named = dict(case.module.named_parameters())
    sizes = [one.numel() for one in named.values()]

    def loss(theta: Tensor) -> Tensor:
        parts = zip(named, theta.split(sizes), strict=True)
        given = {name: part.view_as(named[name]) for name, part in parts}
        return case.loss(functional_call(case.module, given, case.examples.args), case.examples.labels)

    theta = torch.cat([one.detach().reshape(-1) for one in named.values()])
    found = torch.autograd.functional.hessian(loss, theta)
    assert isinstance(found, Tensor)
    return found


class Quadratic(nn.Module):
    """½ θᵀAθ, with ∇²L = A at every θ; its inputs count nothing."""

    matrix: Tensor

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.theta = nn.Parameter(drawn(len(matrix), seed=5).to(matrix))
        self.register_buffer("matrix", matrix)

    def forward(self, x: Tensor) -> Tensor:
        return (0.5 * self.theta @ self.matrix @ self.theta).expand(len(x))


def quadratic_case(matrix: Tensor, count: int = 8) -> Case:
    return opened(Quadratic(matrix), drawn(count, 1), loss=lambda output, _: output.mean())


def symmetric(values: Tensor, seed: int = 3) -> Tensor:
    """Returns a matrix with these eigenvalues and random eigenvectors."""
    rotation = torch.linalg.qr(drawn(len(values), len(values), seed=seed)).Q
    return (rotation * values) @ rotation.T
