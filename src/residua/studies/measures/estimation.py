"""Whether the blocks of a stage refine one estimate (Greff et al. 2017)."""

from itertools import pairwise
from statistics import fmean

from residua.diagnostics.estimation import iterative_estimation
from residua.studies.trial import Measure, Measurement, Trial

_IMAGES = 64


def estimation(trial: Trial) -> Measurement:
    """Measures the cosine of each block's output to that of its stage's last block, mean over 64 training images.

    Numbers: ``first_cosine``, of a stage's first block, mean over the stages; ``largest_fall`` from one block to the
    next, 0 where the cosines never fall; ``largest_step`` upwards. In a network without shortcuts the layers take the
    blocks' place. Series: ``cosine`` by place from the input, stage after stage.

    Raises:
        ValueError: If no stage has two places of one shape.
    """
    stages = [stage.cosines for stage in iterative_estimation(trial.case(_IMAGES), size=_IMAGES).stages]
    if not stages:
        raise ValueError("no stage has two blocks of one shape")
    steps = [after - before for cosines in stages for before, after in pairwise(cosines)]
    along = [cosine for cosines in stages for cosine in cosines]
    return Measurement(
        numbers={
            "first_cosine": fmean(cosines[0] for cosines in stages),
            "largest_fall": max(0.0, -min(steps)),
            "largest_step": max(steps),
        },
        series={"cosine": tuple((float(place), cosine) for place, cosine in enumerate(along, 1))},
    )


ESTIMATION = Measure("estimation", estimation)
