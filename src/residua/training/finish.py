"""What a run leaves when its last epoch is done: predictions, weights, numbers."""

import shutil
import time
from dataclasses import dataclass
from math import isfinite
from typing import Any, final

import torch

from residua import artifact, evaluation, files
from residua.artifact import Artifact
from residua.data.dataset import Dataset, Part
from residua.evaluation import Outcome
from residua.networks.network import ResidualNetwork
from residua.training.averaging import Weights
from residua.training.baselines import baselines
from residua.training.distributed import ALONE, Team
from residua.training.loop import diverged
from residua.training.plan import Plan
from residua.training.record import Record
from residua.training.state import State


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Judgement:
    """What the chosen weights said of every held-out part."""

    outcomes: dict[str, Outcome]
    """By the part's name, at temperature 1."""
    views: dict[str, dict[str, Any]]
    """Of each part, the accuracy over several views, where the recipe asks for them."""
    weights: Weights
    """Those weights, and the statistics of batch norms that they were evaluated with."""


def chosen_weights(plan: Plan, state: State) -> Weights | None:
    """Returns the weights that the recipe chooses of all epochs; None where they are the network's own."""
    return state.best_weights or state.result(plan.recipe.averaging)


def judge(plan: Plan, network: ResidualNetwork, state: State, *, team: Team = ALONE) -> Judgement:
    """Evaluates the network, which holds the chosen weights, on every held-out part, the test part once.

    Raises:
        NonFiniteLoss: If a weight, or a part's loss, is no finite number.
    """
    for name, weight in network.named_parameters():
        if not weight.isfinite().all():  # a step's loss is read before it changes the weights: the last one's is not
            raise team.agreed(diverged(f"the weight {name} is not finite", len(state.history), plan.recipe))
    look, outcomes, views = plan.dataset.preprocessing, {}, {}
    for part in (plan.dataset.validation, plan.dataset.test):
        if part is not None:
            outcomes[part.name] = team.evaluate(network, part, look, device=plan.device)
            loss = outcomes[part.name].loss
            if not isfinite(loss):
                raise team.agreed(diverged(f"the {part.name} loss is {loss}", len(state.history), plan.recipe))
            views[part.name] = _seen_again(plan, network, part, team)
    weights = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
    return Judgement(outcomes=outcomes, views=views, weights=weights)


def finish(
    made: Record, plan: Plan, network: ResidualNetwork, state: State, judged: Judgement, *, team: Team = ALONE
) -> None:
    """Has rank 0 write the result; ``run.json`` says "finished" only when everything else is on the disk.

    ``network`` is left with the weights that were judged, in evaluation mode, on the processor.
    """
    network.load_state_dict(judged.weights)
    network.eval().to(torch.device("cpu"))
    write = made.writing()(_write)
    team.lead(lambda: write(made, plan, network, state, _calibrated(judged.outcomes), views=judged.views))


def _write(
    made: Record,
    plan: Plan,
    network: ResidualNetwork,
    state: State,
    outcomes: dict[str, Outcome],
    *,
    views: dict[str, dict[str, Any]],
) -> None:
    parts = {}
    for name, outcome in outcomes.items():
        parts[name] = {**evaluation.metrics(outcome, plan.dataset.classes), "evaluations": 1, **views[name]}
        rows = prediction_rows(outcome, _part(plan.dataset, name), plan.dataset.classes)
        files.write_json_lines(made.path / f"predictions-{name}.jsonl", rows)
    result = _result(plan, parts, state)
    made.write("result", result)
    artifact.save(
        Artifact(
            specification=plan.specification,
            classes=plan.dataset.classes,
            preprocessing=plan.dataset.preprocessing,
            weights=network.state_dict(),
            metrics=result["headline"] or {},
            temperature=result["temperature"]["value"],
        ),
        made.model,
    )
    seconds = {"total": time.perf_counter() - plan.began, "training": state.position.seconds}
    made.update(status="finished", seconds=seconds)
    shutil.rmtree(made.checkpoints, ignore_errors=True)


def _seen_again(plan: Plan, network: ResidualNetwork, part: Part, team: Team) -> dict[str, Any]:
    """Returns the accuracy over several views, where the recipe asks for them, in the run's precision."""
    views = plan.recipe.views
    if views == "one" or plan.augment.flip == "none":
        return {}
    seen = plan.dataset.preprocessing
    outcome = team.evaluate(network, part, seen, device=plan.device, precision=plan.precision, views=views)
    correct, images = int((outcome.predicted == outcome.labels).sum()), len(outcome.labels)
    interval = list(evaluation.accuracy_interval(correct, images))
    return {"views": {"kind": views, "accuracy": outcome.accuracy, "interval": interval}}


def _calibrated(outcomes: dict[str, Outcome]) -> dict[str, Outcome]:
    """Returns the outcomes at the temperature that the validation part asks for; as they are where there is none."""
    if "validation" not in outcomes:
        return outcomes
    temperature = evaluation.fitted_temperature(outcomes["validation"])
    return {name: outcome.at(temperature) for name, outcome in outcomes.items()}


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
    done = len(state.history)
    early = f"; ended after epoch {done} of {plan.epochs}, {plan.recipe.patience} without a lower validation loss"
    by += early if done < plan.epochs else ""
    chosen = {"epoch": done if state.best_epoch is None else state.best_epoch, "by": by}
    name = "test" if "test" in parts else "validation" if "validation" in parts else None
    temperature = _temperature_card(parts)
    if name is None:
        return {"headline": None, "parts": {}, "baselines": {}, "chosen": chosen, "temperature": temperature}
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
    return {"headline": headline, "parts": parts, "baselines": simple, "chosen": chosen, "temperature": temperature}


def _temperature_card(parts: dict[str, Any]) -> dict[str, Any]:
    """Returns the temperature, and the part that it was fitted to: None where none was held out for that."""
    if "validation" not in parts:
        return {"value": 1.0, "fitted_to": None, "images": 0}
    numbers = parts["validation"]
    return {"value": numbers["temperature"], "fitted_to": "validation", "images": numbers["images"]}


def _part(dataset: Dataset, name: str) -> Part:
    part = dataset.test if name == "test" else dataset.validation
    return part or dataset.train
