"""Blocks are found from the modules alone, in the library's networks and in others."""

from dataclasses import replace

import pytest
from torch import nn

from residua.diagnostics.parts import block_names
from residua.networks import catalogue
from residua.networks.network import without_weights


def blocks(module: nn.Module) -> list[str]:
    return list(dict.fromkeys(block_names(module).values()))


class Unit(nn.Module):
    """A block with a list of layers inside."""

    def __init__(self) -> None:
        super().__init__()
        self.residual = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))


class Listed(nn.Module):
    """A block whose layers are lists themselves, as in torchvision's MobileNets."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(*(nn.Sequential(nn.Linear(2, 2), nn.ReLU()) for _ in range(2)))


class Stage(nn.Module):
    """Blocks in a list that is not the only thing in a module, as in ConvNeXt and Swin."""

    def __init__(self) -> None:
        super().__init__()
        self.downsample = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2))
        self.units = nn.ModuleList(Unit() for _ in range(2))


class Wrapped(nn.Module):
    """What stands around a body, as in transformers: a token of its own, an embedding, blocks deep inside."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(nn.Linear(1, 1).weight.detach())
        self.body = nn.Module()
        self.body.add_module("embedding", nn.Embedding(3, 2))
        self.body.add_module("layers", nn.ModuleList(Unit() for _ in range(3)))
        self.first, self.head = Unit(), nn.Linear(2, 2)


@pytest.mark.parametrize("name", ["resnet20", "resnet50", "plain20", "fast-resnet8"])
def test_blocks_of_the_librarys_networks_are_stem_blocks_tail_and_head(name):
    spec = catalogue.specification(name)
    inside = [f"stages.{stage}.{i}" for stage, count in enumerate(spec.blocks) for i in range(count)]
    assert blocks(without_weights(spec)) == ["stem", *inside, "head"]


def test_a_tail_of_norm_and_activation_is_one_block():
    spec = replace(catalogue.specification("resnet8"), order="full_preactivation")
    assert blocks(without_weights(spec))[-2:] == ["tail", "head"]


def test_a_stem_of_several_convolutions_is_one_block():
    names = [name for name in catalogue.names() if catalogue.specification(name).stem.convolutions > 1]
    assert names
    assert blocks(without_weights(catalogue.specification(names[0])))[:2] == ["stem", "stages.0.0"]


def test_a_list_of_layers_is_taken_apart_and_one_layer_with_its_norm_is_not():
    assert blocks(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))) == ["0", "2"]
    assert blocks(nn.Sequential(nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)), nn.Flatten())) == ["0"]


def test_a_block_is_not_taken_apart_and_what_holds_blocks_is():
    assert blocks(nn.Sequential(Unit(), Unit())) == ["0", "1"]
    assert blocks(nn.Sequential(Listed(), Listed())) == ["0", "1"]
    stages = nn.Sequential(Stage(), Stage())
    each = ("downsample", "units.0", "units.1")
    assert blocks(stages) == [f"{stage}.{part}" for stage in (0, 1) for part in each]
    layers = [f"body.layers.{i}" for i in range(3)]
    assert blocks(Wrapped()) == ["token", "body.embedding", *layers, "first", "head"]


def test_every_parameter_has_a_block_that_it_is_in():
    module = nn.Sequential(Stage(), Wrapped())
    names = block_names(module)
    assert list(names) == [name for name, _ in module.named_parameters()]
    assert all(name == block or name.startswith(f"{block}.") for name, block in names.items())
