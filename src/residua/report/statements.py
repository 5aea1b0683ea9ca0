"""The sentences that a report says of a result: what its headline means, and what must be read before it.

A result is the dictionary in ``result.json``.
"""

import re
from typing import Any

from residua.report.numbers import images, interval, percent, significant
from residua.report.tables import as_text

Result = dict[str, Any]


def title(run: dict[str, Any]) -> str:
    """Says the network and the source; of a folder its own name, without the way there."""
    folders = [part for part in re.split(r"[/\\]", str(run["source"])) if part]
    return f"{run['network']} on {folders[-1] if folders else run['source']}"


def spread(result: Result) -> str:
    """Says the 95 % interval of the headline, and that it knows of no other seed."""
    head = result["headline"]
    bounds = interval(head["interval"], head["images"])
    return f"95 % interval {bounds}, from the number of images; other seeds not included"


def cautions(result: Result) -> tuple[str, ...]:
    """Lists what must be read before the headline, the gravest first; empty where nothing must."""
    if not result.get("headline"):
        return (
            "No image was held out, so nobody knows how well this network does on images it has not seen, "
            "nor whether its probabilities can be believed.",
        )
    found = (_no_better(result), _one_class(result), _optimistic(result), _often_evaluated(result))
    return tuple(sentence for sentence in found if sentence)


def baselines(result: Result) -> tuple[tuple[str, float], ...]:
    """Lists what needs no network, by name and accuracy on the headline's part."""
    known = result.get("baselines") or {}
    rows = []
    if linear := known.get("logistic_regression"):
        rows.append((linear.get("description") or "logistic regression on 16×16 pixels", linear["accuracy"]))
    if majority := known.get("majority"):
        rows.append((f"always the commonest class, “{majority['class']}”", majority["accuracy"]))
    return tuple(rows)


def calibration(numbers: dict[str, Any]) -> str:
    """Says by how much the probabilities are too high or too low on average, over the images of a part."""
    gap = _gap(numbers["reliability"], numbers)
    if not is_calibrated(numbers):
        return f"On average its probability is {gap}."
    return f"On average its probability was {_gap(numbers['uncalibrated']['reliability'], numbers)}, and is {gap}."


def is_calibrated(numbers: dict[str, Any]) -> bool:
    """Says whether the numbers of a part are at a temperature that was fitted."""
    return numbers.get("temperature", 1.0) != 1.0


def temperature(result: Result) -> str:
    """Says what the logits are divided by, and whether the images of the headline had a part in choosing it."""
    fitted = result.get("temperature")
    if not fitted:
        return "They are the network’s own: the run is from before a temperature was fitted."
    if fitted["fitted_to"] is None:
        return "No validation part was held out to fit a temperature to: the probabilities are the network’s own."
    chosen = (
        f"The temperature {significant(fitted['value'])} was fitted to the {images(fitted['images'], 'validation')} "
        "(Guo et al. 2017) and changes no predicted class"
    )
    if result["headline"]["part"] == fitted["fitted_to"]:
        return f"{chosen}. These are the same images: the calibration shown is optimistic."
    return f"{chosen}; the {result['headline']['part']} images shown here had no part in it."


def _gap(bins: list[dict[str, Any]], numbers: dict[str, Any]) -> str:
    confidence = sum(row["images"] * row["confidence"] for row in bins) / numbers["images"]
    gap = confidence - numbers["accuracy"]
    return f"{100 * abs(gap):.1f} points too {'high' if gap > 0 else 'low'}"


def views(numbers: dict[str, Any]) -> str:
    """Says the accuracy over several views of each image, which is another number than that of one; empty without."""
    seen = numbers.get("views")
    if not seen:
        return ""
    kind = {"mirror": "the image and its mirror image", "six": "six views: shifted by a pixel, and mirrored"}[
        seen["kind"]
    ]
    bounds = interval(seen["interval"], numbers["images"])
    return f"{percent(seen['accuracy'], numbers['images'])} ({bounds}) averaged over {kind}."


def likeness(nearest: dict[str, Any] | None) -> str:
    """Says which named network one differs from the least, and in what; empty for one that has a name.

    Args:
        nearest: What `residua.networks.nearest.Nearest.to_json` gives.
    """
    if not nearest or not nearest["differences"]:
        return ""
    told = [f"{one['field']} {_value(one['ours'])}, not {_value(one['theirs'])}" for one in nearest["differences"]]
    return f"nearest named network: {nearest['name']}; here {'; '.join(told)}"


def _value(value: Any) -> str:
    """Writes a field's value as ``--set`` takes it."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else as_text(value)


def _no_better(result: Result) -> str:
    head = result["headline"]
    if head.get("beats_baselines", True):
        return ""
    lower = head["interval"][0]
    unbeaten = [(name, accuracy) for name, accuracy in baselines(result) if accuracy >= lower]
    scores = " and ".join(f"{name} ({percent(accuracy, head['images'])})" for name, accuracy in unbeaten)
    worse = any(accuracy >= head["accuracy"] for _, accuracy in unbeaten)
    verdict = "no better than" if worse or not unbeaten else "not clearly better than"
    return f"This network is {verdict} {scores or 'what needs no network'}: do not rely on it."


def _one_class(result: Result) -> str:
    numbers = result["parts"][result["headline"]["part"]]
    given = [
        row["class"]
        for row, column in zip(numbers["per_class"], zip(*numbers["confusion"], strict=True), strict=True)
        if any(column)
    ]
    if len(given) != 1 or len(numbers["per_class"]) == 1:
        return ""
    return f"It gives every image the class “{given[0]}”: it has learned nothing that tells the classes apart."


def _optimistic(result: Result) -> str:
    head = result["headline"]
    if not head.get("optimistic", False):
        return ""
    return (
        f"The accuracy is from the {head['part']} part, which was also used to choose the epoch: "
        "it is optimistic. Images that no choice has seen would give a fair number."
    )


def _often_evaluated(result: Result) -> str:
    times = result["parts"].get("test", {}).get("evaluations", 1)
    if times <= 1:
        return ""
    return f"The test part was evaluated {times} times: whoever chooses by its accuracy makes it optimistic."
