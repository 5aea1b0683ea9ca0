"""From one checkpoint to another: coordinate 1 is the other network; no other architecture has a place on the line."""

import pytest
import torch
from torch import Tensor, nn

from residua.diagnostics.landscape.between import between
from residua.diagnostics.landscape.directions import Direction
from residua.diagnostics.landscape.layout import flat, layout_of
from residua.errors import BadWeights
from residua.networks import catalogue
from residua.networks.network import build


def trained(seed: int) -> nn.Module:
    """A network whose weights, γ, β and running statistics are all its own."""
    network = build(catalogue.specification("resnet8", classes=4), seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for one in (*network.parameters(), *network.buffers()):
            if one.is_floating_point() and one.dim() == 1:
                one.add_(torch.rand(one.shape, generator=generator))
    return network.eval()


def at(module: nn.Module, direction: Direction, where: float) -> dict[str, Tensor]:
    """The tensors θ + a d and the buffers with them, in the module's own precision."""
    theta = flat(module)
    tensors = layout_of(module).parts((theta + where * direction.vector).to(theta.dtype))
    state = module.state_dict()
    moved = {name: (state[name] + where * d).to(state[name].dtype) for name, d in direction.buffers}
    return {**tensors, **moved}


IMAGES = torch.linspace(-1, 1, 2 * 3 * 16 * 16).reshape(2, 3, 16, 16)


@pytest.mark.parametrize("kind", [torch.float64, torch.float32])
def test_its_end_is_the_other_network_to_the_bit(kind: torch.dtype):
    """Also in float32: the difference of two float32 numbers is kept in float64, where it is exact."""
    here, there = (trained(seed).to(kind) for seed in (0, 1))
    found = between(here, there)
    moved = at(here, found, 1.0)
    assert all(torch.equal(moved[name], one) for name, one in there.named_parameters())
    images = IMAGES.to(kind)
    assert torch.equal(torch.func.functional_call(here, moved, images), there(images))
    assert torch.equal(torch.func.functional_call(here, at(here, found, 0.0), images), here(images))
    assert not torch.equal(torch.func.functional_call(here, at(here, found, 0.5), images), there(images))


def test_running_statistics_move_and_counters_do_not():
    here, there = trained(0), trained(1)
    there.state_dict()["stages.0.0.residual.norm1.num_batches_tracked"].fill_(7)
    found = between(here, there)
    names = [name for name, _ in found.buffers]
    assert names
    assert all(name.endswith(("running_mean", "running_var")) for name in names)
    without = Direction(kind="between", says="", vector=found.vector)
    ends = [torch.func.functional_call(here, at(here, one, 1.0), IMAGES) for one in (found, without)]
    assert (ends[0] - ends[1]).abs().max() > 1e-3
    assert between(here, here).buffers == ()


def test_a_frozen_weight_moves_too_and_nothing_is_normalised():
    here, there = nn.Linear(2, 2), nn.Linear(2, 2)
    here.weight.requires_grad_(False)
    found = between(here, there.state_dict(), name="epoch 3")
    expected = torch.cat([(there.weight - here.weight).flatten(), there.bias - here.bias])
    torch.testing.assert_close(found.vector.float(), expected.detach())
    assert (found.kind, found.normalisation, found.says) == ("between", "none", "from the weights to epoch 3")
    assert found.vector.dtype == torch.float64


def test_wrapped_modules_are_looked_through():
    here, there = nn.Linear(2, 2), nn.Linear(2, 2)
    torch.testing.assert_close(
        between(nn.DataParallel(here), nn.DataParallel(there)).vector, between(here, there).vector
    )


def refusals() -> dict[str, tuple[nn.Module, dict[str, Tensor], str]]:
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    module.register_buffer("places", torch.arange(2))
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    shared = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    shared[1].weight = shared[0].weight
    torn = {**shared.state_dict(), "1.weight": torch.zeros(2, 2)}
    return {
        "lacks": (module, {k: v for k, v in state.items() if k != "0.bias"}, r"lack 0\.bias, of shape \(3,\); give"),
        "shape": (module, {**state, "0.weight": torch.zeros(4, 2)}, r"0\.weight .* shape \(4, 2\), .* \(3, 2\); give"),
        "more": (module, {**state, "2.weight": torch.zeros(1)}, r"hold 2\.weight, which the network does not have"),
        "kind": (module, {**state, "0.bias": torch.zeros(3).long()}, r"0\.bias .* is int64, the network's float32"),
        "integers": (module, {**state, "places": torch.tensor([1, 0])}, "places differs and has no fractions"),
        "nan": (module, {**state, "1.running_var": torch.full((3,), torch.nan)}, r"1\.running_var holds a value"),
        "shared": (shared, torn, r"1\.weight .* differs from 0\.weight, and the network shares them"),
    }


@pytest.mark.parametrize("which", sorted(refusals()))
def test_another_architecture_is_refused_with_the_first_tensor_that_does_not_fit(which: str):
    module, state, said = refusals()[which]
    with pytest.raises(BadWeights, match=said) as caught:
        between(module, state)
    assert "\n" not in str(caught.value)


def test_old_files_without_a_count_of_batches_fit():
    module = nn.BatchNorm1d(2)
    state = {k: v for k, v in module.state_dict().items() if k != "num_batches_tracked"}
    assert not between(module, state).vector.any()
