"""Every preset's layers against an independent writing of the papers' formulas: values and all gradients.

The networks are thin (4 channels and up, two blocks a stage) and in double precision; the kinds of blocks,
where strides, norms, biases and shortcuts stand, are the preset's own. What each name should be is written
here by hand and not read off its specification.
"""

from collections import defaultdict
from dataclasses import replace
from typing import Any

import pytest
from tests.networks.comparison import (
    assert_close,
    assert_same_network,
    gradients,
    noise,
    numbers_of,
    with_random_numbers,
)
from tests.networks.plain_writing import Written, within
from tests.networks.test_transition import WITH_TRANSITIONS

from residua.networks import catalogue
from residua.networks.spec import NetworkSpec

PHOTOGRAPHS = Written(stem="photograph")
BOTTLENECKS = replace(PHOTOGRAPHS, bottleneck=True)
SMALL = Written(shortcut="A")
SMALL_BOTTLENECKS = Written(bottleneck=True, stride_on_first=True)
FREE_STREAM = {"order": "full_preactivation", "norm_on_projection": False}
TEXTBOOK = replace(PHOTOGRAPHS, bias=True, stem_bias=True, norm_on_projection=False)
WITHOUT_NORM = replace(TEXTBOOK, norm="none")

EXPECTED = {
    **dict.fromkeys(("resnet18", "resnet34"), PHOTOGRAPHS),
    **dict.fromkeys(("resnet50", "resnet101", "resnet152", "resnet200"), BOTTLENECKS),
    **dict.fromkeys(("wide_resnet50_2", "wide_resnet101_2"), BOTTLENECKS),
    **dict.fromkeys(("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"), replace(BOTTLENECKS, groups=2)),
    "resnet50c": replace(BOTTLENECKS, stem="deep"),
    "resnet50d": replace(BOTTLENECKS, stem="deep", shortcut="mean"),
    **dict.fromkeys(("se_resnet18", "se_resnet34"), replace(PHOTOGRAPHS, excited=True)),
    **dict.fromkeys(("se_resnet50", "se_resnet101"), replace(BOTTLENECKS, excited=True)),
    **{f"resnet{depth}": SMALL for depth in (8, 14, 20, 32, 44, 56, 110, 1202)},
    **dict.fromkeys(("resnet164", "resnet1001"), SMALL_BOTTLENECKS),
    **dict.fromkeys(("resnet164-preactivation", "resnet1001-preactivation"), replace(SMALL_BOTTLENECKS, **FREE_STREAM)),
    **{f"resnet{depth}-average-pooled": replace(SMALL, shortcut="mean") for depth in (8, 14, 20)},
    **dict.fromkeys(("wrn-16-4", "wrn-16-8", "wrn-28-10", "wrn-40-4"), Written(**FREE_STREAM)),
    "resnet18-small-stem": Written(),
    "resnet18-textbook": TEXTBOOK,
    "resnet34-no-norm": WITHOUT_NORM,
    "resnet34-pooled": replace(WITHOUT_NORM, shortcut="mean"),
}

PREACTIVATION_FOR_PHOTOGRAPHS = (
    replace(catalogue.specification("resnet50"), order="full_preactivation", norm_on_projection=False),
    replace(BOTTLENECKS, **FREE_STREAM),
)
RELU_ONLY_FOR_PHOTOGRAPHS = (
    replace(catalogue.specification("resnet18"), order="relu_only_preactivation"),
    replace(PHOTOGRAPHS, order="relu_only_preactivation"),
)
POOLED_WHERE_CHANNELS_AGREE = (
    replace(catalogue.specification("resnet20"), shortcut="average_pooled", widths=(16, 16, 16)),
    replace(SMALL, shortcut="mean"),
)
FURTHER = {
    "pre-activation for photographs": PREACTIVATION_FOR_PHOTOGRAPHS,
    "ReLU-only pre-activation for photographs": RELU_ONLY_FOR_PHOTOGRAPHS,
    "pooled where channels agree": POOLED_WHERE_CHANNELS_AGREE,
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
    """The same kinds of blocks with few channels, at most two stages that shrink, two blocks each.

    A stem that is narrower than the first stage stays so, and grouped convolutions have two groups.
    """
    stages = min(3, len(spec.blocks))
    widths = tuple(max(1, 4 * width // spec.widths[0]) for width in spec.widths[:stages])
    stem = replace(spec.stem, width=4 if spec.stem.width == spec.widths[0] else 2)
    groups = min(2, spec.groups)
    excitation = None if spec.squeeze_excitation is None else 2
    return replace(
        spec,
        stem=stem,
        blocks=(2,) * stages,
        widths=widths,
        groups=groups,
        squeeze_excitation=excitation,
        in_channels=2,
        classes=3,
    )


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(("spec", "written"), cases())
def test_the_network_is_what_the_papers_write(spec: NetworkSpec, written: Written, training: bool) -> None:
    """Logits, and the gradient of every parameter and of the images, of the whole network."""
    assert_same_network(with_random_numbers(spec).train(training), written, noise(2, 2, 19, 14, seed=2))


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(("spec", "written"), cases())
def test_every_block_is_what_the_papers_write(spec: NetworkSpec, written: Written, training: bool) -> None:
    """Value and gradients of each block alone, on a stream with both signs."""
    network = with_random_numbers(spec).train(training)
    for stage, blocks in enumerate(network.stages):
        for index, block in enumerate(blocks.children()):
            theirs = within(numbers_of(network), f"stages.{stage}.{index}.")
            into = (spec.stem.width, *spec.out_channels)[stage + (index > 0)]
            own, copy = (noise(2, into, 7, 5, seed=3).requires_grad_(True) for _ in range(2))
            stride, is_first = 2 if stage > 0 and index == 0 else 1, (stage, index) == (0, 0)
            out = block(own)
            expected = replace(written, training=training).block(copy, theirs, stride, is_first=is_first)
            assert_close(out, expected, f"block {stage}.{index}")
            parameters = dict(block.named_parameters())
            weights = noise(*out.shape, seed=4)
            ours = gradients(out, weights, [own, *parameters.values()])
            reference = gradients(expected, weights, [copy, *(theirs[name] for name in parameters)])
            for name, gradient, other in zip(["x", *parameters], ours, reference, strict=True):
                assert gradient is not None, name
                assert other is not None, name
                assert_close(gradient, other, f"block {stage}.{index}, {name}")


def test_every_preset_has_its_writing() -> None:
    """A preset added to the catalogue needs its line here, or where stages begin with a transition, there."""
    assert {*EXPECTED, *WITH_TRANSITIONS} == set(catalogue.PRESETS)
