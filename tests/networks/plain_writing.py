"""The papers' networks written once more, as formulas on tensors, to hold the library's against.

Nothing of the library is used: `Written` says what a reader of the papers would say of a network, the weights come
by name, and everything else is arithmetic. Notation: F is the residual function; in a word such as CNACN, C is a
convolution, N a norm, A the activation ReLU.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

Numbers = dict[str, Tensor]

FIGURE_4 = {
    "original": ("", "CNACN", "A"),
    "bn_after_addition": ("", "CNAC", "NA"),
    "relu_before_addition": ("", "CNACNA", ""),
    "relu_only_preactivation": ("A", "CNACN", ""),
    "full_preactivation": ("NA", "CNAC", ""),
}
"""He et al. 2016, Fig. 4, for two convolutions: what opens F, the rest of F, and what follows the addition."""

STEM_ENDS = {"relu_only_preactivation": "N", "full_preactivation": ""}
"""What follows the stem's convolution where the first block opens with the rest of NA (ibid., appendix)."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """One network as the reader of the papers would write it."""

    stem: str = "small"
    """small: 3×3; photograph: 7×7, stride 2, max pool; deep: three 3×3, the first with stride 2, max pool."""
    stem_bias: bool = False
    order: str = "original"
    bottleneck: bool = False
    stride_on_first: bool = False
    groups: int = 1
    """Of a bottleneck's 3×3 convolution (Xie et al. 2017, Fig. 3c)."""
    bias: bool = False
    norm: str = "batch"
    """batch, group or none."""
    norm_groups: int = 32
    shortcut: str = "B"
    """none; A, B, C; mean, max (D); scaled, exclusive, gated, dropout (He et al. 2016, Fig. 2, on A)."""
    norm_on_projection: bool = True
    scales: tuple[float, float] = (0.5, 0.5)
    """λ of the shortcut and what multiplies F."""
    dropped: float = 0.5
    """Share of the shortcut's numbers that the dropout drops."""
    excited: bool = False
    """Whether a squeeze-excitation weighs the channels of F."""
    fixup: bool = False
    """Whether a learned number is added before every layer of F, and one multiplies it (Zhang et al. 2019, Fig. 1)."""
    skipinit: bool = False
    """Whether a learned number multiplies F (De and Smith 2020, Fig. 1)."""
    branch_scale: float = 1.0
    """What multiplies F and does not learn."""
    last_survival: float = 1.0
    """p_L of Huang et al. 2016, Eq. 4."""
    training: bool = True
    draws: torch.Generator | None = None
    """Where dropout and stochastic depth draw from: F of a block first, then its shortcut."""

    def network(self, images: Tensor, numbers: Numbers, blocks: tuple[int, ...]) -> Tensor:
        """The logits of a network with so many blocks in every stage."""
        x, count, total = self.stem_of(images, within(numbers, "stem.")), 0, sum(blocks)
        for stage, length in enumerate(blocks):
            for index in range(length):
                count += 1
                stride = 2 if stage > 0 and index == 0 else 1
                survival = 1 - count / total * (1 - self.last_survival)
                own = within(numbers, f"stages.{stage}.{index}.")
                x = self.block(x, own, stride, is_first=count == 1, survival=survival)
        x = self.tail(x, within(numbers, "tail."))
        pooled = x.flatten(2).sum(2) / (x.shape[2] * x.shape[3])
        return pooled @ numbers["head.weight"].T + numbers["head.bias"]

    def stem_of(self, images: Tensor, numbers: Numbers) -> Tensor:
        pool, deep = self.stem != "small", self.stem == "deep"
        word = ("CNACNAC" if deep else "C") + ("NA" if pool else STEM_ENDS.get(self.order, "NA"))
        strides = [(2 if pool else 1, 1), (1, 1), (1, 1)]
        chain = Chain(word, strides, numbered=deep, shifted="A", bias=self.stem_bias)
        x = self.through(images, numbers, chain)
        return functional.max_pool2d(x, 3, 2, 1) if pool else x

    def tail(self, x: Tensor, numbers: Numbers) -> Tensor:
        """What a pre-activation network leaves to the end, then Fixup's number before the linear layer."""
        opening = FIGURE_4[self.order][0]
        if not self.fixup:
            return self.through(x, numbers, Chain(opening))
        if not opening:
            return x + numbers["value"]
        return self.through(x, numbers, Chain(opening, numbered=True)) + numbers["shift2.value"]

    def block(
        self, x: Tensor, numbers: Numbers, stride: int, *, is_first: bool = False, survival: float = 1.0
    ) -> Tensor:
        opening, word, closing = FIGURE_4[self.order]
        word = f"CNA{word}" if self.bottleneck else word
        inside = within(numbers, "residual.")
        out_channels = inside[f"convolution{word.count('C')}.weight"].shape[0]
        if is_first or stride > 1 or out_channels != x.shape[1]:
            shared = "" if is_first and self.stem != "small" else opening
            h = self.through(x, within(numbers, "entry."), Chain(shared))
        else:
            h, word = x, opening + word
        f = self.through(h, inside, Chain(word, self.steps(stride), numbered=True, bias=self.bias))
        f = self.kept(self.weighed(f, inside), survival)
        return self.through(self.merged(f, h, numbers, stride), within(numbers, "activation."), Chain(closing))

    def steps(self, stride: int) -> list[tuple[int, int]]:
        """Stride and groups of every convolution of F."""
        if not self.bottleneck:
            return [(stride, 1), (1, 1)]
        first, middle = (stride, 1) if self.stride_on_first else (1, stride)
        return [(first, 1), (middle, self.groups), (1, 1)]

    def weighed(self, f: Tensor, numbers: Numbers) -> Tensor:
        """What multiplies F as a whole; excitation by Hu et al. 2018, Eqs. 2 to 4."""
        if self.excited:
            z = f.mean((2, 3))
            z = torch.relu(linear(z, within(numbers, "excitation.squeeze.")))
            f = f * torch.sigmoid(linear(z, within(numbers, "excitation.excite.")))[:, :, None, None]
        if self.fixup or self.skipinit:
            f = f * numbers["scale.value"]
        return f * self.branch_scale

    def kept(self, f: Tensor, survival: float) -> Tensor:
        """Stochastic depth: b·F with b drawn in training, p·F in evaluation (Huang et al. 2016, Eqs. 2 and 5)."""
        if survival == 1:
            return f
        if not self.training:
            return survival * f
        return f * (torch.rand((), generator=self.draws) < survival)

    def merged(self, f: Tensor, h: Tensor, numbers: Numbers, stride: int) -> Tensor:
        """F and the shortcut made one (He et al. 2015, Eqs. 1 and 2; He et al. 2016, Fig. 2)."""
        if self.shortcut == "none":
            return f
        around = self.around(h, f, within(numbers, "shortcut."), stride)
        if self.shortcut == "scaled":
            return self.scales[1] * f + self.scales[0] * around
        if self.shortcut == "exclusive":
            g = torch.sigmoid(convolved(h, within(numbers, "merge."), "gate", stride=stride, bias=True))
            return g * f + (1 - g) * around
        if self.shortcut == "gated":
            g = torch.sigmoid(convolved(h, within(numbers, "shortcut."), "gate", stride=stride, bias=True))
            return f + (1 - g) * around
        if self.shortcut == "dropout":
            kept = 1 - self.dropped
            if self.training:
                kept = torch.rand(around.shape, dtype=around.dtype, generator=self.draws) >= self.dropped
            return f + around * kept
        return f + around

    def around(self, h: Tensor, f: Tensor, numbers: Numbers, stride: int) -> Tensor:
        """What the shortcut carries, before scales, gates and dropout."""
        if h.shape == f.shape and self.shortcut != "C":
            return h
        if self.shortcut not in ("B", "C", "mean", "max"):
            zeros = torch.zeros_like(f[:, h.shape[1] :])
            return torch.cat([h[:, :, ::stride, ::stride], zeros], dim=1)
        if self.shortcut in ("mean", "max"):
            h, stride = (pooled(h, self.shortcut) if stride == 2 else h), 1
            if h.shape[1] == f.shape[1]:
                return h
        word = "CN" if self.norm_on_projection else "C"
        return self.through(h, within(numbers, "projection."), Chain(word, [(stride, 1)], bias=self.bias))

    def through(self, x: Tensor, numbers: Numbers, chain: "Chain") -> Tensor:
        """The layers of a word, one after the other."""
        seen: Counter[str] = Counter()

        def named(kind: str) -> str:
            seen[kind] += 1
            return f"{kind}{seen[kind]}" if chain.numbered else kind

        for letter in chain.word:
            if self.fixup and letter in chain.shifted:
                x = x + numbers[f"{named('shift')}.value"]
            if letter == "C":
                stride, groups = chain.steps[seen["convolution"]]
                x = convolved(x, numbers, named("convolution"), stride=stride, groups=groups, bias=chain.bias)
            elif letter == "N" and self.norm != "none":
                x = self.normed(x, within(numbers, f"{named('norm')}."))
            elif letter == "A":
                x = torch.relu(x)
        return x

    def normed(self, x: Tensor, numbers: Numbers) -> Tensor:
        """Batch norm (Ioffe and Szegedy 2015, Alg. 1) or group norm (Wu and He 2018, Eqs. 1 to 7)."""
        if self.norm == "group":
            groups = max(g for g in range(1, self.norm_groups + 1) if x.shape[1] % g == 0 and x.shape[1] // g != 1)
            parts = [standardised(part, (1, 2, 3)) for part in x.chunk(groups, dim=1)]
            x = torch.cat(parts, dim=1)
        elif self.training:
            x = standardised(x, (0, 2, 3))
        else:
            x = (x - each(numbers["running_mean"])) / (each(numbers["running_var"]) + 1e-5).sqrt()
        return x * each(numbers["weight"]) + each(numbers["bias"])


@dataclass(frozen=True)
class Chain:
    """A word, and how its layers are made and named."""

    word: str
    steps: Sequence[tuple[int, int]] = ()
    """Stride and groups of every convolution."""
    numbered: bool = False
    """Whether the layers of a kind are numbered, as inside F, or named by their kind."""
    shifted: str = "CA"
    """The letters before which Fixup adds a number."""
    bias: bool = False


def convolved(x: Tensor, numbers: Numbers, name: str, *, stride: int, groups: int = 1, bias: bool) -> Tensor:
    """Every group of filters on its own group of channels, padded by half the kernel."""
    weight = numbers[f"{name}.weight"]
    assert (f"{name}.bias" in numbers) == bias, name
    parts = zip(x.chunk(groups, dim=1), weight.chunk(groups), strict=True)
    x = torch.cat([functional.conv2d(part, filters, None, stride, weight.shape[2] // 2) for part, filters in parts], 1)
    return x + each(numbers[f"{name}.bias"]) if bias else x


def linear(x: Tensor, numbers: Numbers) -> Tensor:
    return x @ numbers["weight"].T + numbers["bias"]


def standardised(x: Tensor, over: tuple[int, ...]) -> Tensor:
    mean, variance = x.mean(over, keepdim=True), x.var(over, correction=0, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt()


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
