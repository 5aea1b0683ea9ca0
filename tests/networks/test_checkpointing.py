"""Checkpointing: fewer activations are kept, and the step is the ordinary step to the last bit."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from residua.networks import catalogue
from residua.networks.checkpointing import checkpointed
from residua.networks.network import ResidualNetwork, build
from residua.networks.spec import NetworkSpec, small_stem

SPEC = NetworkSpec(stem=small_stem(4), blocks=(5, 5), widths=(4, 8), classes=3, norm_on_projection=False)
IMAGES = torch.randn(6, 3, 10, 10, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(6) % 3


def stepped(network: ResidualNetwork, *, twice: float | None) -> dict[str, torch.Tensor]:
    """Gradients and buffers after one step from the same random state."""
    network = copy.deepcopy(network).train()
    forward = network if twice is None else checkpointed(network, share=twice)
    torch.manual_seed(7)
    nn.functional.cross_entropy(forward(IMAGES), LABELS).backward()
    gradients = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    return {**gradients, **dict(network.named_buffers())}


@pytest.mark.parametrize("share", [0.3, 0.5, 2 / 3, 0.8, 1.0])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"order": "full_preactivation", "block": "bottleneck"},
        {"norm": "none", "initialization": "skipinit"},
        {"shortcut": "dropout"},
        {"last_survival": 0.5},
        {"norm": "group", "norm_groups": 2, "squeeze_excitation": 2},
    ],
)
def test_gradients_statistics_and_counters_are_those_of_the_ordinary_step(
    changes: dict[str, Any], share: float
) -> None:
    network = build(replace(SPEC, **changes), seed=0)
    ordinary, again = stepped(network, twice=None), stepped(network, twice=share)
    assert ordinary.keys() == again.keys()
    for name, value in ordinary.items():
        assert torch.equal(value, again[name]), name


def test_a_second_count_of_the_statistics_would_be_seen() -> None:
    """The guard of the test above: the counters say 1 after one step."""
    counters = [value for name, value in stepped(build(SPEC, seed=0), twice=1.0).items() if "tracked" in name]
    assert counters
    assert all(int(value) == 1 for value in counters)


def test_frozen_parts_stay_as_they_are() -> None:
    network = build(SPEC, seed=0)
    network.freeze("stage1")
    state = stepped(network, twice=1.0)
    assert not any(name.startswith(("stem", "stages.0")) and "weight" in name for name in state)
    assert torch.equal(state["stages.0.0.residual.norm1.running_mean"], torch.zeros(4))


def test_without_gradients_it_is_the_network() -> None:
    network = build(SPEC, seed=0).eval()
    with torch.no_grad():
        assert torch.equal(checkpointed(network)(IMAGES), network(IMAGES))


def kept_bytes(network: ResidualNetwork, *, twice: float | None) -> int:
    """Bytes that the forward pass leaves for the backward pass, parameters apart."""
    own, kept = {p.data_ptr() for p in network.parameters()}, {}

    def count(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in own:
            kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    forward = network if twice is None else checkpointed(network, share=twice)
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        out = forward(IMAGES)
    assert out.requires_grad
    return sum(kept.values())


def test_it_keeps_a_quarter_of_the_activations_or_less() -> None:
    network = build(catalogue.specification("resnet110"), seed=0)
    assert 4 * kept_bytes(network, twice=2 / 3) < kept_bytes(network, twice=None)
