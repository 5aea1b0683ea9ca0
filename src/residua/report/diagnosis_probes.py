"""What the page of a diagnosis says of its probes: lines of inputs, paths, stages, lesions, short trainings."""

from collections.abc import Iterator, Sequence
from statistics import median

from residua.diagnostics.estimation import Estimation
from residua.diagnostics.first_step import FirstStep
from residua.diagnostics.information import Information
from residua.diagnostics.lesions import Lesion, Lesions
from residua.diagnostics.paths import PathLengths
from residua.diagnostics.questions import Questions
from residua.diagnostics.shattering import Shattering
from residua.report import diagnosis_curves as curves
from residua.report import diagnosis_figures as along
from residua.report.numbers import count, measure, percent
from residua.report.section import Drawing, Rows, Section, plural


def shattering(found: Shattering) -> Section:
    """Says whether gradients along a line of inputs look like noise."""
    first = found.autocorrelation[0] if found.autocorrelation else None
    white, brown = (line[0] if line else None for line in (found.white, found.brown))
    rows = zip(found.lags, found.autocorrelation, found.white, found.brown, strict=True)
    cells = tuple((str(lag), *(measure(one) for one in values)) for lag, *values in rows)
    return Section(
        name="shattering",
        title="Whether gradients shatter",
        says=f"At lag {found.lags[0] if found.lags else 1} the gradient’s autocorrelation is {measure(first)}; white "
        f"noise has {measure(white)}, brown noise {measure(brown)}.",
        caption=f"Of the gradient by the input along a line of {found.points} inputs (Balduzzi et al. 2017). Near "
        "white noise, neighbouring inputs ask for unrelated steps; near brown noise the gradient is smooth. "
        "Correlations have no unit.",
        drawings=(
            Drawing(
                name="shattering",
                draw=lambda: curves.shattering(found),
                label="Autocorrelation of the gradient over the lag, beside white and brown noise",
            ),
        ),
        tables=(Rows(caption="Every lag", columns=("lag", "gradient", "white", "brown"), cells=cells),),
    )


def paths(found: PathLengths) -> Section:
    """Says through paths of which length the gradient comes."""
    rows = zip(found.lengths, found.norms, found.shares, strict=True)
    cells = tuple((str(length), measure(norm), percent(share)) for length, norm, share in rows)
    return Section(
        name="paths",
        title="Through which paths the gradient comes",
        says=f"The gradient comes through {measure(found.mean_length)} of {found.blocks} branches on average; were "
        f"all paths alike, it would be {measure(found.binomial_mean)}.",
        caption="Norm of the gradient by the input through one path of each length, times the number of such paths "
        "(Veit et al. 2016, Fig. 6). A path takes the branch or the shortcut at every addition.",
        drawings=(
            Drawing(
                name="paths", draw=lambda: curves.path_shares(found), label="Share of the gradient by length of path"
            ),
            Drawing(
                name="path-norms", draw=lambda: curves.path_norms(found), label="Gradient norm of a path by its length"
            ),
        ),
        tables=(Rows(caption="Every length", columns=("branches", "norm of one path", "share"), cells=cells),),
    )


def estimation(found: Estimation) -> Section:
    """Says whether the blocks of a stage refine one estimate."""
    rising, stages = sum(stage.rises for stage in found.stages), len(found.stages)
    cells = tuple(
        (name, str(number), measure(cosine), "" if stage.rises else "falls")
        for number, stage in enumerate(found.stages, 1)
        for name, cosine in zip(stage.names, stage.cosines, strict=True)
    )
    return Section(
        name="estimation",
        title="Whether blocks refine one estimate",
        says=f"In {rising} of {plural(stages, 'stage')} every block brings the stream nearer to the stage’s end.",
        caption="Cosine of the angle between a block’s output and that of its stage’s last, mean over the examples "
        "(Greff et al. 2017); no unit.",
        drawings=(
            Drawing(name="estimation", draw=lambda: along.estimates(found), label="Cosine to the end of each stage"),
        ),
        tables=(Rows(caption="Every place", columns=("place", "stage", "cosine", ""), cells=cells),),
    )


def information(found: Information) -> Section:
    """Says how much of the input is still there at the end."""
    first, last = found.places[0], found.places[-1]
    return Section(
        name="information",
        title="What is left of the input",
        says=f"A linear read-out finds the input again with R² {measure(first.r2)} at {first.name} and "
        f"{measure(last.r2)} at {last.name}.",
        caption="Held-out R² of a ridge regression from each place to the input at 8 × 8 pixels, on "
        f"{plural(found.examples, 'example')}: 1 is all, 0 nothing; no unit. A classifier may forget: low at the end "
        "alone is no fault.",
        drawings=(
            Drawing(
                name="information",
                draw=lambda: along.information(found),
                label="Held-out R² of the read-out of the input, place by place",
            ),
        ),
        tables=(
            Rows(
                caption="Every place",
                columns=("place", "R²"),
                cells=tuple((one.name, measure(one.r2)) for one in found.places),
            ),
        ),
    )


def lesions(found: Lesions) -> Section:
    """Says which blocks matter."""
    kind = "held-out examples" if found.held_out else "examples that it may have learned from"
    what = "Share of wrong answers" if found.quantity == "error" else "Mean loss"
    return Section(
        name="lesions",
        title="Which blocks matter",
        says=" ".join(_lesions_say(found)),
        caption=f"{what} on {count(found.examples)} {kind} with blocks removed, so that only the shortcut is left, or "
        "pairs of one shape exchanged (Veit et al. 2016). Recalibrated: with batch norms’ statistics taken anew.",
        drawings=tuple(_lesion_drawings(found)),
        tables=tuple(table for table in _lesion_tables(found) if table.cells),
    )


def _lesions_say(found: Lesions) -> Iterator[str]:
    chance = "" if found.chance is None else f", chance {_amount(found, found.chance)}"
    yield f"The whole network has {found.quantity} {_amount(found, found.whole)}{chance}."
    if found.single:
        worst = max(found.single, key=lambda one: one.error)
        middle = median(one.error for one in found.single)
        yield (
            f"Without one block the median is {_amount(found, middle)}; most is lost without "
            f"{' + '.join(worst.names)}: {_amount(found, worst.error)}."
        )


def _lesion_drawings(found: Lesions) -> Iterator[Drawing]:
    quantity = found.quantity.capitalize()
    if found.single:
        label = f"{quantity} after each block was removed, along the depth"
        yield Drawing(name="lesions", draw=lambda: curves.blocks_that_matter(found), label=label, wide=True)
    if found.several or found.swapped:
        label = f"{quantity} over the number of blocks removed or exchanged"
        yield Drawing(name="many-lesions", draw=lambda: curves.many_lesions(found), label=label)


def _lesion_tables(found: Lesions) -> tuple[Rows, ...]:
    def cells(of: Sequence[Lesion]) -> tuple[tuple[str, ...], ...]:
        return tuple(
            (
                " + ".join(one.names),
                _amount(found, one.error),
                _amount(found, one.recalibrated),
            )
            for one in of
        )

    heads = ("blocks", found.quantity, "recalibrated")
    return (
        Rows(caption="Each block removed", columns=heads, cells=cells(found.single)),
        Rows(caption="Several blocks removed", columns=heads, cells=cells(found.several)),
        Rows(caption="Pairs of blocks exchanged", columns=heads, cells=cells(found.swapped)),
    )


def questions(found: Questions) -> Section:
    """Says what short trainings on copies answer."""
    cells = tuple((one.name, measure(one.ratio)) for one in found.updates)
    columns = ("tensor", "step over weights")
    return Section(
        name="questions",
        title="What a short training says",
        says=" ".join(_questions_say(found)),
        caption=f"Trained on copies with {found.optimizer}; losses are means over examples (nats for a cross-entropy). "
        "The first step over the weights is a ratio of norms, without unit; about a thousandth is usual.",
        drawings=tuple(_question_drawings(found)),
        tables=(Rows(caption="The first step, tensor by tensor", columns=columns, cells=cells),) if cells else (),
    )


def _questions_say(found: Questions) -> Iterator[str]:
    expected = "" if found.expected_first_loss is None else f"; {measure(found.expected_first_loss)} is expected"
    yield f"The first loss is {measure(found.first_loss)}{expected}."
    if found.overfit:
        shown, steps = plural(found.overfit_examples, "example"), plural(len(found.overfit) - 1, "step")
        yield f"One batch of {shown}, learned for {steps}, ends at {measure(found.overfit[-1])}."
    ends = [
        (what, losses[-1])
        for what, losses in (
            ("the examples as they are", found.learned),
            ("blank inputs", found.blanked),
            ("permuted labels", found.permuted),
        )
        if losses
    ]
    if ends:
        yield f"Short trainings end at {', '.join(f'{measure(loss)} on {what}' for what, loss in ends)}."


def _question_drawings(found: Questions) -> Iterator[Drawing]:
    yield Drawing(name="small-batch", draw=lambda: curves.small_batch(found), label="Loss on one small batch")
    if found.learned or found.blanked or found.permuted:
        label = "Losses of short trainings on the examples, on blank inputs, on permuted labels"
        yield Drawing(name="trainings", draw=lambda: curves.short_trainings(found), label=label)
    if found.updates:
        yield Drawing(name="updates", draw=lambda: curves.first_updates(found), label="Size of the first step")


def first_step(found: FirstStep) -> Section:
    """Says what one step will move, and what it never will."""
    layers = len(found.learning) + len(found.frozen)
    said = f"A step moves {plural(len(found.learning), 'layer')} of {count(layers)}."
    if found.asleep:
        said += f" {plural(len(found.asleep), 'block')} will never wake."
    if found.decay_share is not None:
        said += f" Weight decay is {percent(found.decay_share)} of it."
    groups = (
        ("no gradient arrives", found.frozen),
        ("zero, and gets no gradient", found.asleep),
        ("zero, and begins to learn", found.waking),
    )
    cells = tuple((name, what) for what, names in groups for name in names)
    columns = ("place", "what the first step finds")
    return Section(
        name="first_step",
        title="What the first step moves",
        says=said,
        caption="By one forward and one backward pass; nothing was stepped. The share of weight decay is that of the "
        "norms of its part and the gradient’s, over all parameters.",
        tables=(Rows(caption="What does not learn, or begins at zero", columns=columns, cells=cells),) if cells else (),
    )


def _amount(found: Lesions, value: float | None) -> str:
    return percent(value, found.examples) if found.quantity == "error" else measure(value)
