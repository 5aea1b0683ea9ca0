"""Networks of linear layers that the theory of initialisation is about, and the normal inputs that it assumes.

A unit is m layers of norm–activation–linear, as in `residua.diagnostics.predictions`; L units in a row, or each with an
identity shortcut round it, and a linear head. An arm of a study that trains nothing takes a `Dense` for its network:
``Arm(name="plain-50", network=Dense(depth=50, shortcuts=False))``.
"""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from residua.configuration import check, check_choices
from residua.diagnostics.case import Case, opened
from residua.errors import BadNetwork
from residua.networks.initialization import GAINS
from residua.networks.layers import ACTIVATIONS, ActivationKind, FixedScale
from residua.networks.residual import Residual
from residua.studies.trial import Trial

INPUTS_FROM = 2**31
"""Added to a seed for what it draws beside the weights; torch looks at a seed's lower 32 bits alone."""
_HEAD = 10


@final
@dataclass(frozen=True, kw_only=True)
class Dense:
    """What one such network is, as data; called with a seed it makes the network."""

    depth: int
    """L, the number of units."""
    layers: int = 1
    """m, linear layers in a unit."""
    width: int = 256
    """Numbers in the input, and in every layer."""
    activation: ActivationKind = "relu"
    norm: bool = True
    """Whether every unit begins with a batch norm."""
    shortcuts: bool = True
    scale: float = 1.0
    """Factor at the end of every unit, such as 1/√L."""
    gain: float | None = None
    """g of the weights' variance g²/width; None takes the activation's, as the library's networks do: √2 for ReLU
    (He et al. 2015, Delving Deep, Eq. 10), 5/3 for tanh, 1 for sigmoid."""

    def __post_init__(self) -> None:
        check_choices(self)
        check(self.depth >= 1, "depth", self.depth, "a whole number from 1")
        check(self.layers >= 1, "layers", self.layers, "a whole number from 1")
        check(self.width >= 2, "width", self.width, "a whole number from 2")

    def __call__(self, seed: int) -> "DenseNetwork":
        """Returns the network with weights drawn from a seed; the global random state is left alone."""
        return DenseNetwork(self, torch.Generator().manual_seed(seed))


@final
class DenseNetwork(nn.Module):
    """Applies the units and the head to inputs, each flattened to ``width`` numbers."""

    def __init__(self, spec: Dense, generator: torch.Generator) -> None:
        super().__init__()
        self.spec = spec
        self.units = nn.Sequential(*(_unit(spec, generator) for _ in range(spec.depth)))
        self.head = _linear(spec.width, _HEAD, 1.0, generator)

    def forward(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n outputs"]:
        return self.head(self.units(x.flatten(1)))


def case_of(trial: Trial, examples: int) -> Case:
    """Returns a case with so many inputs: `inputs` for a `Dense`, the trial's own images for any other network."""
    network = trial.network()
    if not isinstance(network, DenseNetwork):
        return trial.case(examples)
    return opened(network, inputs(trial, network.spec, examples), name=trial.arm)


def inputs(trial: Trial, spec: Dense, examples: int) -> Float[Tensor, "n width"]:
    """Returns x ~ N(0, 1), drawn from the trial's seed, but other numbers than its weights."""
    generator = torch.Generator().manual_seed(INPUTS_FROM + trial.seed)
    return torch.randn(examples, spec.width, generator=generator)


def require_dense(trial: Trial) -> DenseNetwork:
    """Returns the trial's network.

    Raises:
        BadNetwork: If it is no `Dense`.
    """
    network = trial.network()
    if not isinstance(network, DenseNetwork):
        raise BadNetwork(
            f"{trial.arm}: a {type(network).__name__} has no units to measure; "
            "give the arm a residua.studies.dense.Dense"
        )
    return network


def _unit(spec: Dense, generator: torch.Generator) -> nn.Module:
    gain = float(GAINS[spec.activation]) if spec.gain is None else spec.gain
    layers: list[nn.Module] = []
    for _ in range(spec.layers):
        layers += [nn.BatchNorm1d(spec.width)] if spec.norm else []
        layers += [ACTIVATIONS[spec.activation](), _linear(spec.width, spec.width, gain, generator)]
    layers += [] if spec.scale == 1 else [FixedScale(spec.scale)]
    unit = nn.Sequential(*layers)
    return Residual(unit) if spec.shortcuts else unit


def _linear(into: int, out: int, gain: float, generator: torch.Generator) -> nn.Linear:
    layer = nn.Linear(into, out, bias=False, device="meta").to_empty(device="cpu")
    with torch.no_grad():
        layer.weight.normal_(0.0, gain / into**0.5, generator=generator)
    return layer
