"""What a run leaves when its last epoch is done: predictions, weights, numbers."""

import shutil
from typing import Any

import torch

from residua import artifact, evaluation, files
from residua.artifact import Artifact
from residua.data.dataset import Dataset, Part
from residua.evaluation import Outcome
from residua.networks.network import ResidualNetwork
from residua.training.baselines import baselines
from residua.training.distributed import ALONE, Team
from residua.training.plan import Plan
from residua.training.record import Record
from residua.training.state import State


def finish(
    made: Record, plan: Plan, network: ResidualNetwork, state: State, *, seconds: float, team: Team = ALONE
) -> None:
    """Evaluates the chosen weights on every held-out part, the test part once, and has rank 0 write the result.

    ``run.json`` says "finished" only when everything else is on the disk. ``network`` is left with the
    chosen weights, in evaluation mode, on the processor.
    """
    if state.best_weights is not None:
        network.load_state_dict(state.best_weights)
    network.eval()
    look, outcomes = plan.dataset.preprocessing, []
    for part in (plan.dataset.validation, plan.dataset.test):
        if part is not None:
            outcomes.append((part, team.evaluate(network, part, look, device=plan.device)))
    network.to(torch.device("cpu"))
    team.lead(lambda: _write(made, plan, network, state, outcomes, seconds=seconds))


def _write(
    made: Record,
    plan: Plan,
    network: ResidualNetwork,
    state: State,
    outcomes: list[tuple[Part, Outcome]],
    *,
    seconds: float,
) -> None:
    parts = {}
    for part, outcome in outcomes:
        parts[part.name] = {**evaluation.metrics(outcome, plan.dataset.classes), "evaluations": 1}
        rows = prediction_rows(outcome, part, plan.dataset.classes)
        files.write_json_lines(made.path / f"predictions-{part.name}.jsonl", rows)
    result = _result(plan, parts, state)
    made.write("result", result)
    artifact.save(
        Artifact(
            specification=plan.specification,
            classes=plan.dataset.classes,
            preprocessing=plan.dataset.preprocessing,
            weights=network.state_dict(),
            metrics=result["headline"] or {},
        ),
        made.model,
    )
    made.update(status="finished", seconds={"total": seconds, "training": state.position.seconds})
    shutil.rmtree(made.checkpoints, ignore_errors=True)


def prediction_rows(outcome: Outcome, part: Part, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """Lists file, true class, predicted class and probabilities of each image, in the part's order."""
    table = zip(
        part.files,
        outcome.labels.tolist(),
        outcome.predicted.tolist(),
        outcome.probabilities.tolist(),
        strict=True,
    )
    return [
        {
            "file": file,
            "label": classes[label],
            "predicted": classes[predicted],
            "probabilities": [round(p, 6) for p in row],
        }
        for file, label, predicted, row in table
    ]


def _result(plan: Plan, parts: dict[str, Any], state: State) -> dict[str, Any]:
    latest = plan.recipe.choose == "latest_good"
    rule = "latest within one standard error of the best validation accuracy" if latest else "lowest validation loss"
    by = "last epoch" if state.best_epoch is None else rule
    chosen = {"epoch": plan.epochs if state.best_epoch is None else state.best_epoch, "by": by}
    name = "test" if "test" in parts else "validation" if "validation" in parts else None
    if name is None:
        return {"headline": None, "parts": {}, "baselines": {}, "chosen": chosen}
    simple = baselines(plan.dataset, _part(plan.dataset, name))
    numbers = parts[name]
    beaten = numbers["interval"][0] > max(row["accuracy"] for row in simple.values())
    headline = {
        "part": name,
        "accuracy": numbers["accuracy"],
        "interval": numbers["interval"],
        "images": numbers["images"],
        "optimistic": name == "validation" and state.best_epoch is not None,
        "beats_baselines": beaten,
    }
    return {"headline": headline, "parts": parts, "baselines": simple, "chosen": chosen}


def _part(dataset: Dataset, name: str) -> Part:
    part = dataset.test if name == "test" else dataset.validation
    return part or dataset.train
