"""What makes a random direction as large as the weights it moves (Li et al. 2018, §4).

Notation: θ, d a tensor of the weights and its random direction, f a filter of them: the slice at one place of the
first axis, for tensors of two and more axes. Of a convolution's weight [out, in, h, w] that is what makes one output
channel, of a linear layer's [out, in] the row of one output. A transposed convolution's weight is [in, out, h, w]:
there it is all that one *input* channel is multiplied with. Of an embedding it is the row of one token.
"""

from typing import Literal

import torch
from torch import Tensor

from residua.errors import BadSetting, unknown

Normalisation = Literal["filter", "layer", "weight", "none"]
NORMALISATIONS: tuple[Normalisation, ...] = ("filter", "layer", "weight", "none")


def normalised(drawn: Tensor, weights: Tensor, how: Normalisation) -> Tensor:
    """Returns a direction d as large as the weights θ, of the same shape, in float64.

    ``filter``: d_f ‖θ_f‖ / ‖d_f‖ with the norm of all numbers of a filter; ``layer``: the same with the whole tensor
    for f; ``weight``: d_i |θ_i|, weight by weight, which moves no weight that is 0; ``none``: d. A tensor of at most
    one axis is one filter. Where θ_f is 0, so is the result: a dead filter stays dead.
    """
    d, theta = drawn.double(), weights.detach().to("cpu", torch.float64)
    if how == "none":
        return d
    if how == "weight":
        return d * theta.abs()
    rows = (len(d), -1) if how == "filter" and d.dim() > 1 else (1, -1)
    d_f, theta_f = (one.reshape(rows) if one.numel() else one.reshape(1, 0) for one in (d, theta))
    length = d_f.norm(dim=1, keepdim=True)
    return (d_f * torch.where(length > 0, theta_f.norm(dim=1, keepdim=True) / length, 0)).reshape(d.shape)


def known(how: str) -> Normalisation:
    """Returns a normalisation by its name.

    Raises:
        BadSetting: With those that there are.
    """
    for one in NORMALISATIONS:
        if one == how:
            return one
    raise BadSetting(unknown("normalisation", how, NORMALISATIONS))
