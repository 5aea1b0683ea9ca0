"""The public verb that puts claims to the test, and the list of what there is to test."""

import contextlib
import os
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast, final

from residua import files, machine
from residua.errors import BadData, BadSetting, DownloadFailed, Interrupted, unknown
from residua.report.numbers import duration
from residua.report.study_index import write_index
from residua.report.study_page import Progress, write_page
from residua.report.study_progress import StudyProgress, answer, study_progress
from residua.report.study_words import Language, language_named, word
from residua.studies import catalogue, runner, studyfile, workers
from residua.studies.claim import Verdict
from residua.studies.design import SCALES, Scale, Study
from residua.studies.gathering import gather, not_run
from residua.studies.judging import first_scale
from residua.studies.results import Results
from residua.studies.runner import Share
from residua.studies.schedule import Place, Schedule
from residua.studies.store import DEFAULT, Store
from residua.studies.workers import Orders

_MOST_WORKERS = 8
"""Unless asked otherwise: each holds the images and a network."""
_REDRAWN_AFTER_SECONDS = 30.0


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Studied:
    """What a study found, and the page that shows it."""

    results: Results
    page: Path
    command: Callable[[str], str]
    """Says how it is run at another scale."""
    language: Language = "en"

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Returns the verdicts, one a claim."""
        return self.results.verdicts

    @property
    def says(self) -> str:
        """Says each claim and its verdict, what failed, and which scale to run next."""
        return answer(self.results, self.language, command=self.command)

    def agrees(self, expected: str) -> bool:
        """Says whether every claim that this scale decides has the expected verdict, and there is one."""
        decided = [one.answer for one in self.verdicts if one.claim in self.results.budget.decides]
        return bool(decided) and all(answer == expected for answer in decided)


@final
@dataclass(frozen=True, kw_only=True)
class Listed:
    """A study as the list has it."""

    name: str
    study: Study

    @property
    def minutes(self) -> dict[Scale, float]:
        """Returns the time of each scale on two cores."""
        return {one: self.study.budgets[one].minutes for one in SCALES if one in self.study.budgets}

    @property
    def decides(self) -> dict[str, Scale | None]:
        """Returns the first scale that can decide each claim."""
        return {claim.name: first_scale(self.study, claim.name) for claim in self.study.claims}


@final
@dataclass(frozen=True, kw_only=True)
class _Asked:
    """How studies are to be run and shown."""

    scale: Scale
    seeds: int | None
    workers: int | None
    share: Share
    store: Store
    out: Path
    language: Language
    place: Place


def study(
    what: str | os.PathLike[str] | Study,
    *,
    scale: str = "quick",
    seeds: int | None = None,
    workers: int | None = None,
    part: str = "1/1",
    store: str | os.PathLike[str] = DEFAULT,
    out: str | os.PathLike[str] | None = None,
    language: str = "en",
    data_root: str | os.PathLike[str] | None = None,
    device: str = "auto",
) -> Studied:
    """Runs a study, as far as its trials are not kept from before, and returns its verdicts with a page.

    What was stopped or killed goes on where it was. The page is drawn anew while trials end.

    Args:
        what: A study by name (`residua study` lists them), a Python file that defines ``STUDY``, or a study.
        scale: ``quick``, ``laptop`` or ``paper``.
        seeds: How many; None takes the budget's.
        workers: Processes that run trials at once, each with its part of the cores; None takes one a core (8 at most),
            and one on a GPU or where all is done in 20 s.
        part: ``I/N``: this process's share of the trials, for several jobs that share ``store``.
        store: Folder of the trials, shared by all studies.
        out: Folder of the page; None is ``pages`` in the store.
        language: Of the page: ``en`` or ``zh``.
        data_root: Folder of the named sets; None follows ``RESIDUA_DATA``.
        device: ``auto``, ``cpu``, ``cuda``, …

    Raises:
        BadSetting: If there is no such study or scale, or the study contradicts itself.
        Interrupted: If the user asked to stop; what has finished is kept.
    """
    asked = _asked(
        scale=scale,
        seeds=seeds,
        workers=workers,
        part=part,
        store=store,
        out=out,
        language=language,
        data_root=data_root,
        device=device,
    )
    found, called, file = _meant(what)
    return _studied(found, asked, called, file=file)


def study_all(**options: Any) -> tuple[Studied, ...]:
    """Runs every study of the catalogue at one scale, and writes the page of all (``index.html``) anew after each.

    What the scale cannot decide is not run, and the page says which one can. A study whose images cannot be had is
    reported, and the others go on.

    Args:
        options: Those of `study`.
    """
    asked = _asked(**options)
    done: list[Studied] = []
    for name in catalogue.names():
        found = catalogue.study(name)
        try:
            done.append(_studied(found, asked, name))
        except (BadData, DownloadFailed) as error:
            done.append(_shown(not_run(found, asked.scale, because=str(error)), asked, name))
        write_index(asked.out, [one.results for one in done], asked.language, command=_command("--all", asked))
    return tuple(done)


def listed() -> tuple[Listed, ...]:
    """Returns the studies of the catalogue, in its order."""
    return tuple(Listed(name=name, study=catalogue.study(name)) for name in catalogue.names())


def _asked(
    *,
    scale: str = "quick",
    seeds: int | None = None,
    workers: int | None = None,
    part: str = "1/1",
    store: str | os.PathLike[str] = DEFAULT,
    out: str | os.PathLike[str] | None = None,
    language: str = "en",
    data_root: str | os.PathLike[str] | None = None,
    device: str = "auto",
) -> _Asked:
    known: dict[str, Scale] = {one: one for one in SCALES}
    if scale not in known:
        raise BadSetting(unknown("scale", scale, SCALES))
    for name, number in (("seeds", seeds), ("workers", workers)):
        if number is not None and number < 1:
            raise BadSetting(f"--{name} is {number}; give 1 or more")
    kept = Store(files.expanded(store))
    return _Asked(
        scale=known[scale],
        seeds=seeds,
        workers=workers,
        share=_share(part),
        store=kept,
        out=kept.path / "pages" if out is None else files.expanded(out),
        language=language_named(language),
        place=Place(data_root=None if data_root is None else os.fspath(data_root), device=device),
    )


def _share(part: str) -> Share:
    index, _, of = part.partition("/")
    if not (index.isdecimal() and of.isdecimal()):
        raise BadSetting(f"--part is {part!r}; give I/N, such as 1/4 for the first of four jobs")
    return Share(index=int(index), of=int(of))


def _meant(what: str | os.PathLike[str] | Study) -> tuple[Study, str | None, Path | None]:
    """Returns the study that is meant, what the command line calls it, and the file that it is read from."""
    if isinstance(what, Study):
        return what, None, None
    text = os.fspath(what)
    if text.endswith(".py"):
        return studyfile.study(text), text, Path(text)
    return catalogue.study(text), text, None


def _studied(found: Study, asked: _Asked, called: str | None, *, file: Path | None = None) -> Studied:
    budget = found.budgets.get(asked.scale)
    if budget is None or not budget.decides:
        return _shown(not_run(found, asked.scale), asked, called)
    machine.prepare_process()
    schedule = Schedule(found, asked.scale, seeds=asked.seeds, store=asked.store, place=asked.place)
    command = _command(called, asked)
    with _Telling(schedule, asked, command) as told:
        try:
            results = _run(schedule, asked, told, file)
        except Interrupted as stopped:
            raise Interrupted(f"{stopped}; go on with: {command}") from None
    files.write_json(asked.out / f"{found.name}-{asked.scale}.json", results.to_json())
    return _shown(results, asked, called)


def _shown(results: Results, asked: _Asked, called: str | None) -> Studied:
    """Draws the page of what was found."""

    def at(scale: str) -> str:
        return _command(called, replace(asked, scale=cast(Scale, scale)))

    page = _drawn(results, asked, _command(called, asked))
    return Studied(results=results, page=page, language=asked.language, command=at)


def _run(schedule: Schedule, asked: _Asked, told: "_Telling", file: Path | None) -> Results:
    count = asked.workers or _usual_workers(schedule)
    if count == 1:
        return runner.run(schedule, asked.store, share=asked.share, told=told)
    orders = Orders(
        study=schedule.study,
        scale=schedule.scale,
        seeds=asked.seeds,
        store=asked.store.path,
        place=asked.place,
        share=asked.share,
        threads=max(1, machine.cores() // count),
    )
    return workers.run(orders, count, file=file, told=told)


def _usual_workers(schedule: Schedule) -> int:
    """Returns how many processes a study takes unless asked otherwise: small networks compute fastest on one core."""
    if machine.device(schedule.place.device).type == "cuda" or schedule.is_short:
        return 1
    importable = all(one.function.__module__ != "__main__" for one in schedule.study.measures)
    return min(machine.cores(), _MOST_WORKERS, len(schedule.pairs)) if importable else 1


def _drawn(results: Results, asked: _Asked, command: str) -> Path:
    """Writes the page, complete or as far as other processes have come."""
    progress = None
    if not results.is_complete:
        done = sum(one.status != "open" for one in results.trials)
        progress = Progress(done=done, trials=len(results.trials), left=word("others", asked.language))
    return write_page(asked.out, results, asked.language, command=command, progress=progress)


def _command(called: str | None, asked: _Asked) -> str:
    """Returns what runs a study again: a command line, or a call where the command line does not know it."""
    part = None if asked.share == Share() else f"{asked.share.index}/{asked.share.of}"
    settings = {
        "scale": asked.scale,
        "seeds": asked.seeds,
        "part": part,
        "workers": asked.workers,
        "store": None if asked.store.path == DEFAULT else str(asked.store.path),
        "out": None if asked.out == asked.store.path / "pages" else str(asked.out),
        "language": None if asked.language == "en" else asked.language,
        "data_root": asked.place.data_root,
        "device": None if asked.place.device == "auto" else asked.place.device,
    }
    given = {name: value for name, value in settings.items() if value is not None}
    if called is None:
        return f"residua.study(STUDY, {', '.join(f'{name}={value!r}' for name, value in given.items())})"
    words = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    return shlex.join(["residua", "study", called, *words])


@final
class _Telling:
    """Passes what a study's runner tells on to the terminal, and draws the page anew while trials end."""

    def __init__(self, schedule: Schedule, asked: _Asked, command: str) -> None:
        self._schedule, self._asked, self._command = schedule, asked, command
        self._stack = contextlib.ExitStack()
        self._shown: StudyProgress | None = None
        self._drawn_at = time.monotonic()

    def __enter__(self) -> "_Telling":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def started(self, expected: Mapping[str, float], *, workers: int) -> None:
        """Shows how much there is to do; nothing where all is done."""
        if expected:
            self._shown = self._stack.enter_context(study_progress(expected, workers=workers))

    def began(self, trial: str) -> None:
        """Shows a trial that runs."""
        if self._shown:
            self._shown.began(trial)

    def ended(self, trial: str) -> None:
        """Shows a trial that is finished."""
        if self._shown:
            self._shown.ended(trial)
            self._redraw(self._shown)

    def failed(self, trial: str, error: str) -> None:
        """Shows a trial that failed."""
        if self._shown:
            self._shown.failed(trial, error)
            self._redraw(self._shown)

    def _redraw(self, shown: StudyProgress) -> None:
        if time.monotonic() - self._drawn_at < _REDRAWN_AFTER_SECONDS:
            return
        results = gather(self._schedule, self._asked.store)
        done = sum(one.status != "open" for one in results.trials)
        left = duration(shown.seconds_left())
        progress = Progress(done=done, trials=len(results.trials), left=left)
        write_page(self._asked.out, results, self._asked.language, command=self._command, progress=progress)
        self._drawn_at = time.monotonic()
