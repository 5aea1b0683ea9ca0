"""Where in an image a class's evidence lies."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from residua.networks.network import ResidualNetwork


def class_activation_maps(
    network: ResidualNetwork, images: Float[Tensor, "b c h w"], classes: Int64[Tensor, " b"]
) -> Float[Tensor, "b h2 w2"]:
    """Returns each place's share of a class's logit (Zhou et al. 2016, arXiv:1512.04150, Eq. 2).

    With a global average pool and a linear head the logit of class k is b_k plus the mean over places of
    Σ_c w_kc f_c(place), f being the last feature maps; the map is that sum. Exact: its mean plus the bias is
    the logit. The network is asked in evaluation mode without gradients; its mode is restored.

    Args:
        network: A network with a pooled linear head.
        images: Normalised images.
        classes: The class that each image's map is for.
    """
    was_training = network.training
    network.eval()
    with torch.no_grad():
        features = network.feature_maps(images)
        maps = torch.einsum("bc,bchw->bhw", network.head.weight[classes], features)
    network.train(was_training)
    return maps
