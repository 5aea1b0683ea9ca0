"""What a study has to run at a scale: its arms and seeds as plans, each under its address.

What an arm starts from and at which rate it learns may only be known once other trials have ended; until then there is
no assignment for it (None), and one asks again.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import final

from residua import configuration
from residua.data import sources
from residua.data.dataset import Dataset
from residua.data.spec import DataSpec
from residua.errors import BadSetting, unknown
from residua.networks import factory
from residua.networks.spec import NetworkSpec
from residua.studies import address, choice_of_rate
from residua.studies.choice_of_rate import GRID_SEED, Choice
from residua.studies.design import SCALES, Arm, Budget, Scale, Study
from residua.studies.store import Store
from residua.training.plan import Plan, plan
from residua.training.spec import TrainSpec, with_others

_SHORT_SECONDS = 20.0


@final
@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a study runs."""

    data_root: str | None = None
    """Folder of the named sets."""
    device: str = "auto"


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Assignment:
    """One arm at one seed and learning rate: a trial that is to be run, or has been."""

    arm: Arm
    seed: int
    address: str
    identity: dict[str, object]
    decided: Plan | None
    """Without what it starts from; None where a function makes the module."""
    trains: bool
    begins: "Assignment | None" = None
    learning_rate: float | None = None
    """As chosen from a grid; None is the recipe's."""

    @property
    def name(self) -> str:
        """Says which trial it is, for a line of progress."""
        if self.seed == GRID_SEED:
            return f"{self.arm.name} at rate {self.learning_rate:g}"
        return f"{self.arm.name}, seed {self.seed}"


@final
class Schedule:
    """Says what is to be run for a study at a scale.

    Raises:
        BadSetting: If the study has no such scale, or its arms do not fit together.
    """

    def __init__(
        self, study: Study, scale: Scale, *, store: Store, seeds: int | None = None, place: Place | None = None
    ) -> None:
        if scale not in study.budgets:
            there = [one for one in SCALES if one in study.budgets]
            raise BadSetting(f"{study.name} has no scale {scale!r}; it has: {', '.join(there)}")
        self.study = study
        self.scale: Scale = scale
        self.budget: Budget = study.budgets[scale]
        self.seeds = tuple(range(self.budget.seeds if seeds is None else seeds))
        self._store, self.place = store, place or Place()
        self._arms = {arm.name: arm for arm in self.budget.arms}
        self._choices: dict[str, Choice] = {}
        self._assignments: dict[tuple[str, int, float | None], Assignment] = {}
        self._require_sound()

    @property
    def trains(self) -> bool:
        """Says whether anything is trained at this scale."""
        return self.budget.epochs is not None

    @property
    def is_short(self) -> bool:
        """Says whether it ends before the start of processes to share it would pay: at 20 s or less."""
        return 60 * self.budget.minutes <= _SHORT_SECONDS

    @property
    def pairs(self) -> list[tuple[Arm, int]]:
        """Lists the trials that count, seed by seed, so that a study that is stopped has whole seeds."""
        return [(arm, seed) for seed in self.seeds for arm in self.budget.arms]

    def choice(self, arm: Arm) -> Choice | None:
        """Returns an arm's rate, once its grid has ended."""
        rates = self.budget.learning_rates
        if len(rates) < 2:
            return Choice(learning_rate=rates[0] if rates else None)
        if arm.name not in self._choices:
            grid = self.grid(arm) or []
            found = [choice_of_rate.tried(self._store, one.address, one.learning_rate or 0.0) for one in grid]
            ended = [one for one in found if one is not None]
            if len(ended) < len(rates):
                return None
            self._choices[arm.name] = choice_of_rate.chosen(ended)
        return self._choices[arm.name]

    def grid(self, arm: Arm) -> list[Assignment] | None:
        """Lists the trials that choose an arm's rate; empty where nothing is to be chosen."""
        rates = self.budget.learning_rates
        if len(rates) < 2:
            return []
        found = [self.assignment(arm, GRID_SEED, rate) for rate in rates]
        known = [one for one in found if one is not None]
        return known if len(known) == len(rates) else None

    def trial(self, arm: Arm, seed: int) -> Assignment | None:
        """Returns an arm at a seed, once its rate is known."""
        choice = self.choice(arm)
        return None if choice is None else self.assignment(arm, seed, choice.learning_rate)

    def needed(self, arm: Arm, seed: int) -> Iterator[Assignment]:
        """Yields what is known of a trial and of all that has to end before it, in this order: grids first."""
        if arm.begins is not None:
            yield from self.needed(self._arms[arm.begins], seed)
            if len(self.budget.learning_rates) > 1:
                yield from self.needed(self._arms[arm.begins], GRID_SEED)
        yield from self.grid(arm) or ()
        trial = self.trial(arm, seed)
        if trial is not None:
            yield trial

    def assignment(self, arm: Arm, seed: int, learning_rate: float | None) -> Assignment | None:
        """Returns an arm at a seed and a rate, once the trial that it starts from is known."""
        key = (arm.name, seed, learning_rate)
        if key not in self._assignments:
            begins = None if arm.begins is None else self.trial(self._arms[arm.begins], seed)
            if arm.begins is not None and begins is None:
                return None
            self._assignments[key] = self._assigned(arm, seed, learning_rate, begins)
        return self._assignments[key]

    def _assigned(self, arm: Arm, seed: int, learning_rate: float | None, begins: Assignment | None) -> Assignment:
        decided = self._decided(arm, seed, learning_rate)
        if seed == GRID_SEED and decided is not None and not decided.dataset.validation:
            raise BadSetting(
                f"{self.study.name} chooses learning rates on validation, and {self.budget.source} has no such part; "
                "give data.validation_fraction above 0, or one learning rate"
            )
        if decided is None:
            settings = self._settings(arm, None)
            identity = address.made(arm.network, source=self.budget.source, settings=settings, seed=seed)
        elif self.trains:
            parent = None if begins is None else begins.address
            identity = address.trained(decided, seed=seed, begins=parent, deepen=arm.deepen)
        else:
            identity = address.drawn(decided, seed=seed)
        return Assignment(
            arm=arm,
            seed=seed,
            address=address.address(identity),
            identity=identity,
            decided=decided,
            trains=self.trains,
            begins=begins,
            learning_rate=learning_rate,
        )

    def cost(self, arm: Arm) -> float:
        """Returns what a trial costs, in multiply-adds of passes trained; 1 where nothing is trained."""
        if not self.trains:
            return 1.0
        rate = self.budget.learning_rates[0] if self.budget.learning_rates else None
        decided = self._decided(arm, 0, rate)
        assert decided is not None
        return float(decided.inspection.multiply_adds) * decided.epochs * len(decided.dataset.train)

    def dataset(self, arm: Arm) -> Dataset:
        """Returns the images that an arm is shown where a function makes its module."""
        settings = [one.removeprefix("data.") for one in self._settings(arm, None) if one.startswith("data.")]
        spec = DataSpec(source=self.budget.source, data_root=self.place.data_root)
        return _load(configuration.with_settings(spec, settings, "data."))

    def asked(self, arm: Arm, seed: int, learning_rate: float | None) -> TrainSpec:
        """Returns an arm at a seed and a rate as `residua train` would be asked for it, without what it starts from."""
        return TrainSpec(
            source=self.budget.source,
            network=arm.network,  # type: ignore[arg-type]
            weights="none",
            recipe=self.budget.recipe or "default",
            epochs=arm.epochs or self.budget.epochs or 1,
            data_root=self.place.data_root,
            seed=seed,
            device=self.place.device,
            settings=self._settings(arm, learning_rate),
        )

    def _decided(self, arm: Arm, seed: int, learning_rate: float | None) -> Plan | None:
        """Returns the plan of a trial; one that differs by the seed alone is not made twice."""
        if not self.trains and _makes_module(arm.network):
            return None
        decided = _plan(self.asked(arm, 0, learning_rate))
        return replace(decided, asked=replace(decided.asked, seed=seed), began=time.perf_counter())

    def _settings(self, arm: Arm, learning_rate: float | None) -> tuple[str, ...]:
        """Returns the settings of the budget, those of the arm over them, and the rate over both."""
        own = () if learning_rate is None else (f"optimizer.learning_rate={learning_rate}",)
        return with_others(with_others(self.budget.settings, arm.settings), own)

    def _require_sound(self) -> None:
        if len(self._arms) < len(self.budget.arms):
            raise BadSetting(f"{self.study.name}: two arms at scale {self.scale} have one name; name each differently")
        if not self.seeds:
            raise BadSetting("--seeds is 0; give 1 or more")
        for arm in self.budget.arms:
            if self.trains and not isinstance(arm.network, str | NetworkSpec):
                raise BadSetting(
                    f"{arm.name}: a function makes networks that are not trained; give a catalogue name, path.py:name "
                    "or a NetworkSpec, or a budget without epochs"
                )
            seen = {arm.name}
            while arm.begins is not None:
                if arm.begins not in self._arms:
                    raise BadSetting(f"{arm.name} begins with {unknown('arm', arm.begins, self._arms)}")
                if arm.begins in seen:
                    raise BadSetting(f"{arm.name} begins with itself, through {arm.begins}; let one arm begin anew")
                seen.add(arm.begins)
                arm = self._arms[arm.begins]
        self._require_known()

    def _require_known(self) -> None:
        """Checks that claims are told apart and name arms of the study, and that a budget decides claims there are."""
        claims = {claim.name: claim for claim in self.study.claims}
        if len(claims) < len(self.study.claims):
            raise BadSetting(f"{self.study.name}: two claims have one name; name each differently")
        for claim in self.study.claims:
            if not claim.effect:
                raise BadSetting(f"claim {claim.name} has no effect; give one Term at least")
        for name in self.budget.decides:
            if name not in claims:
                raise BadSetting(f"{self.study.name} decides {unknown('claim', name, claims)}")
            for term in claims[name].effect:
                if term.arm not in self._arms:
                    raise BadSetting(f"claim {name} is about {unknown('arm', term.arm, self._arms)}")


def _makes_module(network: object) -> bool:
    """Says whether an arm's network is a function of a seed, or a user's file that makes a module."""
    if isinstance(network, str):
        return factory.is_factory(network) and not isinstance(factory.from_file(network), NetworkSpec)
    return not isinstance(network, NetworkSpec)


@lru_cache(maxsize=256)
def _plan(asked: TrainSpec) -> Plan:
    return plan(asked, load=_loaded)


def _loaded(spec: DataSpec, *, progress: sources.Progress | None = None) -> Dataset:
    """Reads a source once for all plans; what a study reads is not told of."""
    del progress
    return _load(spec)


@lru_cache(maxsize=8)
def _load(spec: DataSpec) -> Dataset:
    return sources.load(spec)
