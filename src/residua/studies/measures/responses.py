"""How strongly each layer responds: what it gives after its norm, before activation and addition."""

from itertools import pairwise
from statistics import fmean

import torch
from torch import Tensor, nn

from residua.diagnostics.case import run, undisturbed
from residua.errors import BadNetwork
from residua.studies.trial import Measure, Measurement, Trial

_IMAGES = 256


def responses(trial: Trial) -> Measurement:
    """Measures a network in evaluation mode on 256 training images (He et al. 2015, §4.2 and Fig. 7).

    Numbers: ``mean_response``, the mean over the layers. Series: ``response``, the standard deviation of each 3×3
    convolution's output after its batch norm, over images, channels and places, by layer from 1 at the image.

    Raises:
        BadNetwork: If no batch norm follows a 3×3 convolution.
    """
    case = trial.case(_IMAGES)
    found: list[float] = []

    def meet(_norm: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        found.append(float(output.double().std(correction=0)))

    with undisturbed(case.module) as network, torch.no_grad():
        leaves = [one for one in network.eval().modules() if not list(one.children())]
        norms = [norm for layer, norm in pairwise(leaves) if _is_3x3(layer) and isinstance(norm, nn.BatchNorm2d)]
        if not norms:
            raise BadNetwork(
                f"{trial.arm}: no batch norm follows a 3×3 convolution, so there is no response to measure; "
                "give the arm a network of order original with norm=batch"
            )
        hooks = [norm.register_forward_hook(meet) for norm in norms]
        try:
            run(network, case.examples)
        finally:
            for hook in hooks:
                hook.remove()
    series = tuple((float(layer), one) for layer, one in enumerate(found, start=1))
    return Measurement(numbers={"mean_response": fmean(found)}, series={"response": series})


RESPONSES = Measure("responses", responses)


def _is_3x3(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3)
