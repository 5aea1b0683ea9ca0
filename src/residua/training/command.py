"""The command line that asks for a run."""

from dataclasses import fields

from residua.training.spec import TrainSpec, name_of


def train_command(asked: TrainSpec, *, learning_rate: float | None = None) -> list[str]:
    """Returns the words of the command line that asks for it, with another learning rate where one is given.

    A specification that was made in Python has no words, and is left out.
    """
    words = ["residua", "train", asked.source]
    for field in fields(asked):
        value = getattr(asked, field.name)
        said = isinstance(value, (str, int, float)) and value != field.default and field.name != "source"
        words += [f"--{field.name.replace('_', '-')}", f"{value}"] if said else []
    anew = [] if learning_rate is None else [f"optimizer.learning_rate={learning_rate:g}"]
    kept = [one for one in asked.settings if not anew or name_of(one) != "optimizer.learning_rate"]
    return [*words, *(word for setting in (*kept, *anew) for word in ("--set", setting))]
