"""Draws small networks of which it is known what is wrong with them, or that nothing is.

A network is drawn by its fault and a number: architecture, depth, width, activation, data and optimizer come from a
generator seeded with both, so that networks of even and odd numbers are independent draws.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, Optimizer

EXAMPLES = 640
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A healthy network, before a fault is put in."""

    seed: int
    convolutional: bool
    residual: bool
    norm: bool
    depth: int
    """Weighted layers."""
    width: int
    activation: str
    gain: float = 1.0
    """Of the weights over He's (Xavier's for tanh and sigmoid); 0 leaves torch's defaults."""
    shortcut_scale: float = 1.0
    colours: bool = False
    """Synthetic colour images in place of digits."""
    optimizer: str = "sgd"
    rate: float = 1.0
    """Learning rate over the usual one."""
    unit_range: bool = False
    """Inputs of 0 to 1 in place of mean 0 and standard deviation 1."""
    trained: int = 0
    """Steps that it has learned for before it is looked at."""

    def __str__(self) -> str:
        kind = f"{'residual' if self.residual else 'plain'} {'convolutional' if self.convolutional else 'perceptron'}"
        norm = "batch norm" if self.norm else "no norm"
        data = "colours" if self.colours else "digits"
        size = f"{self.depth} layers of {self.width}"
        more = (", inputs 0 to 1" if self.unit_range else "") + (
            f", after {self.trained} steps" if self.trained else ""
        )
        return f"{kind}, {size}, {self.activation}, {norm}, {data}, {self.optimizer} × {self.rate:g}{more}"


@dataclass(kw_only=True)
class Subject:
    """What is diagnosed."""

    plan: Plan
    fault: str
    module: nn.Module
    inputs: Tensor
    labels: Tensor
    optimizer: Optimizer


class Block(nn.Module):
    """h + branch(h), with two layers in the branch."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.scale = plan.shortcut_scale
        self.branch = nn.Sequential(*unit(plan), *unit(plan))
        if not plan.norm:
            nn.init.zeros_(self.branch[-1].weight)  # type: ignore[arg-type]

    def forward(self, h: Tensor) -> Tensor:
        return (h if self.scale == 1 else self.scale * h) + self.branch(h)


def layer(plan: Plan, inputs: int, *, stride: int = 1) -> nn.Module:
    convolution = plan.convolutional
    made = nn.Conv2d(inputs, plan.width, 3, stride, 1) if convolution else nn.Linear(inputs, plan.width)
    if plan.gain:
        variance = (2 if plan.activation in ("relu", "gelu") else 1) / made.weight[0].numel()
        nn.init.normal_(made.weight, std=plan.gain * variance**0.5)
        nn.init.zeros_(made.bias)  # type: ignore[arg-type]
    return made


def norms(plan: Plan) -> list[nn.Module]:
    return [(nn.BatchNorm2d if plan.convolutional else nn.BatchNorm1d)(plan.width)] if plan.norm else []


def unit(plan: Plan) -> list[nn.Module]:
    """Returns norm, activation and layer, in the order of full pre-activation."""
    return [*norms(plan), ACTIVATIONS[plan.activation](), layer(plan, plan.width)]


def build(plan: Plan) -> nn.Sequential:
    """Returns stem, layers or blocks, and head; a residual network without norm starts with branches at zero."""
    colours = 3 if plan.colours else 1
    stem = [layer(plan, colours, stride=2)] if plan.convolutional else [nn.Flatten(), layer(plan, 64 * colours)]
    if plan.residual:
        body = [Block(plan) for _ in range((plan.depth - 2) // 2)]
    else:
        body = [one for _ in range(plan.depth - 2) for one in unit(plan)]
    head = nn.Linear(plan.width * (16 if plan.convolutional else 1), 10)
    # flattened, not averaged, so that small networks learn in few steps
    return nn.Sequential(*stem, *body, *norms(plan), ACTIVATIONS[plan.activation](), nn.Flatten(), head)


def data(plan: Plan) -> tuple[Tensor, Tensor]:
    """Returns inputs, and labels of ten classes."""
    generator = np.random.default_rng(plan.seed)
    if plan.colours:
        labels = generator.integers(0, 10, EXAMPLES)
        centres = np.random.default_rng(0).normal(size=(10, 3, 8, 8))
        inputs = centres[labels] + generator.normal(size=(EXAMPLES, 3, 8, 8))
    else:
        from sklearn.datasets import load_digits

        images, targets = load_digits(return_X_y=True)
        chosen = generator.permutation(len(images))[:EXAMPLES]
        inputs, labels = images[chosen].reshape(-1, 1, 8, 8), targets[chosen]
    if plan.unit_range:
        inputs = (inputs - inputs.min()) / (inputs.max() - inputs.min())
    else:
        inputs = (inputs - inputs.mean()) / inputs.std()
    return torch.tensor(inputs, dtype=torch.float32), torch.tensor(labels, dtype=torch.int64)


def optimizer_of(plan: Plan, module: nn.Module, *, rate: float = 1.0, decay: float = 1.0) -> Optimizer:
    """Returns the plan's optimizer, its learning rate and its weight decay times factors."""
    parameters, rate = list(module.parameters()), rate * plan.rate
    if plan.optimizer == "sgd":
        return SGD(parameters, lr=0.02 * rate, momentum=0.9, weight_decay=5e-4 * decay)
    if plan.optimizer == "adam":
        return Adam(parameters, lr=1e-3 * rate, weight_decay=5e-4 * decay)
    return AdamW(parameters, lr=1e-3 * rate, weight_decay=1e-2 * decay)


def drawn(fault: str, number: int) -> Plan:
    """Draws a healthy plan: plain networks shallow, residual ones up to 60 layers."""
    draw = random.Random(f"{fault} {number}")
    residual, norm = draw.random() < 0.5, draw.random() < 0.5
    convolutional = draw.random() < 0.4
    return Plan(
        seed=draw.randrange(10**6),
        convolutional=convolutional,
        residual=residual,
        norm=norm,
        depth=draw.choice(((10, 16, 24) if convolutional else (10, 20, 40, 60)) if residual else (4, 6, 8, 10)),
        width=draw.choice((16, 24, 32) if convolutional else (32, 64, 128)),
        activation=draw.choice(("relu", "relu", "gelu", "tanh") if not residual else ("relu", "relu", "gelu")),
        colours=draw.random() < 0.4,
        optimizer=draw.choice(("sgd", "adam", "adamw")),
    )


def deep(plan: Plan, low: int, high: int, **changes: object) -> Plan:
    """Returns a plain plan of another depth."""
    depth = random.Random(plan.seed).randrange(low, high + 1)
    return replace(plan, residual=False, depth=depth, **changes)  # type: ignore[arg-type]


def _of_plan(change: Callable[[Plan], Plan]) -> Callable[[Plan, str], Subject]:
    def make(plan: Plan, fault: str) -> Subject:
        return subject(change(plan), fault)

    return make


def subject(plan: Plan, fault: str) -> Subject:
    """Builds a plan as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        module = build(plan)
    inputs, labels = data(plan)
    return Subject(
        plan=plan, fault=fault, module=module, inputs=inputs, labels=labels, optimizer=optimizer_of(plan, module)
    )


def healthy(plan: Plan, fault: str) -> Subject:
    """Returns a healthy network, of more kinds than those that faults are put into; every third has begun to learn."""
    draw = random.Random(plan.seed)
    changes = {"rate": draw.choice((0.5, 1.0, 2.0)), "unit_range": draw.random() < 0.25}
    made = subject(replace(plan, **changes, trained=draw.choice((0, 0, 60))), fault)
    order = torch.Generator().manual_seed(plan.seed)
    for _ in range(made.plan.trained):
        places = torch.randperm(EXAMPLES, generator=order)[:64]
        made.optimizer.zero_grad()
        functional.cross_entropy(made.module(made.inputs[places]), made.labels[places]).backward()
        made.optimizer.step()
    return made


def _norm_in_eval(plan: Plan, fault: str) -> Subject:
    made = subject(replace(plan, norm=True), fault)
    for one in made.module.modules():
        if isinstance(one, (nn.BatchNorm1d, nn.BatchNorm2d)):
            one.eval()
    return made


def _rate(plan: Plan, fault: str) -> Subject:
    made = subject(plan, fault)
    return replace(made, optimizer=optimizer_of(plan, made.module, rate=100))


def _decay(plan: Plan, fault: str) -> Subject:
    made = subject(plan, fault)
    return replace(made, optimizer=optimizer_of(plan, made.module, decay=100))


def _dead(plan: Plan, fault: str) -> Subject:
    """Biases so negative that the ReLUs behind some layer, or behind its norm, give nothing."""
    made = subject(replace(plan, activation="relu", residual=False, depth=min(plan.depth, 10)), fault)
    shifts = [
        before
        for before, after in zip(made.module.children(), list(made.module.children())[1:], strict=False)
        if isinstance(after, nn.ReLU)
    ]
    for one in random.Random(plan.seed).sample(shifts, max(1, len(shifts) // 2)):
        nn.init.constant_(one.bias, -20.0)  # type: ignore[arg-type]
    return made


def _frozen(plan: Plan, fault: str) -> Subject:
    made = subject(plan, fault)
    stem = next(one for one in made.module.modules() if isinstance(one, (nn.Linear, nn.Conv2d)))
    stem.requires_grad_(False)
    return made


def _asleep(plan: Plan, fault: str) -> Subject:
    """Both layers of every branch at zero, so that neither gets a gradient."""
    made = subject(replace(plan, residual=True, norm=False, depth=max(plan.depth, 10)), fault)
    for one in made.module.modules():
        if isinstance(one, Block):
            for parameter in one.parameters():
                nn.init.zeros_(parameter)
    return made


def _raw(plan: Plan, fault: str) -> Subject:
    """Levels of 0 to 255."""
    made = subject(plan, fault)
    low, high = made.inputs.min(), made.inputs.max()
    return replace(made, inputs=255 * (made.inputs - low) / (high - low))


def _shuffled(plan: Plan, fault: str) -> Subject:
    made = subject(plan, fault)
    places = torch.randperm(len(made.labels), generator=torch.Generator().manual_seed(plan.seed))
    return replace(made, labels=made.labels[places])


def _softmax(plan: Plan, fault: str) -> Subject:
    made = subject(plan, fault)
    module = nn.Sequential(*made.module.children(), nn.Softmax(1))
    return replace(made, module=module)


FAULTS: dict[str, tuple[Callable[[Plan, str], Subject], tuple[str, ...]]] = {
    "healthy": (healthy, ()),
    "stack of sigmoids": (
        _of_plan(lambda plan: deep(plan, 6, 30, norm=False, activation="sigmoid")),
        ("sigmoid activations", "saturated activations"),
    ),
    "saturated tanhs": (
        _of_plan(lambda plan: deep(plan, 6, 30, norm=False, activation="tanh", gain=6.0)),
        ("saturated activations",),
    ),
    "missing initialisation": (
        _of_plan(lambda plan: deep(plan, 12, 40, norm=False, activation="relu", gain=0.0)),
        ("wrong initialisation",),
    ),
    "wrong initialisation": (
        _of_plan(lambda plan: deep(plan, 10, 40, norm=False, activation="relu", gain=(0.5, 2.0)[plan.seed % 2])),
        ("wrong initialisation",),
    ),
    "norm in evaluation mode": (_norm_in_eval, ("norm in evaluation mode",)),
    "learning rate × 100": (_rate, ("update too large",)),
    "weight decay × 100": (_decay, ("weight decay too strong",)),
    "dead ReLUs": (_dead, ("dead units",)),
    "frozen stem": (_frozen, ("frozen layers",)),
    "scaled shortcuts": (
        _of_plan(
            lambda plan: replace(
                plan,
                residual=True,
                depth=max(plan.depth, 12),
                shortcut_scale=(0.5, 0.7, 1.5)[plan.seed % 3],
                activation="relu",
            )
        ),
        ("shortcuts are scaled",),
    ),
    "dead zero-initialised blocks": (_asleep, ("blocks that never wake",)),
    "inputs not normalised": (_raw, ("inputs not normalised",)),
    "shuffled labels": (_shuffled, ("labels say nothing",)),
    "softmax before cross-entropy": (_softmax, ("softmax before the loss",)),
    "deep plain network": (
        _of_plan(lambda plan: deep(plan, 30, 60, norm=True, activation="relu")),
        ("deep plain network",),
    ),
}
"""By name: how a drawn plan gets the fault, and which rules name it rightly."""


def make(fault: str, number: int) -> Subject:
    """Returns one network with a fault, or a healthy one, with what it learns from."""
    return FAULTS[fault][0](drawn(fault, number), fault)
