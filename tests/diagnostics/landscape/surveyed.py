"""What the tests of surfaces share: small cases, directions that are plain numbers, and the slow obvious surface."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from residua.diagnostics.case import Case, opened
from residua.diagnostics.landscape.directions import Direction
from residua.diagnostics.landscape.grid import Axis, Grid
from residua.diagnostics.landscape.layout import flat, layout_of
from residua.networks.network import build
from residua.networks.spec import NetworkSpec, Order, small_stem

Values = Sequence[float]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def direction(module: nn.Module, seed: int, *, scale: float = 0.1, buffers: float = 0.0) -> Direction:
    """A direction that moves every parameter, and running statistics by a constant where asked."""
    vector = scale * normal(len(layout_of(module)), seed=seed).float()
    moved = [(name, torch.full_like(one, buffers)) for name, one in module.named_buffers() if one.is_floating_point()]
    return Direction(kind="random", says=f"seed {seed}", vector=vector, buffers=tuple(moved) if buffers else ())


def plane(module: nn.Module, x: Values = (-1.0, 0.0, 0.5), y: Values = (-0.5, 1.0), **about: float) -> Grid:
    """By default three columns and two rows, and no point at the centre."""
    axes = (Axis(direction=direction(module, seed, **about), values=tuple(values)) for seed, values in ((1, x), (2, y)))
    return Grid(axes=tuple(axes))


def line(module: nn.Module, x: Values = (-1.0, 0.0, 0.5), **about: float) -> Grid:
    return Grid(axes=(Axis(direction=direction(module, 1, **about), values=tuple(x)),))


def network(order: Order = "original", *, seed: int = 0) -> nn.Module:
    """A small residual network in float64; its norms have statistics, scales and shifts of all sizes."""
    spec = NetworkSpec(
        stem=small_stem(4),
        blocks=(1, 1),
        widths=(4, 6),
        in_channels=2,
        classes=3,
        order=order,
        shortcut="projection",
        norm_on_projection=order != "full_preactivation",
    )
    module = build(spec, seed=seed).double()
    for place, one in enumerate(module.modules()):
        if isinstance(one, nn.BatchNorm2d):
            assert one.running_mean is not None
            assert one.running_var is not None
            one.running_mean.copy_(0.3 * normal(one.num_features, seed=place))
            one.running_var.copy_(0.5 + normal(one.num_features, seed=place + 1) ** 2)
            with torch.no_grad():
                one.weight.copy_(1 + 0.3 * normal(one.num_features, seed=place + 2))
                one.bias.copy_(0.3 * normal(one.num_features, seed=place + 3))
    return module


def pictures(module: nn.Module, *, images: int = 12, held_out: int = 0) -> Case:
    unseen = None if not held_out else (normal(held_out, 2, 6, 6, seed=9), torch.arange(held_out) % 3)
    return opened(module, normal(images, 2, 6, 6, seed=8), torch.arange(images) % 3, held_out=unseen)


def moved_by_hand(module: nn.Module, grid: Grid, point: Sequence[float]) -> nn.Module:
    """The naive reference: a full copy whose tensors are set one by one, without folding."""
    copied, layout = copy.deepcopy(module).eval().requires_grad_(False), layout_of(module)
    state = copied.state_dict()
    for name, one in layout.parts(flat(module)).items():
        state[name] = one.clone()
        for a, axis in zip(point, grid.axes, strict=True):
            state[name] += a * layout.parts(axis.direction.vector.to(one.dtype))[name]
    for a, axis in zip(point, grid.axes, strict=True):
        for name, difference in axis.direction.buffers:
            state[name] = state[name] + a * difference
    copied.load_state_dict(state)
    return copied


def naive(case: Case, grid: Grid) -> Tensor:
    """The loss at every point, [rows, columns], with the point's own statistics."""
    found = torch.empty(grid.shape, dtype=torch.float64)
    xs, ys = (grid.axes[0].values, [axis.values for axis in grid.axes[1:]])
    for i, x in enumerate(xs):
        for j, y in enumerate(ys[0] if ys else [None]):
            copied = moved_by_hand(case.module, grid, [x] if y is None else [x, y])
            found[j, i] = case.loss(copied(*case.examples.args), case.examples.labels)
    return found
