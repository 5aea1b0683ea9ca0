"""Sets what theory says of networks at initialisation beside what is measured: gradients, variances, identities.

    .venv/bin/python benchmarks/predictions.py [--width 256] [--seeds 5]

The derivations are in docs/predictions.md; rows go by the quantity. Of every network as many are drawn as there are
seeds; a row has the median with the smallest and the largest, and a verdict: supported where the median is within 5 %
of ln(predicted), or of the number itself where it is no ratio.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from math import e, log, prod
from typing import Any

import torch
from results import spread, write
from sklearn.datasets import load_digits
from torch import Tensor, nn

from residua import machine
from residua.diagnostics import predictions
from residua.diagnostics.additive import additive_check
from residua.diagnostics.case import opened
from residua.diagnostics.gradients import gradient_flow
from residua.diagnostics.shattering import shattering
from residua.networks.network import ResidualNetwork, build
from residua.networks.residual import Residual
from residua.networks.spec import NetworkSpec, Order, small_stem
from residua.networks.surgery import deepen

DEPTHS = (10, 50, 100)
TOLERANCE = 0.05
Row = dict[str, Any]


def linear(width: int) -> nn.Linear:
    layer = nn.Linear(width, width, bias=False)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return layer


def branch(width: int, layers: int) -> nn.Sequential:
    """Returns m layers of BN–ReLU–linear."""
    return nn.Sequential(*(one for _ in range(layers) for one in (nn.BatchNorm1d(width), nn.ReLU(), linear(width))))


def row(quantity: str, predicted: float, measured: list[float], *, logarithmic: bool = False) -> Row:
    """Returns a quantity's line: predicted, measured over the seeds, verdict."""
    found = spread(measured)
    one, other = (log(predicted), log(found["median"])) if logarithmic else (predicted, found["median"])
    within = abs(other - one) <= TOLERANCE * abs(one)
    return {"quantity": quantity, "predicted": predicted, "measured": found, "verdict": verdict(within)}


def verdict(holds: bool) -> str:
    return "supported" if holds else "contradicted"


def growth(units: list[nn.Module], *, width: int, scale: float | None) -> float:
    """Returns ‖∂L/∂x₀‖ / ‖∂L/∂x_L‖ for normal x₀ and ∂L/∂x_L; ``scale`` is the branches', None for a plain network."""
    start = x = torch.randn(width, width, requires_grad=True)
    for unit in units:
        x = unit(x) if scale is None else x + scale * unit(x)
    gradient = torch.randn_like(x)
    (first,) = torch.autograd.grad(x, start, gradient)
    return float(first.norm() / gradient.norm())


def gradient_rows(width: int, seeds: int) -> Iterator[Row]:
    """Vanishing and exploding at initialisation, by depth."""
    kinds: dict[str, tuple[Callable[[], nn.Module], Callable[[int], float | None], Callable[[int], float]]] = {
        "plain, ReLU–linear–BN": (
            lambda: nn.Sequential(nn.ReLU(), linear(width), nn.BatchNorm1d(width)),
            lambda _: None,
            predictions.plain_with_norm,
        ),
        "residual, BN–ReLU–linear": (
            lambda: branch(width, 1),
            lambda _: 1.0,
            predictions.residual_with_norm,
        ),
        "residual, (BN–ReLU–linear) × 2": (
            lambda: branch(width, 2),
            lambda _: 1.0,
            lambda depth: predictions.residual_with_norm(depth, branch_layers=2),
        ),
        "residual, ReLU–linear, no norm": (
            lambda: nn.Sequential(nn.ReLU(), linear(width)),
            lambda _: 1.0,
            predictions.residual_without_norm,
        ),
        "residual, no norm, branch × 1/√L": (
            lambda: nn.Sequential(nn.ReLU(), linear(width)),
            lambda depth: depth**-0.5,
            lambda depth: predictions.residual_without_norm(depth, scale=depth**-0.5),
        ),
        "residual, branch × 0": (
            lambda: branch(width, 1),
            lambda _: 0.0,
            lambda depth: predictions.residual_without_norm(depth, scale=0.0),
        ),
    }
    for name, (unit, scale, theory) in kinds.items():
        for depth in DEPTHS:
            measured = []
            for seed in range(seeds):
                torch.manual_seed(seed)
                measured.append(growth([unit() for _ in range(depth)], width=width, scale=scale(depth)))
            yield row(f"{name}: gradient ratio, L = {depth}", theory(depth), measured, logarithmic=True)


@torch.no_grad()
def stream(width: int, depth: int) -> tuple[float, float, float]:
    """Returns the channels' variance behind the last block, and its branch's shares of variance and second moment."""
    x = torch.randn(2 * width, width)
    added = x
    for _ in range(depth):
        added = branch(width, 1)(x)
        x = x + added
    before = x - added
    variance, of_branch = x.var(0).mean(), added.var(0).mean()
    moment = added.square().mean()
    return float(variance), float(of_branch / variance), float(moment / (moment + before.square().mean()))


def stream_rows(width: int, seeds: int) -> Iterator[Row]:
    """Signal propagation of the residual network with one-layer branches."""
    for depth in DEPTHS:
        found = []
        for seed in range(seeds):
            torch.manual_seed(seed)
            found.append(stream(width, depth))
        variances, shares, moments = (list(column) for column in zip(*found, strict=True))
        yield row(f"stream's variance behind block {depth}", predictions.stream_variance(depth), variances)
        yield row(f"branch's share of the variance, block {depth}", predictions.share_of_variance(depth), shares)
        yield row(f"branch's share of the second moment, block {depth}", predictions.share_of_moment(depth), moments)


def shattering_rows(width: int, seeds: int) -> Iterator[Row]:
    """Whether gradients by the input resemble noise: a deep plain network beside a residual one."""
    networks: dict[str, Callable[[], list[nn.Module]]] = {
        "plain, 24 layers": lambda: [branch(width, 1) for _ in range(24)],
        "residual, 24 layers": lambda: [Residual(branch(width, 1)) for _ in range(24)],
    }
    kept: dict[str, list[float]] = {}
    for name, units in networks.items():
        found = []
        for seed in range(seeds):
            torch.manual_seed(seed)
            network = nn.Sequential(linear(width), *units(), nn.Linear(width, 10))
            found.append(shattering(opened(network, torch.randn(width, width), torch.randint(0, 10, (width,)))))
        at = found[0].lags.index(1)
        kept[name] = [one.autocorrelation[at] for one in found]
        white, brown = found[0].white[at], found[0].brown[at]
        quantity = f"{name}: correlation of df/dx at lag 1 (white noise {white:.2f}, brown {brown:.2f})"
        more = len(kept) < 2 or min(kept[name]) > max(kept["plain, 24 layers"])
        predicted = "the lower" if len(kept) < 2 else "the higher"
        yield {"quantity": quantity, "predicted": predicted, "measured": spread(kept[name]), "verdict": verdict(more)}


def small(order: Order, *, shortcut: str = "projection", blocks: tuple[int, ...] = (2, 2)) -> NetworkSpec:
    return NetworkSpec(
        stem=small_stem(8),
        blocks=blocks,
        widths=(8, 16)[: len(blocks)],
        order=order,
        shortcut=shortcut,
        norm_on_projection=False,
        in_channels=1,
        classes=10,
    )


def digits(count: int) -> tuple[Tensor, Tensor]:
    images, labels = load_digits(return_X_y=True)
    return torch.tensor(images[:count] / 8 - 1).float().reshape(-1, 1, 8, 8), torch.tensor(labels[:count])


def additive_rows(seeds: int) -> Iterator[Row]:
    """The additive gradient, and what scaled shortcuts make of its direct term."""
    images, labels = digits(64)
    for order in ("original", "full_preactivation"):
        cases = [opened(build(small(order), seed=seed), images, labels) for seed in range(seeds)]
        checks = [additive_check(case) for case in cases]
        errors = [max(block.error for block in check.blocks) for check in checks]
        exact = not any(check.failed for check in checks)
        quantity = f"{order}: largest ‖g_x − J_sᵀg − J_Fᵀg‖ / ‖g_x‖ of all blocks, {checks[0].precision}"
        yield {"quantity": quantity, "predicted": 0.0, "measured": spread(errors), "verdict": verdict(exact)}
    for scale, blocks in ((0.5, 6), (0.9, 6)):
        direct = []
        for seed in range(seeds):
            spec = small("full_preactivation", shortcut="scaled", blocks=(blocks,))
            spec = NetworkSpec(**{**vars(spec), "shortcut_scale": scale})
            flow = gradient_flow(opened(build(spec, seed=seed), images, labels), batches=1)
            terms = [(one.shortcut, one.stream) for one in flow.places if one.kind == "addition"]
            direct.append(prod(term.median / whole.median for term, whole in terms if term is not None))
        yield row(f"shortcuts × {scale}, {blocks} blocks: product of the direct terms", scale**blocks, direct)


def loss_after(network: ResidualNetwork, images: Tensor, labels: Tensor, *, steps: int) -> float:
    """Returns the training loss after so many steps."""
    optimizer = torch.optim.SGD(network.train().parameters(), lr=0.02, momentum=0.9)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
    with torch.no_grad():
        return float(nn.functional.cross_entropy(network(images), labels))


def deepening_rows(seeds: int) -> Iterator[Row]:
    """Identity deepening: nothing changes, and the new blocks learn."""
    images, labels = digits(256)
    orders: tuple[Order, ...] = ("original", "relu_before_addition", "relu_only_preactivation", "full_preactivation")
    for order in orders:
        apart, gradients, fallen = [], [], []
        for seed in range(seeds):
            network = build(small(order), seed=seed)
            loss_after(network, images, labels, steps=10)
            deeper = deepen(network, 1, 2, seed=seed)
            with torch.no_grad():
                pairs = [(network.train(mode)(images), deeper.train(mode)(images)) for mode in (False, True)]
                before = float(nn.functional.cross_entropy(pairs[1][0], labels))
            apart.append(max(float((one - other).abs().max()) for one, other in pairs))
            nn.functional.cross_entropy(deeper(images), labels).backward()
            new = [p.grad for block in list(deeper.stages[0].children())[-2:] for p in block.parameters()]
            gradients.append(sum(float(one.square().sum()) for one in new if one is not None) ** 0.5)
            fallen.append(before - loss_after(deeper, images, labels, steps=20))
        name = f"{order}, two identity blocks more"
        yield row(f"{name}: largest change of a logit", 0.0, apart)
        positive = {"predicted": "above 0"}
        for quantity, values in (("gradient in the new blocks", gradients), ("fall of the loss in 20 steps", fallen)):
            found = {"measured": spread(values), "verdict": verdict(min(values) > 0)}
            yield {"quantity": f"{name}: {quantity}", **positive, **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    machine.prepare_process()
    began = time.perf_counter()
    print(f"width and batch {asked.width}, {asked.seeds} seeds; 1/√L leads to √e = {e**0.5:.4f}")
    rows = []
    for part in (
        gradient_rows(asked.width, asked.seeds),
        stream_rows(asked.width, asked.seeds),
        additive_rows(asked.seeds),
        shattering_rows(asked.width, asked.seeds),
        deepening_rows(asked.seeds),
    ):
        for one in part:
            found, predicted = one["measured"], one["predicted"]
            said = predicted if isinstance(predicted, str) else f"{predicted:.4g}"
            between = f"{found['median']:.4g} ({found['min']:.4g} to {found['max']:.4g})"
            print(f"{one['verdict']:12} {one['quantity']}: predicted {said}, measured {between}", flush=True)
            rows.append(one)
    seconds = time.perf_counter() - began
    found = {"width": asked.width, "batch": asked.width, "seeds": asked.seeds, "seconds": seconds, "rows": rows}
    write("predictions", "python benchmarks/predictions.py", found)


if __name__ == "__main__":
    main()
