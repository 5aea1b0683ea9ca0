"""Whether a block's gradient is its shortcut's plus its branch's, and what all shortcuts together let through."""

from math import prod

from torch import nn

from residua.diagnostics.additive import additive_check
from residua.diagnostics.gradients import GradientPlace, gradient_flow
from residua.networks.network import ResidualNetwork
from residua.studies.dense import case_of
from residua.studies.trial import Measure, Measurement, Trial

EXAMPLES = 64


def additive(trial: Trial) -> Measurement:
    """Checks every block by two vector–Jacobian products of its own (`residua.diagnostics.additive`).

    Numbers: ``error``, the largest ‖g_x − J_sᵀg − J_Fᵀg‖ / ‖g_x‖ of all blocks; ``slope_error``, how far a branch's
    product lies from the slope of its values, the largest; ``direct``, the product over the blocks of ‖J_sᵀg‖ / ‖g‖,
    what all shortcuts together leave of the gradient, and ``predicted_direct``, the product of their scales, where
    all are the identity or that times a scale. Series: ``direct`` of each block, ``branch`` likewise.
    """
    case = case_of(trial, EXAMPLES)
    check = additive_check(case)
    flow = gradient_flow(case, size=EXAMPLES, batches=1)
    blocks = [one for one in flow.places if one.kind == "addition"]
    parts = {
        "direct": [one.shortcut.median / one.stream.median for one in blocks if one.shortcut is not None],
        "branch": [one.branch.median / one.stream.median for one in blocks if one.branch is not None],
    }
    numbers = {
        "error": max(one.error for one in check.blocks),
        "slope_error": max(one.slope_error or 0.0 for one in check.blocks),
        "direct": prod(parts["direct"]),
    }
    if (predicted := _predicted(case.module, blocks)) is not None:
        numbers["predicted_direct"] = predicted
    series = {name: tuple((float(block), one) for block, one in enumerate(ones, 1)) for name, ones in parts.items()}
    return Measurement(numbers=numbers, series=series)


def _predicted(network: nn.Module, blocks: list[GradientPlace]) -> float | None:
    """Returns λ^L for shortcuts λx, 1 for identities (He et al. 2016, Eqs. 5 and 8); None for any other."""
    if isinstance(network, ResidualNetwork) and network.spec.shortcut == "scaled":
        return network.spec.shortcut_scale ** len(blocks) if all(one.keeps_shape for one in blocks) else None
    return 1.0 if all(one.shortcut_kind == "identity" for one in blocks) else None


ADDITIVE = Measure("additive", additive)
