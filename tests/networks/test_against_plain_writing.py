"""Every preset's layers against an independent writing of the papers' formulas: values and all gradients.

The networks are thin (4 channels and up, two blocks a stage) and in double precision; the kinds of blocks,
where strides, norms, biases and shortcuts stand, are the preset's own. What each name should be is written
here by hand and not read off its specification.
"""

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from residua.networks import catalogue
from residua.networks.network import ResidualNetwork, build
from residua.networks.spec import NetworkSpec, photograph_stem, small_stem

Numbers = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Written:
    """One network as the reader of the papers would write it."""

    photographs: bool
    bottleneck: bool = False
    preactivation: bool = False
    stride_on_first: bool = False
    shortcut: str = "B"
    norm: bool = True
    bias: bool = False
    norm_on_projection: bool = True
    training: bool = True

    def network(self, images: Tensor, numbers: Numbers, blocks: tuple[tuple[int, int], ...]) -> Tensor:
        x = self.convolution(images, within(numbers, "stem."), "convolution", 2 if self.photographs else 1)
        if self.photographs or not self.preactivation:
            x = torch.relu(self.normed(x, within(numbers, "stem."), "norm"))
        if self.photographs:
            x = functional.max_pool2d(x, 3, 2, 1)
        for stage, block in blocks:
            own = within(numbers, f"stages.{stage}.{block}.")
            stride = 2 if stage > 0 and block == 0 else 1
            is_first = (stage, block) == (0, 0)
            x = self.block(x, own, stride, is_first=is_first)
        if self.preactivation:
            x = torch.relu(self.normed(x, within(numbers, "tail."), "norm"))
        pooled = x.flatten(2).sum(2) / (x.shape[2] * x.shape[3])
        return pooled @ numbers["head.weight"].T + numbers["head.bias"]

    def block(self, x: Tensor, numbers: Numbers, stride: int, *, is_first: bool) -> Tensor:
        if self.preactivation:
            return self.preactivated_block(x, numbers, stride, is_first=is_first)
        f = self.residual(x, within(numbers, "residual."), stride, norms_from=1)
        f = self.normed(f, within(numbers, "residual."), f"norm{3 if self.bottleneck else 2}")
        if self.shortcut == "none":
            return torch.relu(f)
        return torch.relu(f + self.around(x, f, numbers, stride))

    def preactivated_block(self, x: Tensor, numbers: Numbers, stride: int, *, is_first: bool) -> Tensor:
        inside = within(numbers, "residual.")
        out_channels = inside[f"convolution{3 if self.bottleneck else 2}.weight"].shape[0]
        if is_first and self.photographs:
            h, norms_from = x, 1
        elif is_first or stride > 1 or out_channels != x.shape[1]:
            x = torch.relu(self.normed(x, within(numbers, "entry."), "norm"))
            h, norms_from = x, 1
        else:
            h, norms_from = torch.relu(self.normed(x, inside, "norm1")), 2
        f = self.residual(h, inside, stride, norms_from=norms_from)
        return f if self.shortcut == "none" else f + self.around(x, f, numbers, stride)

    def residual(self, x: Tensor, numbers: Numbers, stride: int, *, norms_from: int) -> Tensor:
        """The convolutions with norm and activation between them."""
        if not self.bottleneck:
            h = self.convolution(x, numbers, "convolution1", stride)
            h = torch.relu(self.normed(h, numbers, f"norm{norms_from}"))
            return self.convolution(h, numbers, "convolution2", 1)
        first, middle = (stride, 1) if self.stride_on_first else (1, stride)
        h = self.convolution(x, numbers, "convolution1", first)
        h = torch.relu(self.normed(h, numbers, f"norm{norms_from}"))
        h = self.convolution(h, numbers, "convolution2", middle)
        h = torch.relu(self.normed(h, numbers, f"norm{norms_from + 1}"))
        return self.convolution(h, numbers, "convolution3", 1)

    def around(self, x: Tensor, f: Tensor, numbers: Numbers, stride: int) -> Tensor:
        """The shortcut, by its option's letter."""
        if x.shape == f.shape and self.shortcut != "C":
            return x
        if self.shortcut == "A":
            zeros = torch.zeros_like(f[:, x.shape[1] :])
            return torch.cat([x[:, :, ::stride, ::stride], zeros], dim=1)
        own = within(numbers, "shortcut.projection.")
        if self.shortcut in ("mean", "max"):
            x, stride = (pooled(x, self.shortcut) if stride == 2 else x), 1
            if x.shape[1] == f.shape[1]:
                return x
        projected = self.convolution(x, own, "convolution", stride)
        return self.normed(projected, own, "norm") if self.norm_on_projection else projected

    def convolution(self, x: Tensor, numbers: Numbers, name: str, stride: int) -> Tensor:
        weight = numbers[f"{name}.weight"]
        bias = numbers[f"{name}.bias"] if self.bias else None
        assert self.bias or f"{name}.bias" not in numbers
        return functional.conv2d(x, weight, bias, stride, weight.shape[2] // 2)

    def normed(self, x: Tensor, numbers: Numbers, name: str) -> Tensor:
        """Batch norm by its formula (Ioffe and Szegedy 2015, Alg. 1)."""
        if not self.norm:
            return x
        mean, variance = numbers[f"{name}.running_mean"], numbers[f"{name}.running_var"]
        if self.training:
            mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
        x = (x - each(mean)) / (each(variance) + 1e-5).sqrt()
        return x * each(numbers[f"{name}.weight"]) + each(numbers[f"{name}.bias"])


def each(channels: Tensor) -> Tensor:
    return channels[:, None, None]


def within(numbers: Numbers, prefix: str) -> Numbers:
    return {name.removeprefix(prefix): value for name, value in numbers.items() if name.startswith(prefix)}


def pooled(x: Tensor, how: str) -> Tensor:
    """2×2 windows, the last ones cut off at the border."""
    rows = []
    for i in range(0, x.shape[2], 2):
        windows = [x[:, :, i : i + 2, j : j + 2] for j in range(0, x.shape[3], 2)]
        rows.append(torch.stack([w.mean((2, 3)) if how == "mean" else w.amax((2, 3)) for w in windows], dim=2))
    return torch.stack(rows, dim=2)


PHOTOGRAPHS = Written(photographs=True)
BOTTLENECKS = Written(photographs=True, bottleneck=True)
SMALL = Written(photographs=False, shortcut="A")
SMALL_BOTTLENECKS = Written(photographs=False, bottleneck=True, stride_on_first=True)
PREACTIVATION = replace(SMALL_BOTTLENECKS, preactivation=True, norm_on_projection=False)
WITHOUT_NORM = Written(photographs=True, norm=False, bias=True, norm_on_projection=False)

EXPECTED = {
    **dict.fromkeys(("resnet18", "resnet34"), PHOTOGRAPHS),
    **dict.fromkeys(("resnet50", "resnet101", "resnet152", "resnet200"), BOTTLENECKS),
    **{f"resnet{depth}": SMALL for depth in (8, 14, 20, 32, 44, 56, 110, 1202)},
    **dict.fromkeys(("resnet164", "resnet1001"), SMALL_BOTTLENECKS),
    **dict.fromkeys(("resnet164-preactivation", "resnet1001-preactivation"), PREACTIVATION),
    **{f"resnet{depth}-average-pooled": replace(SMALL, shortcut="mean") for depth in (8, 14, 20)},
    "resnet18-small-stem": Written(photographs=False),
    "resnet18-textbook": Written(photographs=True, bias=True, norm_on_projection=False),
    "resnet34-no-norm": WITHOUT_NORM,
    "resnet34-pooled": replace(WITHOUT_NORM, shortcut="mean"),
}

SMALL_SPEC = NetworkSpec(stem=small_stem(4), blocks=(2, 2), widths=(4, 8), classes=3)
FURTHER = {
    "option C": (
        replace(SMALL_SPEC, shortcut="projection_everywhere"),
        Written(photographs=False, shortcut="C"),
    ),
    "option D, maxima": (
        replace(SMALL_SPEC, shortcut="max_pooled"),
        Written(photographs=False, shortcut="max"),
    ),
    "pooled where channels agree": (
        replace(SMALL_SPEC, shortcut="average_pooled", widths=(4, 4)),
        Written(photographs=False, shortcut="mean"),
    ),
    "pre-activation, basic, padded": (
        replace(SMALL_SPEC, order="full_preactivation", shortcut="padded"),
        Written(photographs=False, preactivation=True, shortcut="A"),
    ),
    "pre-activation, option C": (
        replace(SMALL_SPEC, order="full_preactivation", shortcut="projection_everywhere", norm_on_projection=False),
        Written(photographs=False, preactivation=True, shortcut="C", norm_on_projection=False),
    ),
    "pre-activation for photographs": (
        replace(
            SMALL_SPEC,
            stem=photograph_stem(4),
            block="bottleneck",
            order="full_preactivation",
            norm_on_projection=False,
        ),
        Written(photographs=True, bottleneck=True, preactivation=True, norm_on_projection=False),
    ),
    "pre-activation without norm": (
        replace(
            SMALL_SPEC,
            stem=small_stem(4, bias=True),
            order="full_preactivation",
            norm="none",
            norm_on_projection=False,
            bias=True,
        ),
        Written(photographs=False, preactivation=True, norm=False, bias=True, norm_on_projection=False),
    ),
}


def cases() -> list[Any]:
    """One case for each network that differs from the others once it is thin."""
    names: defaultdict[tuple[NetworkSpec, Written], list[str]] = defaultdict(list)
    for name, written in EXPECTED.items():
        twin = catalogue.plain_name(name)
        names[thin(catalogue.specification(name)), written].append(name)
        names[thin(catalogue.specification(twin)), replace(written, shortcut="none")].append(twin)
    for name, (spec, written) in FURTHER.items():
        names[thin(spec), written].append(name)
    return [pytest.param(*case, id=", ".join(same)) for case, same in names.items()]


def thin(spec: NetworkSpec) -> NetworkSpec:
    """The same kinds of blocks with few channels, at most two stages that shrink, two blocks each."""
    stages = min(3, len(spec.blocks))
    widths = tuple(max(1, 4 * width // spec.widths[0]) for width in spec.widths[:stages])
    stem = replace(spec.stem, width=4)
    return replace(spec, stem=stem, blocks=(2,) * stages, widths=widths, in_channels=2, classes=3)


def with_random_numbers(spec: NetworkSpec) -> ResidualNetwork:
    """A network in double precision with no zero anywhere, so that no term of a sum can hide."""
    network = build(spec, seed=0).double()
    generator = torch.Generator().manual_seed(1)
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            value.normal_(0.0, 0.4, generator=generator)
        if name.endswith("running_var"):
            value.square_().add_(0.5)
    return network


def numbers_of(network: ResidualNetwork) -> Numbers:
    """Copies of all parameters and buffers; the parameters' copies take gradients."""
    copies = {name: value.detach().clone() for name, value in network.state_dict().items()}
    for name, _ in network.named_parameters():
        copies[name].requires_grad_(True)
    return copies


def assert_same(ours: Tensor, theirs: Tensor, what: str) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9, msg=lambda text: f"{what}: {text}")


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(("spec", "written"), cases())
def test_the_network_is_what_the_papers_write(spec: NetworkSpec, written: Written, training: bool) -> None:
    """Logits, and the gradient of every parameter and of the images, of the whole network."""
    network = with_random_numbers(spec).train(training)
    theirs = numbers_of(network)
    images = torch.randn(2, 2, 19, 14, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    own, copy = images.clone().requires_grad_(True), images.clone().requires_grad_(True)
    blocks = tuple((stage, block) for stage, count in enumerate(spec.blocks) for block in range(count))
    logits, expected = network(own), replace(written, training=training).network(copy, theirs, blocks)
    assert_same(logits, expected, "logits")
    weights = torch.arange(1.0, 1.0 + logits.numel(), dtype=torch.float64).view_as(logits)
    (logits * weights).sum().backward()
    (expected * weights).sum().backward()
    assert own.grad is not None
    assert copy.grad is not None
    assert_same(own.grad, copy.grad, "images")
    for name, parameter in network.named_parameters():
        gradient = theirs[name].grad
        assert gradient is not None, f"the papers' network does not use {name}"
        assert parameter.grad is not None, name
        assert_same(parameter.grad, gradient, name)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(("spec", "written"), cases())
def test_every_block_is_what_the_papers_write(spec: NetworkSpec, written: Written, training: bool) -> None:
    """Value and gradients of each block alone, on a stream with both signs."""
    network = with_random_numbers(spec).train(training)
    for stage, blocks in enumerate(network.stages):
        for index, block in enumerate(blocks.children()):
            theirs = within(numbers_of(network), f"stages.{stage}.{index}.")
            into = (network.spec.stem.width, *network.spec.out_channels)[stage + (index > 0)]
            x = torch.randn(2, into, 7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
            own, copy = x.clone().requires_grad_(True), x.clone().requires_grad_(True)
            stride = 2 if stage > 0 and index == 0 else 1
            out = block(own)
            expected = replace(written, training=training).block(
                copy, theirs, stride, is_first=(stage, index) == (0, 0)
            )
            assert_same(out, expected, f"block {stage}.{index}")
            parameters = dict(block.named_parameters())
            inputs = [own, *parameters.values()]
            weights = torch.randn(out.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
            ours = torch.autograd.grad((out * weights).sum(), inputs)
            reference = torch.autograd.grad((expected * weights).sum(), [copy, *(theirs[n] for n in parameters)])
            for name, gradient, other in zip(["x", *parameters], ours, reference, strict=True):
                assert_same(gradient, other, f"block {stage}.{index}, {name}")


def test_every_preset_has_its_writing() -> None:
    """A preset added to the catalogue needs its line here."""
    assert set(EXPECTED) == set(catalogue.PRESETS)
