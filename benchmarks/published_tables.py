"""What the rule of the studies says of printed tables: of the runs that they give, and by the spreads that they print.

Test errors in points; the smallest difference that would matter is half a point, the span of five runs of ResNet-110.
"""

from collections.abc import Iterator
from typing import Any

from residua.studies import published
from residua.studies.claim import Claim, Term, Text
from residua.studies.design import Arm, Budget
from residua.studies.judging import answer_to, judge
from residua.studies.statistics import Summary, difference

M = 0.5
WORDS = Text("", "")
ASSUMED = "the other's spread is taken to be that of the five runs of ResNet-110"


def claim(name: str) -> Claim:
    """Returns the claim that one network's error is above another's."""
    terms = (Term("one", "error"), Term("other", "error", -1.0))
    return Claim(name=name, says=WORDS, source="", effect=terms, smallest=M, why_smallest=WORDS)


def by_runs(name: str, source: str, pairs: list[tuple[float, float]]) -> dict[str, Any]:
    """Returns the verdict on runs that are printed one by one."""
    arms = tuple(Arm(name=arm, network="") for arm in ("one", "other"))
    budget = Budget(arms=arms, seeds=len(pairs), minutes=0.0, decides=(name,))
    numbers = {
        arm: {seed: {"error": pair[place]} for seed, pair in enumerate(pairs)}
        for place, arm in enumerate(("one", "other"))
    }
    found = judge(claim(name), numbers, converged={}, budget=budget)
    return {"claim": name, "source": source, "n": found.n, "answer": found.answer, "effect": found.effect} | {
        "interval": [found.low, found.high]
    }


def by_spread(name: str, source: str, one: Summary, other: Summary) -> dict[str, Any]:
    """Returns the verdict on means of which at least one has a printed spread."""
    found = difference(one, other)
    assert found is not None
    assumed = {} if one.deviation is not None and other.deviation is not None else {"assumed": ASSUMED}
    answer = answer_to(claim(name), found)
    return {"claim": name, "source": source, "n": [one.n, other.n], "answer": answer, "effect": found.mean} | {
        "interval": [found.low, found.high],
        **assumed,
    }


def rows() -> list[dict[str, Any]]:
    """Returns a row a claim that the tables suggest."""
    return [*_depth(), *_shortcuts(), *_orders()]


def _depth() -> Iterator[dict[str, Any]]:
    table, five = published.HE_2015_TABLE_6, published.HE_2015_RESNET110
    for deep in (32, 44, 56, 110):
        yield by_runs(f"resnet20 above resnet{deep}", "He 2015, Table 6", [(table[20], table[deep])])
    for depth in (20, 56):
        single = Summary(mean=table[depth], deviation=None, n=1)
        yield by_spread(f"resnet{depth} above resnet110, spread of 110", "He 2015, Table 6", single, five)
    yield by_spread("resnet56 above resnet110", "re-runs; He 2015, Table 6", published.RERUNS_RESNET56, five)
    for deep in (32, 44, 56):
        pairs = [(one[deep], one[20]) for one in published.RERUNS_PLAIN]
        yield by_runs(f"plain{deep} above plain20", "two re-runs", pairs)
    imagenet = published.HE_2015_TABLE_2
    yield by_runs("plain34 above plain18", "He 2015, Table 2", [(imagenet["plain34"], imagenet["plain18"])])


def _shortcuts() -> Iterator[dict[str, Any]]:
    for name, error in published.HE_2016_TABLE_1.items():
        if name == "original":
            continue
        yield by_runs(f"{name} above original", "He 2016, Table 1", [(error, published.HE_2016_TABLE_1["original"])])
        single = Summary(mean=error, deviation=None, n=1)
        source = "He 2016, Table 1; He 2015, Table 6"
        yield by_spread(f"{name} above original, spread of 110", source, single, published.HE_2015_RESNET110)


def _orders() -> Iterator[dict[str, Any]]:
    five, (_, original) = published.HE_2015_RESNET110, published.HE_2016_TABLE_2["original"]
    source = "He 2016, Table 2; He 2015, Table 6"
    for name, (at_110, at_164) in published.HE_2016_TABLE_2.items():
        if name == "original":
            continue
        single = Summary(mean=at_110, deviation=None, n=1)
        one, other = (five, single) if at_110 < five.mean else (single, five)
        said = f"original above {name}" if one is five else f"{name} above original"
        yield by_runs(f"{said}, 164 layers", "He 2016, Table 2", [(max(at_164, original), min(at_164, original))])
        yield by_spread(f"{said}, 110 layers, spread of 110", source, one, other)
