"""What each part of a network makes of an image: its feature maps, and which of them say anything."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from residua.networks.network import ResidualNetwork


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class PlaceMaps:
    """The feature maps that one part of a network gives for one image."""

    place: str
    """A name that `ResidualNetwork.features` takes: ``stem``, ``stage1``, …, ``tail``."""
    shape: tuple[int, int, int]
    """Channels, height and width of all its maps."""
    channels: tuple[int, ...]
    """Positions, from 0, of the channels in ``maps``."""
    maps: Float[Tensor, "k h w"]
    """The maps that vary most over the image, the most varying first; dead ones are left out."""
    dead: int
    """How many channels are zero everywhere on this image."""
    signed: bool
    """Whether any value of any channel is negative."""


def feature_maps(network: ResidualNetwork, image: Float[Tensor, "1 c h w"], *, most: int = 12) -> tuple[PlaceMaps, ...]:
    """Returns the maps of the stem, of every stage and, where it has layers, of the tail.

    The network is asked in evaluation mode without gradients; its mode is restored. Channels are ranked by the
    variance of their values over the positions, and among equals, as where a map has one position, by the size of
    their mean.

    Args:
        network: The network.
        image: One normalised image.
        most: How many channels of each place to return.
    """
    places = ["stem", *(f"stage{stage}" for stage in range(1, len(network.stages) + 1))]
    places += [] if isinstance(network.tail, nn.Identity) else ["tail"]
    was_training = network.training
    network.eval()
    with torch.no_grad():
        found = network.features(image, at=places)
    network.train(was_training)
    return tuple(_most_varying(place, maps[0].float().cpu(), most) for place, maps in found.items())


def _most_varying(place: str, maps: Float[Tensor, "c h w"], most: int) -> PlaceMaps:
    values = maps.flatten(1)
    dead = (values == 0).all(1)
    ranks = zip(values.var(1, correction=0).tolist(), values.mean(1).abs().tolist(), strict=True)
    ordered = sorted(enumerate(ranks), key=lambda pair: pair[1], reverse=True)
    channels = tuple(channel for channel, _ in ordered if not dead[channel])[:most]
    count, height, width = maps.shape
    return PlaceMaps(
        place=place,
        shape=(count, height, width),
        channels=channels,
        maps=maps[list(channels)],
        dead=int(dead.sum()),
        signed=bool((values < 0).any()),
    )
