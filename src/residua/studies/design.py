"""What is run for a claim: arms, seeds, budget, and the figure, as data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, final

from torch import nn

from residua.networks.spec import NetworkSpec
from residua.studies.claim import Claim, Text
from residua.studies.trial import Measure

Scale = Literal["quick", "laptop", "paper"]
SCALES: tuple[Scale, ...] = ("quick", "laptop", "paper")


@final
@dataclass(frozen=True, kw_only=True)
class Arm:
    """One configuration."""

    name: str
    """Short, for tables and legends: ``plain-56``."""
    network: str | NetworkSpec | Callable[[int], nn.Module]
    """Catalogue name, ``path.py:factory`` or specification. Where nothing is trained also what makes a module of a
    seed: a function of a module's own level, which counts with the text of its file, or a frozen dataclass that can be
    called, whose fields then tell one network from another."""
    settings: tuple[str, ...] = ()
    """``name=value`` as `residua train --set` takes them, after those of the budget."""
    begins: str | None = None
    """The arm of the same seed whose trained weights it starts from."""
    deepen: tuple[tuple[int, int], ...] = ()
    """Stages, each with the number of identity blocks that are added to these weights there; ``network`` is what that
    makes of it."""
    epochs: int | None = None
    """Instead of the budget's."""
    group: str = ""
    """Arms of one group share a colour, and a line where the figure has an axis of ``x``."""
    x: float | None = None
    """Where it stands on the figure's horizontal axis, such as its depth."""


@final
@dataclass(frozen=True, kw_only=True)
class Budget:
    """What one scale of a study runs."""

    arms: tuple[Arm, ...]
    seeds: int
    """Seeds 0, 1, …; the same for every arm."""
    source: str = "digits"
    recipe: str | None = None
    epochs: int | None = None
    """None where nothing is trained: the networks are measured at initialisation."""
    settings: tuple[str, ...] = ()
    learning_rates: tuple[float, ...] = ()
    """The same small grid for every arm, decided by validation loss at a seed of its own; empty takes the recipe's."""
    minutes: float
    """Of the whole study on two cores, as measured (quick, laptop) or estimated from multiply-adds (paper)."""
    decides: tuple[str, ...]
    """Names of the claims that this scale can decide; the others need a larger one."""


@final
@dataclass(frozen=True, kw_only=True)
class FigureSpec:
    """One figure as data; `report` draws it."""

    kind: Literal["intervals", "lines", "course", "surface"]
    """``intervals``: a quantity arm by arm, each seed a dot. ``lines``: a quantity over the arms' ``x``, a line a
    group. ``course``: a series of each trial over its own x (epochs, blocks), median and range over the seeds.
    ``surface``: the arms' loss surfaces on one scale."""
    title: Text
    y: Text
    x: Text | None = None
    quantity: str = ""
    """Of the numbers, or for ``course`` the name of a series."""
    second: str = ""
    """Drawn dashed beside it, such as the test error beside the training error."""
    prediction: str = ""
    """Of the numbers or series: what theory says, drawn as a thin line."""
    published: Mapping[str, float] = field(default_factory=dict)
    """For ``intervals``: the source's own number of an arm, by the arm's name, drawn as an open diamond."""
    log_y: bool = False
    log_x: bool = False


@final
@dataclass(frozen=True, kw_only=True)
class Study:
    """A question, what is claimed, what is run, and how it is drawn."""

    name: str
    """As `residua study NAME` takes it."""
    title: Text
    question: Text
    fairness: Text
    """How every arm's learning rate was chosen, and what else the arms share."""
    claims: tuple[Claim, ...]
    measures: tuple[Measure, ...]
    """Made on every trial; their numbers are the quantities."""
    budgets: Mapping[Scale, Budget]
    figures: tuple[FigureSpec, ...]
    remarks: tuple[Text, ...] = ()
    """What the verdict does not say."""
