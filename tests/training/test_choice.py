import pytest

from residua.training.choice import DEFAULT_MINUTES, PHOTOGRAPHS, RATES, SMALL, TINY, Processor, choose

COST = {name: 1_000_000 >> rank for ladder in (TINY, SMALL, PHOTOGRAPHS) for rank, name in enumerate(ladder.networks)}


def chosen(side: int, images: int, **changes):
    options = {"processor": "bfloat16", "cores": 2, "minutes": None, "network": None, "multiply_adds": COST.__getitem__}
    return choose(side, images, **(options | changes))


def test_images_under_16_pixels_take_padded_shortcuts():
    assert chosen(15, 100).network in TINY.networks
    assert chosen(16, 100).network in SMALL.networks


def test_images_of_64_pixels_take_a_network_for_photographs():
    assert chosen(63, 100).network in SMALL.networks
    assert chosen(64, 100).network in PHOTOGRAPHS.networks


def test_the_first_network_that_sees_the_images_often_enough_is_taken():
    """The budget is exactly enough for the second network of the ladder, and one image too small for the first."""
    second = SMALL.networks[1]
    images = int(60 * DEFAULT_MINUTES * RATES["bfloat16"] * 2 / (SMALL.fewest * COST[second]))
    assert (chosen(28, images).network, chosen(28, images).epochs) == (second, SMALL.fewest)
    assert chosen(28, images // 2).network == SMALL.networks[0]
    assert chosen(28, images + images // 100).network == SMALL.networks[2]


def test_epochs_stay_between_one_and_most():
    assert chosen(28, 10).epochs == SMALL.most
    assert chosen(28, 10**12).epochs == 1


def test_a_users_network_is_kept():
    assert chosen(28, 10**9, network=SMALL.networks[0]).network == SMALL.networks[0]


@pytest.mark.parametrize(("slower", "faster"), [("float32", "bfloat16"), ("bfloat16", "gpu")])
def test_a_faster_processor_gets_more_epochs(slower: Processor, faster: Processor):
    images = 3_000_000
    assert chosen(28, images, processor=slower).epochs < chosen(28, images, processor=faster).epochs


def test_an_epoch_has_twenty_steps_where_the_images_allow():
    assert chosen(28, 60_000).batch_size == SMALL.batch_size
    assert chosen(28, 1_300).batch_size == 64
    assert chosen(28, 30).batch_size == 16
    assert chosen(224, 10_000).batch_size == PHOTOGRAPHS.batch_size


def test_the_reason_names_size_number_and_processor():
    reason = chosen(28, 60_000, cores=1, processor="float32").reason
    assert all(word in reason for word in ("60,000 images", "28 pixels", "1 core ", "float32"))
