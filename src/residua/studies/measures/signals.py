"""How the signal's variance grows along the stream, and how much of it each branch brings."""

from residua.diagnostics import predictions
from residua.diagnostics.signals import StreamPlace
from residua.diagnostics.signals import signals as signals_of
from residua.studies.dense import Dense, DenseNetwork, case_of
from residua.studies.trial import Measure, Measurement, Trial

EXAMPLES = 512


def signals(trial: Trial) -> Measurement:
    """Measures one pass in training mode behind every addition of branch and shortcut, l = 1, 2, …

    Numbers, of the last block: ``variance`` and ``squared_mean`` (of a channel over the examples, mean over the
    channels), ``share_of_variance`` and ``share_of_moment`` that the branch brings; each but the squared mean also as
    ``predicted_…`` where theory has it. Series of the same names over l. None of them for a network without additions.
    """
    case = case_of(trial, EXAMPLES)
    stream = signals_of(case, size=EXAMPLES).stream
    theory = _predicted(case.module.spec) if isinstance(case.module, DenseNetwork) else {}
    if not stream:
        return Measurement()
    series = {name: _over(stream, name) for name in (*_QUANTITIES, "squared_mean")} | theory
    return Measurement(numbers={name: points[-1][1] for name, points in series.items()}, series=series)


_QUANTITIES = {
    "variance": predictions.stream_variance,
    "share_of_variance": predictions.share_of_variance,
    "share_of_moment": predictions.share_of_moment,
}
_Points = tuple[tuple[float, float], ...]


def _over(stream: tuple[StreamPlace, ...], name: str) -> _Points:
    return tuple((float(block), float(getattr(place, name))) for block, place in enumerate(stream, start=1))


def _predicted(spec: Dense) -> dict[str, _Points]:
    """Returns the series that theory gives for one-layer branches of BN–ReLU–linear (``docs/predictions.md``)."""
    holds = spec.shortcuts and spec.norm and spec.activation == "relu" and spec.gain is None and spec.scale == 1
    if not holds:
        return {}
    blocks = range(1, spec.depth + 1)
    return {
        f"predicted_{name}": tuple((float(block), theory(block)) for block in blocks)
        for name, theory in _QUANTITIES.items()
    }


SIGNALS = Measure("signals", signals)
