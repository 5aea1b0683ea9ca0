"""What a study gave at one scale, finished or not; gathered from a store by whoever wants to see it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import fsum
from typing import Any, Literal, final

from residua import __version__, configuration, machine
from residua.studies.choice_of_rate import Choice, Tried
from residua.studies.claim import Text, Verdict
from residua.studies.design import Budget, Scale, Study
from residua.studies.store import written

Series = tuple[tuple[float, float], ...]


@final
@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """A trial that counts: where it is kept, how far it is, what it cost."""

    arm: str
    seed: int
    status: Literal["finished", "failed", "open"]
    address: str = ""
    """In the store; empty while its learning rate is not chosen yet."""
    learning_rate: float | None = None
    """At the schedule's peak; None where nothing is trained."""
    epochs: int | None = None
    recipe: str = ""
    precision: str = ""
    threads: int | None = None
    """That it was trained with: other numbers of them change the last bits of its result."""
    parameters: int | None = None
    multiply_adds: int | None = None
    """Of the forward pass of one image."""
    seconds: float = 0.0
    """Of training and measuring, whichever study had them done."""
    training_seconds: float = 0.0
    """Of these, what the run took, which other studies of the same address have, too."""
    error: str = ""
    """Why it failed, in one line."""
    diverged: bool = False
    """Whether it failed because its loss stopped being a number, which is a result."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Results:
    """What a study gave at one scale, finished or not."""

    study: Study
    scale: Scale
    budget: Budget
    seeds: tuple[int, ...] = ()
    numbers: Mapping[str, Mapping[int, Mapping[str, float]]] = field(default_factory=dict)
    """By arm, seed and quantity; a loss that diverged is infinite."""
    series: Mapping[str, Mapping[int, Mapping[str, Series]]] = field(default_factory=dict)
    """By arm, seed and name."""
    trials: tuple[TrialRow, ...] = ()
    """One for each arm and seed, whether it was run or not; those of the grids are in ``choices``."""
    choices: Mapping[str, Choice] = field(default_factory=dict)
    """By arm, where the learning rate was chosen from a grid."""
    verdicts: tuple[Verdict, ...] = ()
    """One a claim, in the study's order."""
    not_converged: tuple[str, ...] = ()
    """Arms whose training loss was still falling at a seed."""
    error: str = ""
    """Why nothing of it could be run, in one line; such as that its images are not to be had."""
    machine: str = ""
    version: str = __version__
    commit: str = ""
    """Of the sources, where they are a checkout."""

    @property
    def rates(self) -> dict[str, float]:
        """Returns the learning rate of each arm that is known to have one."""
        rates = {one.arm: one.learning_rate for one in self.trials if one.learning_rate is not None}
        return rates | {arm: one.learning_rate for arm, one in self.choices.items() if one.learning_rate is not None}

    @property
    def seconds(self) -> dict[str, float]:
        """Returns what each arm cost over its seeds, its grid included."""
        spent = {arm.name: 0.0 for arm in self.budget.arms}
        for one in self.trials:
            spent[one.arm] += one.seconds
        return {arm: time + (self.choices[arm].seconds if arm in self.choices else 0.0) for arm, time in spent.items()}

    @property
    def failures(self) -> dict[str, str]:
        """Returns the error of each trial that failed, by ``ARM, seed N``; of a grid's by ``ARM at rate R``.

        Where nothing of the study could be run, why, by the study's name.
        """
        if self.error:
            return {self.study.name: self.error}
        grids = {
            f"{arm} at rate {one.learning_rate:g}": one.error
            for arm, choice in self.choices.items()
            for one in choice.tried
            if one.error
        }
        return grids | {f"{one.arm}, seed {one.seed}": one.error for one in self.trials if one.error}

    @property
    def has_errors(self) -> bool:
        """Says whether a trial failed otherwise than by diverging, one of a grid included, or nothing could be run."""
        grids = any(one.error for choice in self.choices.values() for one in choice.tried)
        return bool(self.error) or grids or any(one.status == "failed" and not one.diverged for one in self.trials)

    @property
    def precision(self) -> str:
        """Returns the arithmetic of the training steps; several, where trials of several machines came together."""
        return ", ".join(sorted({one.precision for one in self.trials if one.precision}))

    @property
    def is_complete(self) -> bool:
        """Says whether every trial has ended."""
        return all(one.status != "open" for one in self.trials)

    def to_json(self) -> dict[str, Any]:
        """Returns everything but the study itself, which its name stands for; numbers that are not finite as words."""
        return {
            "study": self.study.name,
            "scale": self.scale,
            "seeds": list(self.seeds),
            "verdicts": [_of_verdict(one) for one in self.verdicts],
            "numbers": {
                arm: {str(seed): {name: written(x) for name, x in found.items()} for seed, found in by_seed.items()}
                for arm, by_seed in self.numbers.items()
            },
            "series": {
                arm: {
                    str(seed): {name: [[written(x), written(y)] for x, y in row] for name, row in found.items()}
                    for seed, found in by_seed.items()
                }
                for arm, by_seed in self.series.items()
            },
            "trials": [asdict(one) for one in self.trials],
            "choices": {
                arm: {
                    "learning_rate": one.learning_rate,
                    "tried": [{**asdict(row), "loss": written(row.loss)} for row in one.tried],
                }
                for arm, one in self.choices.items()
            },
            "not_converged": list(self.not_converged),
            "error": self.error,
            "machine": self.machine,
            "version": self.version,
            "commit": self.commit,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], study: Study) -> "Results":
        """Returns what `to_json` gave, of the study with its name."""
        numbers = {
            arm: {int(seed): {name: float(x) for name, x in found.items()} for seed, found in by_seed.items()}
            for arm, by_seed in values["numbers"].items()
        }
        series = {
            arm: {
                int(seed): {name: tuple((float(x), float(y)) for x, y in row) for name, row in found.items()}
                for seed, found in by_seed.items()
            }
            for arm, by_seed in values["series"].items()
        }
        return cls(
            study=study,
            scale=values["scale"],
            budget=study.budgets[values["scale"]],
            seeds=tuple(values["seeds"]),
            numbers=numbers,
            series=series,
            trials=tuple(configuration.from_json(TrialRow, row) for row in values["trials"]),
            choices={arm: _choice(one) for arm, one in values["choices"].items()},
            verdicts=tuple(_verdict(one) for one in values["verdicts"]),
            not_converged=tuple(values["not_converged"]),
            error=values.get("error", ""),
            machine=values["machine"],
            version=values["version"],
            commit=values["commit"],
        )


def seconds_of_all(several: Sequence[Results]) -> float:
    """Returns what several studies cost together: a run that they share is counted once."""
    runs = {one.address: one.training_seconds for results in several for one in results.trials}
    runs |= {one.address: one.seconds for results in several for each in results.choices.values() for one in each.tried}
    measuring = (one.seconds - one.training_seconds for results in several for one in results.trials)
    return fsum((*measuring, *runs.values()))


def machine_line() -> str:
    """Says in one line what is computed on."""
    found = machine.description()
    where = found["processor"] if found["device"] == "cpu" else found["device"]
    return f"{where}, {found['cores']} cores, torch {found['torch']}"


def _of_verdict(verdict: Verdict) -> dict[str, Any]:
    values = asdict(verdict)
    return {name: written(value) if isinstance(value, float) else value for name, value in values.items()}


def _verdict(values: Mapping[str, Any]) -> Verdict:
    reason = values["reason"]
    numbers = {name: _number(values[name]) for name in ("effect", "low", "high", "detectable")}
    return Verdict(**{**values, **numbers, "reason": None if reason is None else Text(**reason)})


def _number(value: float | str | None) -> float | None:
    return None if value is None else float(value)


def _choice(values: Mapping[str, Any]) -> Choice:
    tried = tuple(Tried(**{**row, "loss": float(row["loss"])}) for row in values["tried"])
    return Choice(learning_rate=values["learning_rate"], tried=tried)
