"""Runs what a study lacks: each trial once, by whichever process is first, whatever ends on the way."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

from residua.errors import BadRun, BadSetting, Interrupted
from residua.studies import performing
from residua.studies.choice_of_rate import GRID_SEED
from residua.studies.gathering import gather
from residua.studies.results import Results
from residua.studies.schedule import Assignment, Schedule
from residua.studies.store import Store

STOPPED = "stopped; what has finished is kept, and so is how far the trial under way has come"
PAUSE_SECONDS = 0.5
"""Between two looks at what other processes have done."""
_AT_ONCE = 2
"""Trials that run at once on the two cores of a budget's minutes, unless it is short."""


@runtime_checkable
class Told(Protocol):
    """Is told how a study goes on, by the names of its trials; changes nothing in it."""

    def started(self, expected: Mapping[str, float], *, workers: int) -> None:
        """Is told the trials that are to be run, each with the seconds that it should take."""
        ...

    def began(self, trial: str) -> None: ...

    def ended(self, trial: str) -> None: ...

    def failed(self, trial: str, error: str) -> None: ...


@final
class Silent:
    """Tells nobody."""

    def started(self, expected: Mapping[str, float], *, workers: int) -> None:
        del expected, workers

    def began(self, trial: str) -> None:
        del trial

    def ended(self, trial: str) -> None:
        del trial

    def failed(self, trial: str, error: str) -> None:
        del trial, error


@final
@dataclass(frozen=True, kw_only=True)
class Share:
    """One of several processes' part of a study, as ``--part I/N`` names it; whole by default."""

    index: int = 1
    """Counts from 1."""
    of: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.of:
            raise BadSetting(f"--part is {self.index}/{self.of}; give I/N with I from 1 to N, such as 1/4")


def run(schedule: Schedule, store: Store, *, share: Share | None = None, told: Told | None = None) -> Results:
    """Runs in this process what is neither finished nor held by another one, and returns the results.

    Waits for others only where their trials are what an own one starts from, or what chooses its rate, or where the
    whole study is this process's share.

    Raises:
        Interrupted: If the user asked to stop; the trial under way is saved.
    """
    account = Account(schedule, store, share or Share(), told or Silent())
    account.start(workers=1)
    try:
        _finish(account, schedule, store)
    except (KeyboardInterrupt, Interrupted):
        raise Interrupted(STOPPED) from None
    return gather(schedule, store)


def work(schedule: Schedule, store: Store, share: Share) -> None:
    """Runs trials until none of the share is left that this process could take: one of several workers."""
    _finish(Account(schedule, store, share, Silent()), schedule, store)


def _finish(account: "Account", schedule: Schedule, store: Store) -> None:
    while not account.is_complete():
        if not _take_one(account, schedule, store):
            time.sleep(PAUSE_SECONDS)


@final
class Account:
    """Which trials of a share have ended; tells of each once, whichever process ended it."""

    def __init__(self, schedule: Schedule, store: Store, share: Share, told: Told) -> None:
        self._schedule, self._store, self._told = schedule, store, told
        pairs = schedule.pairs
        self._pairs = [pair for place, pair in enumerate(pairs) if place % share.of == share.index - 1]
        self._ended: set[str] = set()
        self._begun: set[str] = set()

    def start(self, *, workers: int) -> None:
        """Lets what failed before be tried again, and tells what is to be run, and for how long."""
        self._store.require_writable()
        for one in self._known():
            self._store.forget_failure(one.address)
            if is_ended(one, self._schedule, self._store):
                self._ended.add(one.address)
        self._told.started(self.expected(), workers=workers)

    def expected(self) -> dict[str, float]:
        """Returns the trials that have not ended, each with the seconds that the budget's minutes give it.

        In proportion to the multiply-adds of their training; those of a grid that another one waits for are counted.
        """
        schedule = self._schedule
        costs = {arm.name: schedule.cost(arm) for arm in schedule.budget.arms}
        rates = schedule.budget.learning_rates if len(schedule.budget.learning_rates) > 1 else ()
        whole = (schedule.budget.seeds + len(rates)) * sum(costs.values())
        at_once = 1 if schedule.is_short else _AT_ONCE
        scale = 60 * schedule.budget.minutes * at_once / whole
        ended = {one.name for one in self._known() if one.address in self._ended}
        names = {}
        for arm, seed in self._pairs:
            names |= {f"{arm.name} at rate {rate:g}": scale * costs[arm.name] for rate in rates}
            names[f"{arm.name}, seed {seed}"] = scale * costs[arm.name]
        return {name: seconds for name, seconds in names.items() if name not in ended}

    def open(self) -> Iterator[Assignment]:
        """Yields what is known and has not ended, in the order in which it is to be run."""
        for one in self._known():
            if one.address not in self._ended:
                yield one

    def is_complete(self) -> bool:
        """Says whether every trial of the share has ended; tells of those that have since."""
        for one in list(self.open()):
            if is_ended(one, self._schedule, self._store):
                self.end(one)
        known = {(one.arm.name, one.seed) for one in self._known() if one.address in self._ended}
        return all((arm.name, seed) in known for arm, seed in self._pairs)

    def begin(self, one: Assignment) -> None:
        """Tells that a trial has begun."""
        if one.address not in self._begun:
            self._begun.add(one.address)
            self._told.began(one.name)

    def end(self, one: Assignment) -> None:
        """Tells that a trial has ended, or how it failed."""
        if one.address in self._ended:
            return
        self._ended.add(one.address)
        failure = self._store.failure(one.address)
        if failure is None:
            self._told.ended(one.name)
        else:
            self._told.failed(one.name, failure.error)

    def _known(self) -> Iterator[Assignment]:
        seen = set()
        for arm, seed in self._pairs:
            for one in self._schedule.needed(arm, seed):
                if one.address not in seen:
                    seen.add(one.address)
                    yield one


def is_ended(one: Assignment, schedule: Schedule, store: Store) -> bool:
    """Says whether nothing is left to be done for a trial: it has failed, or is trained and measured."""
    if store.failure(one.address) is not None:
        return True
    if one.trains and not store.is_trained(one.address):
        return False
    return one.seed == GRID_SEED or all(store.is_measured(one.address, each) for each in schedule.study.measures)


def _take_one(account: Account, schedule: Schedule, store: Store) -> bool:
    """Runs the first trial that nobody else is at work on; False where there is none."""
    for one in account.open():
        if one.begins is not None and not is_ended(one.begins, schedule, store):
            continue
        with store.claim(one.address) as mine:
            if not mine:
                continue
            if not is_ended(one, schedule, store):
                account.begin(one)
                _perform(one, schedule, store)
            account.end(one)
        return True
    return False


def _perform(one: Assignment, schedule: Schedule, store: Store) -> None:
    """Trains and measures a trial; whatever goes wrong with it is kept as its failure, and the others go on."""
    try:
        if one.begins is not None and not store.is_trained(one.begins.address):
            raise BadRun(f"it begins with {one.begins.name}, which failed; mend that, and run the study again")
        if one.trains:
            performing.train(one, store, schedule)
        if one.seed != GRID_SEED:
            performing.measure(one, schedule.study.measures, store, schedule)
    except Interrupted:
        raise
    except Exception as error:
        store.fail(one.address, error)
