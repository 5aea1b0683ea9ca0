"""The gradient through one path, beside all paths enumerated by hand."""

from itertools import chain as joined
from itertools import combinations
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from residua.diagnostics.case import Examples
from residua.diagnostics.chain import Chain, Path
from residua.diagnostics.products import by_operations
from residua.diagnostics.trace import trace
from residua.errors import BadNetwork


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layer(into: int, out: int, seed: int) -> nn.Linear:
    made = nn.Linear(into, out).double()
    made.load_state_dict({"weight": drawn(out, into, seed=seed) * 0.5, "bias": drawn(out, seed=seed + 99) * 0.5})
    return made


class Block(nn.Module):
    """a(F(x) + s(x)) with F(x) = tanh(Wx)."""

    def __init__(self, into: int, out: int, seed: int, *, scale: float = 1.0, written: str = "apart") -> None:
        super().__init__()
        self.inner = layer(into, out, seed)
        self.across = nn.Identity() if into == out else layer(into, out, seed + 7)
        self.scale = scale
        self.written = written

    def residual(self, x: Tensor) -> Tensor:
        return torch.tanh(self.inner(x))

    def shortcut(self, x: Tensor) -> Tensor:
        return self.across(x) if self.scale == 1 else self.scale * x

    def forward(self, x: Tensor) -> Tensor:
        if self.written == "in place":
            y = self.residual(x).mul(1)  # a tensor that no derivative reads
            y += self.shortcut(x)
            return y.relu_()
        if self.written == "by alpha":
            return torch.add(self.residual(x), self.across(x), alpha=self.scale).relu()
        return (self.residual(x) + self.shortcut(x)).relu()


class Network(nn.Module):
    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        self.stem = layer(3, 4, 0)
        self.blocks = nn.Sequential(*blocks)
        self.head = layer(6, 2, 50)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)))


def network(written: str = "apart") -> Network:
    kinds: list[Any] = [(4, 4, 1.0), (4, 4, 0.5), (4, 6, 1.0), (6, 6, 1.0), (6, 6, 1.0)]
    return Network(*(Block(a, b, 10 + i, scale=scale, written=written) for i, (a, b, scale) in enumerate(kinds)))


X = drawn(7, 3)


def all_paths(blocks: int) -> list[Path]:
    return [frozenset(one) for one in joined(*(combinations(range(blocks), k) for k in range(blocks + 1)))]


def by_hand(made: Network, path: Path) -> Tensor:
    """The product of Jacobians, block by block, each at what the block met in the whole forward pass."""
    met, sums = [made.stem(X).detach()], []
    for block in made.blocks:
        sums.append((block.residual(met[-1]) + block.shortcut(met[-1])).detach())  # type: ignore[operator]
        met.append(sums[-1].relu())
    vector = torch.ones(7, 2, dtype=torch.float64) @ made.head.weight.detach() / 7
    vector = vector * (sums[-1] > 0)
    for i in reversed(range(len(sums))):
        part = made.blocks[i].residual if i in path else made.blocks[i].shortcut
        _, product = torch.func.vjp(part, met[i])  # type: ignore[arg-type]
        (vector,) = product(vector)
        if i:
            vector = vector * (sums[i - 1] > 0)
    return vector


def followed(made: nn.Module, paths: list[Path]) -> tuple[dict[Path, Tensor], Tensor]:
    """Each path's gradient, and the whole gradient by the first block's input."""
    found = trace(made, Examples(args=(X,)))
    chain = Chain.of(found)
    loss = found.answer.sum() / 7
    g = chain.at_the_end(loss)
    through = {path: direction * log_exp(log) for path, log, direction in chain.follow(g, paths)}
    source = chain.blocks[0].source
    return through, by_operations(loss, found, [source])[source]


def log_exp(log: float) -> Tensor:
    return torch.tensor(log, dtype=torch.float64).exp()


@pytest.mark.parametrize("written", ["apart", "in place", "by alpha"])
def test_every_path_is_the_product_of_its_blocks_jacobians(written):
    made = network(written)
    through, _ = followed(made, all_paths(5))
    assert len(through) == 32
    for path, vector in through.items():
        torch.testing.assert_close(vector, by_hand(made, path), rtol=1e-10, atol=1e-14)


def test_all_paths_sum_to_the_whole_gradient():
    """Veit et al. 2016, Eq. 3: a chain of n blocks unravels into 2ⁿ paths, and none is missing or counted twice."""
    through, whole = followed(network(), all_paths(5))
    torch.testing.assert_close(torch.stack(list(through.values())).sum(0), whole, rtol=1e-10, atol=1e-14)
    without = [vector for path, vector in through.items() if path]
    assert not torch.allclose(torch.stack(without).sum(0), whole)


def test_norms_below_the_smallest_number_are_followed():
    """Forty shortcuts that scale by 1e-10: the norm is 1e-400, for which no float64 is small enough."""
    made = Network(*(Block(4, 4, 10 + i, scale=1e-10) for i in range(40)), layer(4, 6, 3))
    # Sums are positive, so that no ReLU stands in the way.
    for block in list(made.blocks.children())[:-1]:
        nn.init.constant_(block.get_parameter("inner.bias"), 3.0)
        nn.init.zeros_(block.get_parameter("inner.weight"))
    found = trace(made, Examples(args=(X,)))
    chain = Chain.of(found)
    g = chain.at_the_end(found.answer.sum())
    ((_, log, direction),) = chain.follow(g, [frozenset()])
    assert log == pytest.approx(40 * torch.tensor(1e-10, dtype=torch.float64).log().item() + g.norm().log().item())
    assert float(direction.norm()) == pytest.approx(1)
    ((_, nothing, _),) = chain.follow(g, [frozenset({39, 5})])
    assert nothing == -float("inf")


class Nested(nn.Module):
    """A block whose branch holds a block of its own."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.into, self.within = layer(4, 4, seed), layer(4, 4, seed + 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.into(x)
        return x + torch.tanh(h + self.within(h))


def test_a_block_within_a_branch_is_part_of_the_branch():
    made = Network(Nested(1), Nested(5), layer(4, 6, 9))
    found = trace(made, Examples(args=(X,)))
    assert (len(found.additions), len(Chain.of(found).blocks)) == (4, 2)
    through, whole = followed(made, all_paths(2))
    torch.testing.assert_close(torch.stack(list(through.values())).sum(0), whole)


class Leaping(nn.Module):
    """The second block reads the first's sum and the network's input besides."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = layer(3, 3, 1), layer(6, 6, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = x + self.first(x)
        both = torch.cat([y, x], 1)
        return both + self.second(both)


def test_blocks_that_read_past_each_other_are_refused():
    with pytest.raises(BadNetwork, match=r"forward #2 reads more than what forward #1 gives"):
        Chain.of(trace(Leaping().double(), Examples(args=(X,))))


def test_a_network_without_blocks_is_refused():
    with pytest.raises(BadNetwork, match="has none"):
        Chain.of(trace(nn.Sequential(layer(3, 4, 1), nn.ReLU()), Examples(args=(X,))))


def test_a_gradient_that_is_zero_at_the_end_is_refused():
    made = network()
    nn.init.zeros_(made.head.weight)
    found = trace(made, Examples(args=(X,)))
    with pytest.raises(BadNetwork, match="is 0"):
        Chain.of(found).at_the_end(found.answer.sum())
