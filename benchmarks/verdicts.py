"""Counts false and missed verdicts on simulated effects, and applies the rule to published tables.

    .venv/bin/python benchmarks/verdicts.py [--studies 100000]

A simulated study draws one effect a seed, from the law of its row, and is judged as every study is. ``at m`` has the
true mean effect at m itself, where both decisions are wrong as often as they are ever wrong; ``power`` has it two
standard deviations beyond m, on either side. Rates have their standard error.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from published_tables import rows as published
from results import write

from residua import machine
from residua.studies.statistics import estimate, quantile

Draw = Callable[[np.random.Generator, tuple[int, int], float], NDArray[np.float64]]
"""Draws effects [studies, seeds] about a true mean, with one standard deviation of 1."""
M = 1.0
BEYOND = 2.0


def normal(generator: np.random.Generator, shape: tuple[int, int], mean: float) -> NDArray[np.float64]:
    return generator.normal(mean, 1.0, shape)


def heavy(generator: np.random.Generator, shape: tuple[int, int], mean: float) -> NDArray[np.float64]:
    """Student's t with 3 degrees of freedom, whose variance is 3."""
    return mean + generator.standard_t(3, shape) / 3**0.5


def paired(correlation: float, ratio: float) -> Draw:
    """Returns the difference of two arms that share their seeds: correlated, one with more spread than the other."""

    def draw(generator: np.random.Generator, shape: tuple[int, int], mean: float) -> NDArray[np.float64]:
        shared, own = generator.standard_normal((2, *shape))
        other = correlation * shared + (1 - correlation**2) ** 0.5 * own
        spread = (1 + ratio**2 - 2 * correlation * ratio) ** 0.5
        return mean + (shared - ratio * other) / spread

    return draw


def log_ratio(generator: np.random.Generator, shape: tuple[int, int], mean: float) -> NDArray[np.float64]:
    """Logarithms of the ratio of two positive losses, each log-normal, as the transform ``log`` takes them."""
    one, other = generator.lognormal(0.0, 0.5**0.5, (2, *shape))
    return np.log(np.exp(mean) * one) - np.log(other)


def skewed(generator: np.random.Generator, shape: tuple[int, int], mean: float) -> NDArray[np.float64]:
    """Log-normal effects without the logarithm, σ = 1: what the rule is not for."""
    drawn = generator.lognormal(0.0, 1.0, shape)
    return mean + (drawn - np.exp(0.5)) / ((np.e - 1) * np.e) ** 0.5


LAWS: dict[str, Draw] = {
    "normal": normal,
    "arms correlated 0.8, equal spread": paired(0.8, 1.0),
    "arms correlated 0.8, one with 3 times the spread": paired(0.8, 3.0),
    "arms correlated −0.5": paired(-0.5, 1.0),
    "ratio of log-normal losses, log": log_ratio,
    "heavy tails (t, 3 degrees of freedom)": heavy,
    "log-normal effects, no log": skewed,
}


def decided(effects: NDArray[np.float64], m: float) -> tuple[float, float]:
    """Returns the parts of the studies whose interval lies wholly above m, and wholly below: `judge`'s rule at once."""
    n = effects.shape[1]
    half = quantile(n) * effects.std(1, ddof=1) / n**0.5
    mean = effects.mean(1)
    return float((mean - half > m).mean()), float((mean + half < m).mean())


def within(effects: NDArray[np.float64], m: float) -> tuple[float, float]:
    """Returns the parts that lie wholly within (−m, m), and wholly outside."""
    n = effects.shape[1]
    half = quantile(n) * effects.std(1, ddof=1) / n**0.5
    low, high = effects.mean(1) - half, effects.mean(1) + half
    return float(((low > -m) & (high < m)).mean()), float(((low > m) | (high < -m)).mean())


def simulated(studies: int) -> Iterator[dict[str, Any]]:
    """Yields a row a law and number of seeds."""
    for law, draw in LAWS.items():
        for n in (3, 5, 10):
            generator = np.random.default_rng([n, sorted(LAWS).index(law)])
            above, below = decided(draw(generator, (studies, n), M), M)
            inside, outside = within(draw(generator, (studies, n), M), M)
            yield {
                "law": law,
                "seeds": n,
                "at_m": {"false_above": above, "false_below": below, "false": above + below},
                "at_m_within": {"false_within": inside, "false_outside": outside, "false": inside + outside},
                "power": {
                    "above": decided(draw(generator, (studies, n), M + BEYOND), M)[0],
                    "below": decided(draw(generator, (studies, n), M - BEYOND), M)[1],
                },
                "standard_error": {"false": (0.05 * 0.95 / studies) ** 0.5, "power": (0.8 * 0.2 / studies) ** 0.5},
            }


def diverging(studies: int) -> Iterator[dict[str, Any]]:
    """Yields how often the rule errs where the largest of the effects, from a threshold on, are infinite.

    True mean of the finite law at m, as above; nothing is wrong in calling effects that may be infinite larger than m,
    so only ``below`` is false for certain, and ``above`` is shown beside it.
    """
    for part in (0.05, 0.2, 0.5):
        generator = np.random.default_rng(int(100 * part))
        effects = normal(generator, (studies, 5), M)
        effects[effects > np.quantile(effects, 1 - part)] = np.inf
        found = [estimate(row.tolist()) for row in effects]
        above = sum(one.low > M for one in found) / studies
        yield {"diverged": part, "seeds": 5, "above": above, "below": sum(one.high < M for one in found) / studies}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=100_000)
    asked = parser.parse_args()
    machine.prepare_process()
    began = time.perf_counter()
    rows, diverged, tables = list(simulated(asked.studies)), list(diverging(asked.studies // 10)), published()
    for one in rows:
        false, power = one["at_m"]["false"], one["power"]
        ends = f"power {power['above']:.3f} above, {power['below']:.3f} below"
        also = f"within {one['at_m_within']['false']:.4f}"
        print(f"{one['law']}, {one['seeds']} seeds: false {false:.4f} (above and below m), {also}; {ends}")
    for one in diverged:
        print(
            f"{one['diverged']:.0%} of the effects infinite, at m: above {one['above']:.4f}, below {one['below']:.4f}"
        )
    for one in tables:
        print(f"{one['answer']}: {one['claim']} [{one['source']}]")
    seconds = time.perf_counter() - began
    found = {"studies": asked.studies, "seconds": seconds, "m": M, "beyond_in_standard_deviations": BEYOND}
    write(
        "verdicts",
        "python benchmarks/verdicts.py",
        {**found, "simulated": rows, "diverging": diverged, "published": tables},
    )


if __name__ == "__main__":
    main()
