"""What a trained network loses with a block (Veit et al. 2016, §4.1 and 4.2)."""

from statistics import fmean, median

from residua.diagnostics.lesions import Lesion, Lesions, lesions
from residua.studies.trial import Measure, Measurement, Trial

_IMAGES = 256


def lesion(trial: Trial) -> Measurement:
    """Measures the error on 256 held-out images without each block, without several, and with pairs exchanged.

    Numbers: ``whole_error``; ``chance``, the error of the commonest class; ``lesion_error``, the median over the blocks
    that keep the shape, each removed alone, and ``lesion_rise``, that less the whole network's; ``transition_rise``,
    the mean over those that change it less that median, where there are any; ``recalibrated_rise``, as ``lesion_rise``
    with the norms' statistics taken anew. Series: ``lesion_error`` and ``whole_error`` by block from the input;
    ``several_error`` by the number of blocks removed, ``swapped_error`` by that of pairs exchanged.
    """
    found = lesions(trial.case(_IMAGES), examples=_IMAGES, draws=1, seed=trial.seed, timed=False)
    kept = [one for one in found.single if not one.changes_shape]
    changed = [one.error for one in found.single if one.changes_shape]
    middle = median(one.error for one in kept)
    numbers = {"whole_error": found.whole, "lesion_error": middle, "lesion_rise": middle - found.whole}
    if found.chance is not None:
        numbers["chance"] = found.chance
    if changed:
        numbers["transition_rise"] = fmean(changed) - middle
    anew = [one.recalibrated for one in kept if one.recalibrated is not None]
    if anew:
        numbers["recalibrated_rise"] = median(anew) - found.whole
    return Measurement(numbers=numbers, series=_series(found))


LESION = Measure("lesion", lesion)


def _series(found: Lesions) -> dict[str, tuple[tuple[float, float], ...]]:
    places = [float(place) for place in range(1, len(found.single) + 1)]
    return {
        "lesion_error": tuple((place, one.error) for place, one in zip(places, found.single, strict=True)),
        "whole_error": tuple((place, found.whole) for place in places),
        "several_error": tuple((float(len(one.names)), one.error) for one in found.several),
        "swapped_error": tuple((_pairs(one), one.error) for one in found.swapped),
    }


def _pairs(one: Lesion) -> float:
    return len(one.names) / 2
