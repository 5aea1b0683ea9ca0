"""The named networks: every name means one network, and a line says what to expect of it.

Every network has a plain twin, ``plain34`` beside ``resnet34``, ``plain-wrn-28-10`` beside ``wrn-28-10``: the same
layers without shortcuts. What a
name stands for is written in `families`; the numbers below are for each family's classes and images, and
the errors are those of the papers' tables.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from residua.errors import BadSetting, unknown
from residua.networks import families
from residua.networks.spec import NetworkSpec


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A named network: how it is made and what it says of itself."""

    summary: str
    """One line for a listing."""
    make: partial[NetworkSpec]
    """The family, with the size."""


def names() -> tuple[str, ...]:
    """Lists the names of all networks, plain twins after the residual networks."""
    return (*PRESETS, *map(plain_name, PRESETS))


def specification(name: str, *, classes: int | None = None, in_channels: int | None = None) -> NetworkSpec:
    """Returns what ``name`` stands for, with other classes or image channels where these are given.

    Example:
        >>> specification("resnet20", classes=7).depth
        20

    Raises:
        BadSetting: If no network has the name (with the nearest that exists), or a number is below 1.
    """
    residual = residual_name(name)
    spec = PRESETS[residual].make()
    spec = spec if classes is None else replace(spec, classes=classes)
    spec = spec if in_channels is None else spec.seeing(in_channels)
    return spec if name == residual else spec.plain_twin()


def summary(name: str) -> str:
    """Says in one line what the network is, how large, and what the paper measured with it.

    Raises:
        BadSetting: If no network has the name.
    """
    residual = residual_name(name)
    if name == residual:
        return PRESETS[name].summary
    measured = PLAIN_ERRORS.get(name)
    return f"The layers of {residual} without shortcuts" + (f"; {measured}" if measured else "")


def description(name: str) -> str:
    """Says at length what the network is: its line, then the docstring of its family.

    Raises:
        BadSetting: If no network has the name.
    """
    family = PRESETS[residual_name(name)].make.func
    return f"{summary(name)}\n\n{inspect.getdoc(family)}"


def plain_name(residual: str) -> str:
    """Returns the name of a residual network's plain twin."""
    return residual.replace("resnet", "plain", 1) if "resnet" in residual else f"plain-{residual}"


def residual_name(name: str) -> str:
    """Returns the residual network that ``name`` is, or is the plain twin of.

    Raises:
        BadSetting: If no network has the name.
    """
    residual = name if name in PRESETS else {plain_name(preset): preset for preset in PRESETS}.get(name)
    if residual is None:
        raise BadSetting(unknown("network", name, names()))
    return residual


def _family(make: Callable[..., NetworkSpec], line: str, sizes: dict[str, tuple[Any, ...]]) -> dict[str, Preset]:
    """Returns a family's presets; a size is the family's arguments, then what its line is filled with."""
    return {
        name: Preset(summary=line.format(*filling), make=partial(make, *arguments))
        for name, (arguments, *filling) in sizes.items()
    }


PRESETS: dict[str, Preset] = {
    **_family(
        families.basic_for_photographs,
        "Basic blocks for photographs: {} parameters, {} multiply-adds; ImageNet top-1 error {} %",
        {
            "resnet18": (((2, 2, 2, 2),), "11.69 M", "1.81 G", "27.88"),
            "resnet34": (((3, 4, 6, 3),), "21.80 M", "3.66 G", "24.52"),
        },
    ),
    **_family(
        families.bottleneck_for_photographs,
        "Bottlenecks for photographs: {} parameters, {} multiply-adds{}",
        {
            "resnet50": (((3, 4, 6, 3),), "25.56 M", "4.09 G", "; ImageNet top-1 error 22.85 %"),
            "resnet101": (((3, 4, 23, 3),), "44.55 M", "7.80 G", "; ImageNet top-1 error 21.75 %"),
            "resnet152": (((3, 8, 36, 3),), "60.19 M", "11.51 G", "; ImageNet top-1 error 21.43 %"),
            "resnet200": (((3, 24, 36, 3),), "64.67 M", "15.01 G", ""),
        },
    ),
    **_family(
        families.basic_for_small_images,
        "Basic blocks for small images, option A: {} parameters, {} multiply-adds{}",
        {
            "resnet8": ((8,), "0.08 M", "12.2 M", ""),
            "resnet14": ((14,), "0.17 M", "26.4 M", ""),
            "resnet20": ((20,), "0.27 M", "40.6 M", "; CIFAR-10 error 8.75 %"),
            "resnet32": ((32,), "0.46 M", "68.9 M", "; CIFAR-10 error 7.51 %"),
            "resnet44": ((44,), "0.66 M", "97.2 M", "; CIFAR-10 error 7.17 %"),
            "resnet56": ((56,), "0.85 M", "125.5 M", "; CIFAR-10 error 6.97 %"),
            "resnet110": ((110,), "1.73 M", "252.9 M", "; CIFAR-10 error 6.61 ± 0.16 %"),
            "resnet1202": ((1202,), "19.42 M", "2.83 G", "; CIFAR-10 error 7.93 %"),
        },
    ),
    **_family(
        families.pooled_for_small_images,
        "Basic blocks for small images, option D: {} parameters, {} multiply-adds",
        {
            "resnet8-average-pooled": ((8,), "0.08 M", "12.5 M"),
            "resnet14-average-pooled": ((14,), "0.18 M", "26.7 M"),
            "resnet20-average-pooled": ((20,), "0.27 M", "40.8 M"),
        },
    ),
    **_family(
        families.bottleneck_for_small_images,
        "Bottlenecks for small images: {} parameters, {} multiply-adds; CIFAR-10 error {} %",
        {
            "resnet164": ((164,), "1.70 M", "244.5 M", "5.93"),
            "resnet1001": ((1001,), "10.33 M", "1.49 G", "7.61"),
        },
    ),
    **_family(
        families.preactivated_for_small_images,
        "Pre-activation bottlenecks for small images: {} parameters, {} multiply-adds; CIFAR-10 error {} %",
        {
            "resnet164-preactivation": ((164,), "1.70 M", "244.5 M", "5.46"),
            "resnet1001-preactivation": ((1001,), "10.33 M", "1.49 G", "4.92"),
        },
    ),
    **_family(
        families.wide_for_photographs,
        "Bottlenecks twice as wide, for photographs: {} parameters, {} multiply-adds{}",
        {
            "wide_resnet50_2": (((3, 4, 6, 3),), "68.88 M", "11.40 G", "; ImageNet top-1 error 21.9 %"),
            "wide_resnet101_2": (((3, 4, 23, 3),), "126.89 M", "22.75 G", ""),
        },
    ),
    **_family(
        families.aggregated_for_photographs,
        "ResNeXt, grouped bottlenecks for photographs: {} parameters, {} multiply-adds{}",
        {
            "resnext50_32x4d": (((3, 4, 6, 3), 32, 4), "25.03 M", "4.23 G", "; ImageNet top-1 error 22.2 %"),
            "resnext101_32x8d": (((3, 4, 23, 3), 32, 8), "88.79 M", "16.41 G", ""),
            "resnext101_64x4d": (((3, 4, 23, 3), 64, 4), "83.46 M", "15.46 G", "; ImageNet top-1 error 20.4 %"),
        },
    ),
    **_family(
        families.deep_stem_for_photographs,
        "Bottlenecks behind three 3×3{}: {} parameters, {} multiply-adds; ImageNet top-1 error {} %",
        {
            "resnet50c": (((3, 4, 6, 3), False), "", "25.58 M", "4.33 G", "23.13"),
            "resnet50d": (((3, 4, 6, 3), True), ", option D", "25.58 M", "4.33 G", "22.84"),
        },
    ),
    **_family(
        families.excited_for_photographs,
        "Squeeze-excitation in {} blocks for photographs: {} parameters, {} multiply-adds{}",
        {
            "se_resnet18": (((2, 2, 2, 2), "basic"), "basic", "11.78 M", "1.81 G", ""),
            "se_resnet34": (((3, 4, 6, 3), "basic"), "basic", "21.96 M", "3.66 G", ""),
            "se_resnet50": (
                ((3, 4, 6, 3), "bottleneck"),
                "bottleneck",
                "28.09 M",
                "4.09 G",
                "; ImageNet top-1 error 23.29 %",
            ),
            "se_resnet101": (((3, 4, 23, 3), "bottleneck"), "bottleneck", "49.33 M", "7.81 G", ""),
        },
    ),
    **_family(
        families.wide_preactivated,
        "Wide pre-activation blocks for small images: {} parameters, {} multiply-adds{}",
        {
            "wrn-16-4": ((16, 4), "2.75 M", "392.6 M", ""),
            "wrn-16-8": ((16, 8), "10.96 M", "1.55 G", "; CIFAR-10 error 4.27 %"),
            "wrn-28-10": ((28, 10), "36.48 M", "5.24 G", "; CIFAR-10 error 4.00 %"),
            "wrn-40-4": ((40, 4), "8.95 M", "1.30 G", "; CIFAR-10 error 4.53 %"),
        },
    ),
    **_family(
        families.fast_for_small_images,
        "Trained fast: whitening stem, three pooled stages of one 3×3 block: {} parameters, {} multiply-adds",
        {
            "fast-resnet8": (((64, 256, 256),), "1.97 M", "118.1 M"),
            "fast-resnet8-narrow": (((32, 128, 128),), "0.50 M", "33.1 M"),
        },
    ),
    "resnet18-small-stem": Preset(
        summary="18 wide layers behind a 3×3 stem: 11.17 M parameters, 555.4 M multiply-adds",
        make=partial(families.wide_for_small_images),
    ),
    "resnet18-textbook": Preset(
        summary="18 layers of a textbook, grey images: 11.18 M parameters, 318.7 M multiply-adds",
        make=partial(families.textbook),
    ),
    "resnet34-no-norm": Preset(
        summary="34 layers without norms: 21.38 M parameters, 299.1 M multiply-adds",
        make=partial(families.without_norm),
    ),
    "resnet34-pooled": Preset(
        summary="34 layers, pooled shortcuts, no norms: 21.79 M parameters, 3.66 G multiply-adds",
        make=partial(families.pooled),
    ),
}
"""What every name stands for; the plain twins follow from these."""

PLAIN_ERRORS = {
    "plain18": "ImageNet top-1 error 27.94 %",
    "plain34": "ImageNet top-1 error 28.54 %",
}
"""What the paper measured without shortcuts (He et al. 2015, Table 2); its CIFAR-10 curves have no table."""
