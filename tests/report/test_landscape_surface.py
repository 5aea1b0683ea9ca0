"""What a page holds of a surface that can be turned: true losses, one scale, plotly as it was published."""

import base64
import gzip
import hashlib
import io
import json
from dataclasses import replace

import numpy as np
import plotly.offline
import pytest
from PIL import Image
from tests.report.fabricated_surfaces import bowl, comparison, rough, surface

from residua.report.landscape_marks import panels_of, twin_panels
from residua.report.landscape_surface import Turning, reliefs, turning


@pytest.fixture(scope="module")
def turned() -> Turning:
    return turning(panels_of(surface(bowl(7))))


def test_heights_are_logarithms_and_the_loss_under_the_pointer_is_the_measured_one():
    found = reliefs(panels_of(surface(bowl(5))))
    (one,) = found["surfaces"]
    np.testing.assert_allclose(one["z"], np.log10(bowl(5)), rtol=1e-4)
    assert one["loss"][2][2] == "0.0123"
    assert (found["low"], found["high"]) == pytest.approx((np.log10(0.0123), np.log10(bowl(5).max())))
    assert [10**tick for tick in found["ticks"]] == pytest.approx([float(label) for label in found["labels"]])


def test_a_cell_without_a_finite_loss_is_a_gap_and_a_clipped_one_keeps_its_loss_in_words():
    loss = rough()
    loss[3, 4] = np.nan
    found = reliefs(panels_of(surface(loss)))
    one = found["surfaces"][0]
    assert one["z"][3][4] is None
    assert one["z"][-1][-1] is None
    assert one["loss"][-1][-1] == "∞"
    assert one["z"][1][1] == pytest.approx(found["high"], abs=1e-4)
    assert one["loss"][1][1] == "4.4e6"
    json.dumps(found, allow_nan=False)


def test_rows_are_y_and_columns_are_x():
    table = 1 + np.arange(5)[None, :] + 10.0 * np.arange(3)[:, None]
    one = reliefs(panels_of(surface(table)))["surfaces"][0]
    assert (len(one["y"]), len(one["x"])) == (3, 5)
    assert [len(row) for row in one["z"]] == [5, 5, 5]


def test_twins_stand_on_one_scale():
    found = reliefs(twin_panels(comparison()))
    assert [one["name"] for one in found["surfaces"]] == ["residual: cifar10-resnet56-1", "plain: cifar10-plain56-1"]
    heights = [value for one in found["surfaces"] for row in one["z"] for value in row if value is not None]
    assert min(heights) == pytest.approx(found["low"], abs=1e-4)
    assert max(heights) == pytest.approx(found["high"], abs=1e-4)


def test_the_library_unpacks_to_what_plotly_published_and_both_scripts_are_named_by_digest(turned):
    code = gzip.decompress(base64.b64decode(turned.library))
    assert code.decode() == plotly.offline.get_plotlyjs()
    for script in (code, turned.script.encode()):
        digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
        assert f"'sha256-{digest}'" in turned.policy
    assert "unsafe" not in turned.policy


def test_the_library_takes_less_than_two_megabytes(turned):
    assert len(turned.library) < 2.1e6


def test_no_name_can_end_the_element_that_holds_the_data():
    named = replace(comparison(), residual=surface(bowl(5), name="</script><b>\u2028"))
    data = turning(twin_panels(named)).data
    assert "<" not in data
    assert "\u2028" not in data
    assert json.loads(data)["surfaces"][0]["name"] == "residual: </script><b>\u2028"


def test_the_picture_for_who_has_no_webgl_shows_something(turned):
    picture = Image.open(io.BytesIO(base64.b64decode(turned.picture.split(",")[1]))).convert("RGBA")
    table = np.asarray(picture)
    assert min(picture.size) > 300
    assert len(np.unique(table[table[..., 3] == 255][:, :3], axis=0)) > 30
    assert len(turned.picture) < 150_000


def test_captions_say_policy_images_and_the_centre(turned):
    assert turned.captions == (
        "norms: running statistics frozen · 256 training images · centre: training loss 0.0123, gradient norm 0.0310",
    )
