"""Batch norms folded into the convolutions before them: the same function in evaluation mode, in fewer passes."""

import copy
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from residua.errors import BadNetwork
from residua.networks.blocks import StochasticDepth

Network = TypeVar("Network", bound=nn.Module)


def fold_batchnorm(network: Network) -> Network:
    """Returns a copy for inference in which every batch norm that directly follows a convolution is part of it.

    W' = γ W / √(σ² + ε) and b' = (b − μ) γ / √(σ² + ε) + β with the running statistics (Jacob et al. 2018, Eq. 14;
    computed by torch). A norm stays where no convolution comes before it in its chain: before a
    pre-activation, after an addition. The copy is in evaluation mode and needs no gradient; it no longer holds the
    tensors of its specification, so keep the network itself to save or to train.

    Raises:
        BadNetwork: If no batch norm directly follows a convolution in a chain of layers.
    """
    folded, count = copy.deepcopy(network).eval().requires_grad_(False), 0
    for chain in list(folded.modules()):
        previous: tuple[str, nn.Module] | None = None
        for name, layer in list(chain.named_children()) if isinstance(chain, nn.Sequential | StochasticDepth) else ():
            if previous and isinstance(previous[1], nn.Conv2d) and isinstance(layer, nn.BatchNorm2d):
                setattr(chain, previous[0], fuse_conv_bn_eval(previous[1], layer))
                setattr(chain, name, nn.Identity())
                count += 1
            previous = (name, layer)
    if count == 0:
        raise BadNetwork("no batch norm directly follows a convolution in a chain of layers: nothing can be folded")
    return folded
