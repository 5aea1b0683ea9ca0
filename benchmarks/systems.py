"""Prints the first and the last loss of 200 steps of each of the notes' four systems, on real images.

    RESIDUA_DATA=DIR .venv/bin/python benchmarks/systems.py

The small-image system sees CIFAR-10 as it is; the textbook's sees Fashion-MNIST enlarged to 96 pixels, the other two
CIFAR-10 enlarged to 64. The first loss is of the first batch; the last is the mean over the last ten steps.
"""

from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from results import write

from residua import machine
from residua.networks.network import build
from residua.training.loop import Course, take_steps
from residua.training.optimizers import optimizer_for
from residua.training.plan import plan
from residua.training.spec import TrainSpec
from residua.training.state import State

STEPS = 200


@dataclass(frozen=True)
class Case:
    network: str
    source: str
    image_size: int | None
    settings: tuple[str, ...] = ()


CASES = (
    Case("resnet18-small-stem", "cifar10", None),
    Case("resnet18-textbook", "fashion-mnist", 96),
    Case("resnet34-no-norm", "cifar10", 64, ("optimizer.learning_rate=0.01", "gradient_clip_norm=1")),
    Case("resnet34-pooled", "cifar10", 64, ("optimizer.learning_rate=0.01", "gradient_clip_norm=1")),
)


def losses(case: Case) -> list[float]:
    settings = ("batch_size=32", "data.validation_fraction=0.86", *case.settings)
    asked = TrainSpec(source=case.source, network=case.network, image_size=case.image_size, epochs=1, settings=settings)
    decided = plan(asked)
    network = build(decided.specification, seed=0)
    course = Course(
        dataset=decided.dataset,
        recipe=decided.recipe,
        augment=decided.augment,
        batch_size=32,
        epochs=1,
        seed=0,
        device=decided.device,
        precision=decided.precision,
        forward=network,
    )
    state = State(network=network, optimizer=optimizer_for(network, decided.recipe.optimizer))
    sums = [0.0]
    for _ in take_steps(course, state):
        sums.append(state.position.loss_sum / 32)
        if state.position.step == STEPS:
            break
    return [after - before for before, after in pairwise(sums)]


def main() -> None:
    machine.prepare_process()
    found = []
    for case in CASES:
        seen = losses(case)
        row = {"network": case.network, "source": case.source, "image_size": case.image_size, "steps": len(seen)}
        found.append({**row, "settings": list(case.settings), "first_loss": seen[0], "last_loss": fmean(seen[-10:])})
        print(
            f"{case.network}: {seen[0]:.3f} → {fmean(seen[-10:]):.3f} in {len(seen)} steps on {case.source}", flush=True
        )
    write("systems", "python benchmarks/systems.py", {"systems": found})


if __name__ == "__main__":
    main()
