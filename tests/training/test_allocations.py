"""The memory of tensors is counted as they come and go."""

import torch
from torch import nn
from torch.nn import functional

from residua.networks.checkpointing import checkpointed
from residua.networks.network import build
from residua.networks.spec import NetworkSpec, small_stem
from residua.training.allocations import demand, watched

SPEC = NetworkSpec(stem=small_stem(8), blocks=(3, 3), widths=(8, 16), classes=10)


def test_a_tensor_counts_from_its_making_to_its_end():
    """By hand: 400 bytes, 800 more, 400 freed, 1,200 more; a view takes nothing."""

    def compute() -> None:
        first = torch.zeros(100)
        second = torch.zeros(200)
        first.view(10, 10).t()
        del first
        third = torch.zeros(300)
        del second, third

    assert watched(compute) == [400, 1200, 2000]


def test_what_was_there_before_does_not_count():
    there = torch.zeros(1000)
    assert watched(lambda: there.add_(1)) == []
    assert max(watched(lambda: there + 1)) == 4000


def test_a_chain_of_layers_keeps_its_activations_until_the_backward_pass():
    """Naive reference: ReLU keeps its output for the backward pass, so n of them keep n maps."""
    chain = nn.Sequential(*(nn.ReLU() for _ in range(5)))

    def compute(images: int) -> None:
        chain(torch.ones(images, 1000, requires_grad=True)).sum().backward()

    assert demand(compute).bytes_for(64) >= 6 * 64 * 4000
    assert demand(compute).bytes_for(64) <= 9 * 64 * 4000


def step(network: nn.Module, forward, images: int, *, bfloat16: bool = False) -> None:
    network.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        logits = forward(torch.zeros(images, 3, 16, 16))
    functional.cross_entropy(logits.float(), torch.zeros(images, dtype=torch.int64)).backward()


def test_two_small_steps_give_the_bytes_of_a_large_one():
    """What follows from 2 and 4 images is what 32 take, to the byte, gradients included."""
    network = build(SPEC, seed=0).train()
    expected = demand(lambda images: step(network, network, images)).bytes_for(32)
    network.zero_grad(set_to_none=True)
    assert expected == max(watched(lambda: step(network, network, 32)))


def test_bfloat16_keeps_smaller_activations():
    network = build(SPEC, seed=0).train()
    full, half = (
        demand(lambda images, on=on: step(network, network, images, bfloat16=on)).bytes_for(64) for on in (False, True)
    )
    assert 0.4 < half / full < 0.7


def test_computing_activations_again_takes_less():
    network = build(SPEC, seed=0).train()
    ways = (network, checkpointed(network))
    kept, again = (demand(lambda images, way=way: step(network, way, images)).bytes_for(64) for way in ways)
    assert again < 0.8 * kept
