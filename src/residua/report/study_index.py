"""The index of all studies: a card a claim, to be read from three metres and printed on one large sheet."""

from collections.abc import Sequence
from pathlib import Path

from residua import __version__, files
from residua.errors import BadSetting
from residua.report.page import environment
from residua.report.study_cards import claim_cards, tally
from residua.report.study_tables import claims_table, write_tables
from residua.report.study_words import Language, said, word
from residua.studies.results import Results, seconds_of_all


def render_index(several: Sequence[Results], language: Language = "en", *, command: str) -> str:
    """Returns the page as HTML; each card leads to its study's page, which lies beside it."""
    cards = [card for results in several for card in claim_cards(results, language)]
    titles = {results.study.name: said(results.study.title, language) for results in several}
    return (
        environment()
        .get_template("studies.html.j2")
        .render(
            several=several,
            cards=[card for card in cards if card.picture is not None],
            later=[card for card in cards if card.picture is None],
            tally=tally(cards),
            titles=titles,
            machines=list(dict.fromkeys(results.machine for results in several if results.machine)),
            seconds=seconds_of_all(several),
            language=language,
            word=lambda name: word(name, language),
            said=lambda text: said(text, language),
            command=command,
            version=__version__,
        )
    )


def write_index(folder: Path, several: Sequence[Results], language: Language = "en", *, command: str) -> Path:
    """Writes ``index.html`` and the table of all claims (``tables/claims.*``) into a folder; returns the page's path.

    Raises:
        BadSetting: If the folder cannot be written.
    """
    page = folder / "index.html"
    try:
        files.write(page, render_index(several, language, command=command))
        write_tables(folder / "tables", {"claims": claims_table(several, language)})
    except OSError as error:
        raise BadSetting(f"cannot write {page} ({error.strerror or error}); choose a place with --out") from error
    return page
