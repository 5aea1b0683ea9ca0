"""Where a run stands between two steps: all that is needed to go on as if it had never stopped."""

import io
import pickle
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from residua import files
from residua.errors import BadRun
from residua.training.observers import EpochEnded


@final
@dataclass(kw_only=True)
class Position:
    """Counts what is done. All randomness is a function of (seed, epoch, step), so this is all of it."""

    epoch: int = 1
    """The epoch under way, from 1."""
    step: int = 0
    """Steps done in that epoch."""
    total_steps: int = 0
    """Steps done since the run began."""
    seconds: float = 0.0
    """Time spent training, earlier sittings added."""
    loss_sum: float = 0.0
    """Training loss summed over the epoch's examples so far."""
    correct: int = 0
    """Examples of the epoch that were classified rightly so far."""
    seen: int = 0
    """Examples of the epoch so far."""
    training_seconds: float = 0.0
    """Time spent in the epoch's training steps so far."""


@final
@dataclass(kw_only=True)
class State:
    """Everything that changes while a run trains."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    position: Position = field(default_factory=Position)
    history: list[EpochEnded] = field(default_factory=list)
    best_weights: dict[str, Tensor] | None = None
    """The weights of the best epoch so far, where validation chooses."""
    best_epoch: int | None = None
    """0 is what the run started from."""
    best_loss: float | None = None

    def begin_next_epoch(self) -> None:
        """Moves on to the next epoch; the counts of the whole run go on."""
        done = self.position
        self.position = Position(epoch=done.epoch + 1, total_steps=done.total_steps, seconds=done.seconds)

    def keep_best(self, epoch: int, validation_loss: float) -> None:
        """Keeps a copy of the weights if the epoch has the lowest validation loss so far."""
        if self.best_loss is None or validation_loss < self.best_loss:
            self.best_epoch, self.best_loss = epoch, validation_loss
            self.best_weights = {k: v.detach().cpu().clone() for k, v in self.network.state_dict().items()}


def save(state: State, path: Path) -> None:
    """Writes the state to ``path``, whole or not at all."""
    values = {
        "network": state.network.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "position": asdict(state.position),
        "history": [asdict(row) for row in state.history],
        "best_weights": state.best_weights,
        "best_epoch": state.best_epoch,
        "best_loss": state.best_loss,
    }
    buffer = io.BytesIO()
    torch.save(values, buffer)
    files.write(path, buffer.getvalue())


def restore(state: State, path: Path, device: torch.device) -> None:
    """Reads ``path`` into a state that was made for the same network and recipe.

    Raises:
        BadRun: If the checkpoint is damaged or belongs to another network.
    """
    try:
        values: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        state.network.load_state_dict(values["network"])
        state.optimizer.load_state_dict(values["optimizer"])
    except (RuntimeError, KeyError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise BadRun(f"{path} cannot be read back ({str(error).splitlines()[0]}); train again") from error
    state.position = Position(**values["position"])
    state.history = [EpochEnded(**row) for row in values["history"]]
    state.best_weights = values["best_weights"]
    state.best_epoch, state.best_loss = values["best_epoch"], values["best_loss"]
