"""torchvision's residual networks, written here a second time from their published definition."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Size:
    """What tells one of torchvision's residual networks from another, in its own words."""

    blocks: tuple[int, int, int, int]
    expansion: int
    width_per_group: int = 64
    groups: int = 1

    def width(self, planes: int) -> int:
        return planes * self.width_per_group // 64 * self.groups


SIZES = {
    "resnet18": Size((2, 2, 2, 2), 1),
    "resnet34": Size((3, 4, 6, 3), 1),
    "resnet50": Size((3, 4, 6, 3), 4),
    "resnet101": Size((3, 4, 23, 3), 4),
    "resnet152": Size((3, 8, 36, 3), 4),
    "resnext50_32x4d": Size((3, 4, 6, 3), 4, 4, 32),
    "resnext101_32x8d": Size((3, 4, 23, 3), 4, 8, 32),
    "resnext101_64x4d": Size((3, 4, 23, 3), 4, 4, 64),
    "wide_resnet50_2": Size((3, 4, 6, 3), 4, 128),
    "wide_resnet101_2": Size((3, 4, 23, 3), 4, 128),
}


def norm_shapes(name: str, channels: int) -> Shapes:
    fields = ("weight", "bias", "running_mean", "running_var")
    return {**{f"{name}.{field}": (channels,) for field in fields}, f"{name}.num_batches_tracked": ()}


def shapes_of(size: Size, classes: int = 1000) -> Shapes:
    shapes: Shapes = {"conv1.weight": (64, 3, 7, 7), **norm_shapes("bn1", 64)}
    into = 64
    for layer, (planes, count) in enumerate(zip((64, 128, 256, 512), size.blocks, strict=True), start=1):
        width, out = size.width(planes), planes * size.expansion
        for block in range(count):
            at = f"layer{layer}.{block}"
            if size.expansion == 1:
                kernels = [(planes, into, 3, 3), (planes, planes, 3, 3)]
            else:
                kernels = [(width, into, 1, 1), (width, width // size.groups, 3, 3), (out, width, 1, 1)]
            for number, kernel in enumerate(kernels, start=1):
                shapes |= {f"{at}.conv{number}.weight": kernel, **norm_shapes(f"{at}.bn{number}", kernel[0])}
            if block == 0 and (layer > 1 or into != out):
                shapes |= {f"{at}.downsample.0.weight": (out, into, 1, 1), **norm_shapes(f"{at}.downsample.1", out)}
            into = out
    return shapes | {"fc.weight": (classes, into), "fc.bias": (classes,)}


def tensors_of(size: Size, classes: int = 1000) -> dict[str, Tensor]:
    """Tensors with torchvision's names and shapes and different numbers in each."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.rand(shape, generator=generator) if shape else torch.tensor(index)
        for index, (name, shape) in enumerate(shapes_of(size, classes).items())
    }


class TheirBlock(nn.Module):
    """A basic block or a bottleneck with the stride on its 3×3 convolution."""

    def __init__(self, size: Size, into: int, planes: int, stride: int) -> None:
        super().__init__()
        width, out = size.width(planes), planes * size.expansion
        if size.expansion == 1:
            self.conv1 = nn.Conv2d(into, planes, 3, stride, 1, bias=False)
            self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        else:
            self.conv1 = nn.Conv2d(into, width, 1, bias=False)
            self.conv2 = nn.Conv2d(width, width, 3, stride, 1, groups=size.groups, bias=False)
            self.conv3 = nn.Conv2d(width, out, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(out)
        self.bn1 = nn.BatchNorm2d(self.conv1.out_channels)
        self.bn2 = nn.BatchNorm2d(self.conv2.out_channels)
        if stride != 1 or into != out:
            self.downsample = nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        if hasattr(self, "conv3"):
            y = self.bn3(self.conv3(y.relu()))
        return (y + (self.downsample(x) if hasattr(self, "downsample") else x)).relu()


class TheirNetwork(nn.Module):
    def __init__(self, size: Size, classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        into = 64
        for layer, (planes, count) in enumerate(zip((64, 128, 256, 512), size.blocks, strict=True), start=1):
            blocks = []
            for block in range(count):
                blocks.append(TheirBlock(size, into, planes, 2 if layer > 1 and block == 0 else 1))
                into = planes * size.expansion
            setattr(self, f"layer{layer}", nn.Sequential(*blocks))
        self.fc = nn.Linear(into, classes)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.0)
                nn.init.uniform_(module.bias, -0.5, 0.5)
                nn.init.uniform_(module.running_mean, -0.5, 0.5)  # type: ignore[arg-type]
                nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, 2, 1)
        for layer in range(1, 5):
            x = getattr(self, f"layer{layer}")(x)
        return self.fc(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))


@pytest.fixture
def their_shapes() -> Callable[[str], Shapes]:
    """Gives the names and shapes of one of torchvision's networks."""
    return lambda name: shapes_of(SIZES[name])


@pytest.fixture
def their_tensors() -> Callable[[str], dict[str, Tensor]]:
    """Gives tensors that one of torchvision's networks may have."""
    return lambda name: tensors_of(SIZES[name])


@pytest.fixture
def their_network() -> Callable[[str], nn.Module]:
    """Gives one of torchvision's networks in evaluation mode, with different statistics in every norm."""

    def made(name: str) -> nn.Module:
        torch.manual_seed(0)
        return TheirNetwork(SIZES[name]).eval()

    return made


@pytest.fixture
def short() -> tuple[dict[str, Tensor], TheirNetwork]:
    """Four blocks and three classes in torchvision's naming: the tensors, and the network that has them."""
    torch.manual_seed(0)
    network = TheirNetwork(Size((1, 1, 1, 1), 1), classes=3).eval()
    return network.state_dict(), network
