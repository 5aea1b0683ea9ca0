"""The page of a study, drawn anew whenever a trial has ended, with its figures and tables as files beside it."""

from dataclasses import dataclass
from pathlib import Path
from typing import final

from residua import __version__, files
from residua.errors import BadSetting
from residua.report.diagnosis_page import said as with_code
from residua.report.page import environment
from residua.report.study_cards import arm_rows, claim_cards, edges, tally
from residua.report.study_figures import inlined, write_figures
from residua.report.study_tables import arms_table, claims_table, write_tables
from residua.report.study_words import Language, said, word
from residua.studies.results import Results

REDRAWN_EVERY_SECONDS = 10


@final
@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a study is that still runs."""

    done: int
    trials: int
    left: str
    """About how long it will take yet, in words."""


def render(results: Results, language: Language = "en", *, command: str, progress: Progress | None = None) -> str:
    """Returns the page as HTML: complete in itself, without a script.

    Args:
        results: What is known so far.
        language: Of everything but names, commands and sources.
        command: Runs the study again.
        progress: None where no trial is left; else the page asks its browser to read it again.
    """
    cards = claim_cards(results, language)
    return (
        environment()
        .get_template("study.html.j2")
        .render(
            results=results,
            study=results.study,
            cards=cards,
            tally=tally(cards),
            arms=arm_rows(results, language),
            edges=edges(results, language),
            figures=inlined(results, language),
            tables=[f"{results.study.name}-{name}" for name in ("claims", "arms")],
            language=language,
            said=lambda text: with_code(said(text, language)),
            word=lambda name: word(name, language),
            command=command,
            progress=progress,
            every=REDRAWN_EVERY_SECONDS,
            version=__version__,
        )
    )


def write_page(
    folder: Path, results: Results, language: Language = "en", *, command: str, progress: Progress | None = None
) -> Path:
    """Writes ``STUDY.html`` into a folder, whole or not at all, and returns its path.

    Once no trial is left, its figures and tables are written beside it (``figures/STUDY-*``, ``tables/STUDY-*``).

    Raises:
        BadSetting: If the folder cannot be written.
    """
    page = folder / f"{results.study.name}.html"
    try:
        files.write(page, render(results, language, command=command, progress=progress))
        if progress is None:
            write_figures(folder / "figures", results, language)
            tables = {"claims": claims_table([results], language), "arms": arms_table(results, language)}
            named = {f"{results.study.name}-{name}": table for name, table in tables.items()}
            write_tables(folder / "tables", named)
    except OSError as error:
        raise BadSetting(f"cannot write {page} ({error.strerror or error}); choose a place with --out") from error
    return page
