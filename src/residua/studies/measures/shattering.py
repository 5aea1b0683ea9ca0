"""How alike the gradients of neighbouring inputs are, beside white and brown noise."""

from residua.diagnostics.shattering import shattering as shattering_of
from residua.studies.dense import case_of
from residua.studies.trial import Measure, Measurement, Trial

EXAMPLES = 256
_NAMED = (1, 5)


def shattering(trial: Trial) -> Measurement:
    """Measures the autocorrelation of df/dx along 256 inputs on the line between two.

    Numbers: ``lag_1`` and ``lag_5``, with ``white_1``, ``brown_1`` and so on for the noises. Series over the lag:
    ``autocorrelation``, ``white``, ``brown``.
    """
    found = shattering_of(case_of(trial, EXAMPLES))
    curves = {"lag": found.autocorrelation, "white": found.white, "brown": found.brown}
    numbers = {f"{name}_{lag}": curve[found.lags.index(lag)] for name, curve in curves.items() for lag in _NAMED}
    series = {
        name: tuple((float(lag), value) for lag, value in zip(found.lags, curve, strict=True))
        for name, curve in (("autocorrelation", found.autocorrelation), ("white", found.white), ("brown", found.brown))
    }
    return Measurement(numbers=numbers, series=series)


SHATTERING = Measure("shattering", shattering)
