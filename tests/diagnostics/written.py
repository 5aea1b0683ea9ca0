"""Networks as other people write them, in place and not, and each block once more as two formulas.

A block's ``by_hand`` gives F(x) and s(x) without writing into anything; ``closing`` is what follows the addition.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

Terms = tuple[Tensor, Tensor]


class Block(nn.Module):
    """A block that says by hand what its forward pass does."""

    closes: ClassVar[bool] = True

    def by_hand(self, x: Tensor) -> Terms:
        raise NotImplementedError

    def closing(self, y: Tensor) -> Tensor:
        return functional.relu(y) if self.closes else y


class Bottleneck(Block):
    """The photographs' networks: in-place ReLUs, an addition in place, a projection called ``downsample``."""

    def __init__(self, into: int, width: int, stride: int = 1) -> None:
        super().__init__()
        out = 4 * width
        self.conv1, self.bn1 = nn.Conv2d(into, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        changes = stride > 1 or into != out
        projection = nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        self.downsample = projection if changes else None

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)

    def by_hand(self, x: Tensor) -> Terms:
        out = torch.relu(self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))))
        return self.bn3(self.conv3(out)), x if self.downsample is None else self.downsample(x)


class ResNet50(nn.Module):
    """3, 4, 6 and 3 bottlenecks, narrow."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu = nn.Conv2d(3, 4, 3, 1, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True)
        self.layer1 = self._layer(4, 2, 3, 1)
        self.layer2 = self._layer(8, 4, 4, 2)
        self.layer3 = self._layer(16, 8, 6, 2)
        self.layer4 = self._layer(32, 16, 3, 2)
        self.fc = nn.Linear(64, 5)

    @staticmethod
    def _layer(into: int, width: int, blocks: int, stride: int) -> nn.Sequential:
        rest = (Bottleneck(4 * width, width) for _ in range(blocks - 1))
        return nn.Sequential(Bottleneck(into, width, stride), *rest)

    def stem(self, x: Tensor) -> Tensor:
        return self.relu(self.bn1(self.conv1(x)))

    def head(self, x: Tensor) -> Tensor:
        return self.fc(x.mean((2, 3)))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer4(self.layer3(self.layer2(self.layer1(self.stem(x))))))


class Chain(nn.Module):
    """Blocks between a stem and a head."""

    def __init__(self, *blocks: Block, width: int) -> None:
        super().__init__()
        self.first, self.blocks = nn.Conv2d(3, 6, 3, padding=1), nn.Sequential(*blocks)
        self.fc = nn.Linear(width, 5)

    def stem(self, x: Tensor) -> Tensor:
        return self.first(x)

    def head(self, x: Tensor) -> Tensor:
        return self.fc(x.mean((2, 3)))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)))


class S1(Block):
    """conv–norm–ReLU–conv–norm, a projection with norm, not in place but for the sum."""

    def __init__(self, into: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(into, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        self.shortcut = nn.Sequential()
        if stride != 1 or into != out:
            self.shortcut = nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        out = functional.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return functional.relu(out)

    def by_hand(self, x: Tensor) -> Terms:
        return self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))), self.shortcut(x)


class S2(Block):
    """The textbook's: convolutions with bias, ``Y += X`` with X replaced by its projection."""

    def __init__(self, into: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(into, out, 3, stride, 1), nn.Conv2d(out, out, 3, 1, 1)
        self.conv3 = nn.Conv2d(into, out, 1, stride) if stride != 1 or into != out else None
        self.bn1, self.bn2 = nn.BatchNorm2d(out), nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.conv3:
            x = self.conv3(x)
        y += x
        return functional.relu(y)

    def by_hand(self, x: Tensor) -> Terms:
        return self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))), self.conv3(x) if self.conv3 else x


class S3(Block):
    """No norm; the projection strided, without norm."""

    def __init__(self, into: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(into, out, 3, stride, 1), nn.Conv2d(out, out, 3, 1, 1)
        self.projection = nn.Conv2d(into, out, 1, stride) if stride != 1 or into != out else nn.Identity()
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        residual = self.projection(x)
        x = self.relu(self.conv1(x))
        return self.relu(self.conv2(x) + residual)

    def by_hand(self, x: Tensor) -> Terms:
        return self.conv2(torch.relu(self.conv1(x))), self.projection(x)


class S4(Block):
    """The course's, mended: the stride belongs to the first convolution as to the shortcut's pool."""

    def __init__(self, into: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(into, out, 3, stride, 1), nn.Conv2d(out, out, 3, 1, 1)
        self.pool = nn.AvgPool2d(stride, stride, ceil_mode=True) if stride != 1 else None
        self.projection = nn.Conv2d(into, out, 1) if into != out else None

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.pool is None else self.pool(x)
        shortcut = shortcut if self.projection is None else self.projection(shortcut)
        return functional.relu(shortcut + self.conv2(functional.relu(self.conv1(x))))

    def by_hand(self, x: Tensor) -> Terms:
        shortcut = x if self.pool is None else self.pool(x)
        shortcut = shortcut if self.projection is None else self.projection(shortcut)
        return self.conv2(torch.relu(self.conv1(x))), shortcut


class Preactivated(Block):
    """norm–ReLU–conv twice; the stream itself travels on."""

    closes = False

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(width), nn.Conv2d(width, width, 3, padding=1)
        self.bn2, self.conv2 = nn.BatchNorm2d(width), nn.Conv2d(width, width, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(self.relu(self.bn1(x)))
        return self.conv2(self.relu(self.bn2(out))) + x

    def by_hand(self, x: Tensor) -> Terms:
        return self.conv2(torch.relu(self.bn2(self.conv1(torch.relu(self.bn1(x)))))), x


class Gated(Block):
    """g ⊙ F(x) + (1 − g) ⊙ x with g = σ(W x)."""

    closes = False

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv, self.gate = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        g = self.gate(x).sigmoid()
        return g * self.conv(x).tanh() + (1 - g) * x

    def by_hand(self, x: Tensor) -> Terms:
        g = torch.sigmoid(self.gate(x))
        return g * torch.tanh(self.conv(x)), (1 - g) * x


class Scaled(Block):
    """0.7 x + 0.3 F(x), by an addition with alpha."""

    closes = False

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(0.7 * x, self.conv(x).relu_(), alpha=0.3)

    def by_hand(self, x: Tensor) -> Terms:
        return 0.3 * torch.relu(self.conv(x)), 0.7 * x


def terms_by_hand(network: ResNet50 | Chain, images: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Returns J_Fᵀ g, J_sᵀ g and g of every block, g the gradient of the summed output by the sum, blocks in order."""
    blocks = [one for one in network.modules() if isinstance(one, Block)]
    x, inputs, sums = network.stem(images), [], []
    for block in blocks:
        inputs.append(x.detach().clone())
        branch, shortcut = block.by_hand(x)
        sums.append(branch + shortcut)
        x = block.closing(sums[-1])
    gradients = torch.autograd.grad(network.head(x).square().sum(), sums)
    found = []
    for block, value, gradient in zip(blocks, inputs, gradients, strict=True):
        both = []
        for which in (0, 1):
            leaf = value.clone().requires_grad_()
            both.append(torch.autograd.grad(block.by_hand(leaf)[which], leaf, gradient)[0])
        found.append((both[0], both[1], gradient))
    return found
