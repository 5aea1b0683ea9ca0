"""The page as a file: complete, harmless, honest."""

import html
import re
from pathlib import Path

import pytest

from residua import files
from residua.errors import BadRun
from residua.report.page import write_report


def text_of(page: Path) -> str:
    """Returns the page's words, without its style and its elements."""
    body = re.sub(r"<style>.*?</style>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_the_page_and_its_figures_are_written_into_the_run(make_run):
    run = make_run()
    assert write_report(run) == run / "report.html"
    written = {path.name for path in (run / "figures").iterdir()}
    assert written == {f"{name}.{kind}" for name in ("curves", "confusion", "calibration") for kind in ("png", "svg")}


def test_the_page_refers_to_nothing_outside_itself(awkward_page):
    page = awkward_page.read_text(encoding="utf-8")
    referred = re.findall(r'(?:src|href|srcset|action|data)="([^"]*)"', page) + re.findall(r"url\(([^)]*)\)", page)
    assert [address for address in referred if not address.startswith(("data:image/", "#"))] == []
    assert "@import" not in page
    assert "default-src 'none'" in page


def test_class_names_are_text_and_never_elements(awkward_page):
    page = awkward_page.read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<i>dog</i>" not in page
    assert "{{ 7 * 7 }}" in html.unescape(page)
    assert "猫" in page


def test_the_first_words_say_that_a_run_is_no_better_than_a_baseline(make_run):
    run = make_run(sharpness=0.5, headline={"beats_baselines": False})
    page = write_report(run).read_text(encoding="utf-8")
    body = page[page.index("<main>") :]
    assert body.index("This network is no better than") < body.index("<h1>")


def test_the_first_words_say_that_a_choice_made_the_accuracy_optimistic(make_run):
    run = make_run(headline={"part": "validation", "optimistic": True})
    page = write_report(run).read_text(encoding="utf-8")
    assert page.index("used to choose the epoch: it is optimistic") < page.index("<h1>")
    assert "on 360 validation images" in text_of(run / "report.html")


def test_a_good_run_begins_with_no_caution(awkward_page):
    assert 'role="note"' not in awkward_page.read_text(encoding="utf-8")


def test_a_run_without_held_out_images_says_so_and_shows_its_curves(make_run):
    run = make_run()
    files.write_json(
        run / "result.json",
        {"headline": None, "parts": {}, "baselines": {}, "chosen": {"epoch": 6, "by": "last epoch"}},
    )
    page = write_report(run)
    assert "No image was held out" in text_of(page)
    assert 'aria-label="Loss over epochs"' in page.read_text(encoding="utf-8")


def test_a_run_without_validation_shows_its_training_curves(make_run):
    run = make_run()
    rows = files.read_json_lines(run / "metrics.jsonl")
    files.write_json_lines(
        run / "metrics.jsonl", [{**row, "validation_loss": None, "validation_accuracy": None} for row in rows]
    )
    page = write_report(run).read_text(encoding="utf-8")
    loss = page[page.index('aria-label="Loss over epochs"') :]
    assert ">training<" in loss[: loss.index("</svg>")]
    assert ">validation<" not in loss[: loss.index("</svg>")]


def test_a_temperature_shows_its_calibration_before_and_after(make_run):
    """The page says which images chose it; accuracy has no before and after."""
    run = make_run(temperature=2.5)
    numbers = files.read_json(run / "result.json")["parts"]["test"]
    page = write_report(run)
    words = text_of(page)
    assert (
        'aria-label="Share of correct images over the probability of the predicted class, before: temperature 1"'
        in (page.read_text(encoding="utf-8"))
    )
    before, after = (round(100 * one["calibration_error"], 1) for one in (numbers["uncalibrated"], numbers))
    assert before != after
    assert re.search(rf"{before}\u202f? ?% before, {after}\u202f? ?% after", words)
    assert "fitted to the 250 validation images" in words
    assert "the test images shown here had no part in it" in words
    assert (run / "figures" / "calibration-before.svg").is_file()


def test_a_temperature_fitted_to_the_images_shown_is_called_optimistic(make_run):
    page = write_report(make_run(temperature=0.5, headline={"part": "validation", "optimistic": True}))
    assert "These are the same images: the calibration shown is optimistic" in text_of(page)


def test_without_a_validation_part_the_page_says_that_no_temperature_was_fitted(make_run):
    assert "No validation part was held out to fit a temperature to" in text_of(write_report(make_run()))


def test_a_run_from_before_there_were_temperatures_is_drawn(make_run):
    run = make_run()
    result = files.read_json(run / "result.json")
    del result["temperature"]
    for part in result["parts"].values():
        del part["temperature"], part["uncalibrated"]
    files.write_json(run / "result.json", result)
    assert "from before a temperature was fitted" in text_of(write_report(run))


def test_a_run_of_one_epoch_is_drawn(make_run):
    run = make_run()
    files.write_json_lines(run / "metrics.jsonl", files.read_json_lines(run / "metrics.jsonl")[:1])
    assert write_report(run).is_file()


def test_two_classes_are_enough(make_run):
    page = write_report(make_run(("ants", "bees"), sharpness=1.0))
    assert re.search(r"Most often \w+ for \w+ \(\d+ of its \d+\)", text_of(page))


def test_mistakes_are_listed_by_name_where_there_are_no_pictures(make_run):
    run = make_run(sharpness=2.0)
    wrong = [row for row in files.read_json_lines(run / "predictions-test.jsonl") if row["label"] != row["predicted"]]
    surest = max(wrong, key=lambda row: max(row["probabilities"]))
    words = text_of(write_report(run))
    assert words.index(surest["file"]) == min(words.index(row["file"]) for row in wrong if row["file"] in words)


def test_a_run_without_mistakes_says_none(make_run):
    assert "None: all 360 test images were given their class" in text_of(write_report(make_run(sharpness=100.0)))


def test_many_classes_get_the_most_confused_pairs_and_the_weakest_classes(large_page):
    words = text_of(large_page)
    assert "The pairs confused most often, of 100 classes" in words
    assert "The classes with the lowest F1" in words
    assert 'class="confusion' not in large_page.read_text(encoding="utf-8")


def test_everything_that_made_the_run_is_on_the_page(large_page):
    words = text_of(large_page)
    for expected in (
        "residua train digits --set optimizer.learning_rate=0.1",
        "optimizer.learning_rate 0.4",
        "a fifth of each class, by the hash of its name",
        "two files are no images and were left out",
        "torch 2.13.0",
        "sha256:0123456789abcdef",
        "stem.kernel 3",
        "preprocessing.mean 0.1307",
    ):
        assert expected in words


def test_identifiers_are_used_once(large_page):
    used = re.findall(r'\bid="([^"]+)"', large_page.read_text(encoding="utf-8"))
    assert len(used) == len(set(used))


def test_the_same_run_gives_the_same_page(make_run, pictures):
    run = make_run()
    first = write_report(run, pictures).read_bytes()
    assert write_report(run, pictures).read_bytes() == first


@pytest.mark.parametrize("name", ["result.json", "metrics.jsonl", "network.json"])
def test_a_missing_file_is_named(make_run, name):
    run = make_run()
    (run / name).unlink()
    with pytest.raises(BadRun, match=re.escape(name)):
        write_report(run)


def test_an_unfinished_run_has_no_report_yet(make_run):
    run = make_run()
    files.write_json(run / "run.json", {**files.read_json(run / "run.json"), "status": "stopped"})
    with pytest.raises(BadRun, match=r"is stopped, not finished; `residua train --resume"):
        write_report(run)
    assert not (run / "report.html").exists()
