"""Which images a Hessian is of: how many, in how many draws, and what that costs.

The unit is a product of the Hessian with a vector, timed on the module itself.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import torch

from residua.diagnostics.case import Case, Examples
from residua.diagnostics.curvature.products import Way, products_of

SECONDS = 120.0
"""Into which all products are to fit where the number of images is not given."""
SIZES = (128, 256, 512, 1024)
"""Images of a draw, of which the most are taken that fit."""
_TIMED = 32


@final
@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many images, and how often."""

    images: int
    """Of each draw."""
    draws: int
    products: int
    """That are expected in all."""
    seconds: float
    """That a product takes."""
    is_apart: bool
    """Whether no image is in two draws."""
    says: tuple[str, ...]


def planned(case: Case, images: int | None, draws: int, *, of_a_draw: int, seconds_of_an_image: float) -> Plan:
    """Returns the plan for a case.

    Args:
        case: Whose examples there are.
        images: Of a draw, as asked; None takes the most of `SIZES` that fit into `SECONDS`, 128 where none does.
        draws: As asked; one where a draw takes all examples.
        of_a_draw: Products that a draw takes, about.
        seconds_of_an_image: That an image takes in a product.
    """
    count = len(case.examples)
    chosen = images if images is not None else _fitting(count // draws, draws * of_a_draw * seconds_of_an_image)
    taken, says = min(chosen, count), []
    if images is not None and images > count:
        says.append(f"There are {count} images, of the {images} a draw that were asked for.")
    if taken == count and draws > 1:
        says.append(f"All {count} images are in the one draw: how much the numbers vary with the images is not known.")
        draws = 1
    is_apart = taken * draws <= count
    if not is_apart:
        says.append(f"The {draws} draws of {taken} images share some, of {count}: they vary less than others would.")
    seconds = taken * seconds_of_an_image
    if images is None:
        cost = draws * of_a_draw * seconds
        says.append(
            f"Each draw has {taken} images, {'as many as fit' if cost <= SECONDS else 'more than fit'} into "
            f"{SECONDS / 60:.0f} minutes; `images` takes another number."
        )
    return Plan(
        images=taken, draws=draws, products=draws * of_a_draw, seconds=seconds, is_apart=is_apart, says=tuple(says)
    )


def _fitting(most: int, seconds_of_all: float) -> int:
    fitting = [size for size in SIZES if size <= most and size * seconds_of_all <= SECONDS]
    return max(fitting, default=SIZES[0])


def seconds_of_an_image(case: Case, *, policy: str, way: Way) -> float:
    """Returns how long a product takes for each image, by one of 32."""
    few = case.examples.take(slice(0, _TIMED))
    with products_of(case, few, policy=policy, way=way) as products:
        began = time.perf_counter()
        products(torch.ones_like(products.centre))
        return (time.perf_counter() - began) / len(few)


def drawn(examples: Examples, plan: Plan, seed: int) -> Iterator[Examples]:
    """Yields each draw's images; without one in common where there are enough."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(examples), generator=generator)
    for index in range(plan.draws):
        if not plan.is_apart and index:
            order = torch.randperm(len(examples), generator=generator)
        start = index * plan.images if plan.is_apart else 0
        yield examples.take(order[start : start + plan.images].sort().values)
