"""A training run as a user asks for it, as data; `residua.training.plan` decides what it leaves open."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

from residua import configuration
from residua.errors import BadSetting
from residua.networks.spec import NetworkSpec

WITHOUT_EFFECT = ("checkpoint_seconds", "data.keep", "data.cache", "data.cache_gb")
"""Settings that change no result: a run that goes on may take others."""
_A_YEAR = 366 * 24 * 60  # in minutes


def has_effect(setting: str) -> bool:
    """Says whether a ``name=value`` may change a result."""
    return name_of(setting) not in WITHOUT_EFFECT


def with_others(settings: Iterable[str], others: Iterable[str]) -> tuple[str, ...]:
    """Returns ``name=value`` settings with others in the place of those of the same names."""
    others = tuple(others)
    names = {name_of(setting) for setting in others}
    return (*(setting for setting in settings if name_of(setting) not in names), *others)


def name_of(setting: str) -> str:
    """Returns the name of a ``name=value``; the recipe's own may be said with ``recipe.`` or without."""
    return setting.partition("=")[0].strip().removeprefix("recipe.")


@final
@dataclass(frozen=True, kw_only=True)
class TrainSpec:
    """What a user asks of a training run; a run keeps it, so that it can be resumed and repeated."""

    source: str = "digits"
    """Name of a set, or a folder of class folders."""
    network: str | NetworkSpec | None = None
    """Catalogue name, ``path.py:factory`` or specification; None leaves it to the rule."""
    weights: str | None = None
    """What it starts from: ``none``, ``torchvision:IMAGENET1K_V1``, a file of weights, or a run. None takes published
    weights for photographs, and nothing for small images."""
    deepen: tuple[int, int] | None = None
    """Stage, and the number of identity blocks that are added to it, of the run that ``weights`` names."""
    recipe: str | None = None
    """None is ``transfer`` for a run that starts from weights, else ``default``."""
    epochs: int | None = None
    """None leaves them to the recipe, or else to the rule."""
    minutes: float | None = None
    """Time for the whole command; epochs are fitted to it by a measured step."""
    image_size: int | None = None
    """Side of the square the network sees, in pixels; None follows the source."""
    fit: Literal["crop", "pad", "squash"] = "crop"
    """How a photograph becomes a square."""
    group: str | None = None
    """Regular expression on file names; images with the same match stay in one part."""
    data_root: str | None = None
    """Folder of the named sets."""
    seed: int = 0
    """Of the weights, the order and the augmentation; the split has its own (``data.split_seed``)."""
    device: str = "auto"
    settings: tuple[str, ...] = ()
    """``name=value`` for single fields of the recipe, of ``network.…`` and of ``data.…``."""

    def __post_init__(self) -> None:
        configuration.check_choices(self)
        configuration.check(
            self.minutes is None or 0 < self.minutes <= _A_YEAR, "--minutes", self.minutes, "above 0, up to a year"
        )
        configuration.check(0 <= self.seed < 2**63, "--seed", self.seed, "0 up to 2⁶³ − 1")
        configuration.check(self.epochs is None or self.epochs >= 1, "--epochs", self.epochs, "1 or above")
        configuration.check(
            self.image_size is None or self.image_size >= 1, "--image-size", self.image_size, "1 or above"
        )
        for name, path in {"source": self.source, "--weights": self.weights, "--data-root": self.data_root}.items():
            configuration.check_unicode(name, str(Path(path or "").absolute()))
        if self.deepen is not None and self.weights is None:
            raise BadSetting("deepen adds blocks to a trained network; name its run as weights")
        if self.epochs and self.minutes:
            raise BadSetting("--epochs and --minutes both say how long to train; give one of them")
