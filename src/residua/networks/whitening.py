"""A stem that whitens: its filters turn the patches of the training images into uncorrelated numbers of variance one.

Notation: x is a patch of k × k pixels as a vector, C = E[x xᵀ] = V diag(λ) Vᵀ over the patches of many images. The
filters are V diag(λ + ε)^(−1/2), the largest λ first, and then their negatives, so that an activation that cuts
negative numbers off loses none (Jordan 2024, arXiv:2404.00498, §3.1, after Page 2018).
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from residua.errors import BadNetwork
from residua.networks.network import ResidualNetwork

_AT_ONCE = 64
"""Images whose patches, k² times their size, are in memory together."""
_EPSILON = 5e-4  # Jordan 2024's; keeps directions that hold hardly any variance from being blown up


@torch.no_grad()
def whiten(network: ResidualNetwork, images: Float[Tensor, "n c h w"]) -> None:
    """Sets the filters of a whitening stem from images, in place, and its bias to 0.

    Args:
        network: Its specification says ``stem.whitening``.
        images: Normalised; some thousands are enough.

    Raises:
        BadNetwork: If the network's stem does not whiten.
    """
    if not network.spec.stem.whitening:
        raise BadNetwork("the network's stem does not whiten; build it with residua.networks.spec.whitening_stem")
    layer = network.stem.get_submodule("convolution")
    products, count = torch.zeros(()), 0
    for some in images.float().split(_AT_ONCE):
        patches = functional.unfold(some, network.spec.stem.kernel).transpose(1, 2).flatten(0, 1).double()
        products, count = products + patches.T @ patches, count + len(patches)
    variances, directions = torch.linalg.eigh(products / count)
    filters = (directions / (variances + _EPSILON).sqrt()).T.flip(0)
    weight = layer.get_parameter("weight")
    weight.copy_(torch.cat([filters, -filters]).view(weight.shape))
    layer.get_parameter("bias").zero_()
