"""What a diagnosis is given: examples, loss, modes, and that the module comes back as it was."""

import contextlib
import random
import re

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from residua.diagnostics.case import Examples, answer, opened, reseed, run, undisturbed, unwrapped
from residua.diagnostics.refusals import require_number, require_own
from residua.diagnostics.trace import trace
from residua.errors import BadData, BadNetwork, BadSetting


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Summing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x: Tensor, beside: Tensor | None = None) -> Tensor:
        return self.layer(x) + (0 if beside is None else beside)


def test_logits_and_whole_numbers_make_a_cross_entropy():
    labels = torch.tensor([0, 1, 2, 1])
    case = opened(nn.Linear(6, 3), normal(4, 6), labels)
    assert case.is_cross_entropy
    assert case.loss_name == "cross-entropy of the logits"
    assert case.classes == 3
    expected = functional.cross_entropy(case.module(normal(4, 6)), labels)
    assert torch.equal(case.loss_of(case.examples), expected)


@pytest.mark.parametrize("labels", [None, torch.rand(4), torch.zeros(4, 3)])
def test_else_a_fixed_linear_functional(labels):
    case = opened(nn.Linear(6, 3), normal(4, 6), labels)
    assert not case.is_cross_entropy
    assert case.classes is None
    weights = torch.randn(3, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(case.loss_of(case.examples), (case.module(normal(4, 6)) @ weights).mean())
    assert "linear functional" in case.loss_name


@pytest.mark.parametrize("wrong", [3, -1])
def test_a_label_that_no_logit_is_for_is_refused(wrong: int):
    labels = torch.tensor([0, 1, 2, wrong])
    with pytest.raises(BadData, match=f"a label is {wrong}, and the module gives 3 logits: labels 0 to 2"):
        opened(nn.Linear(6, 3), normal(4, 6), labels)


def test_labels_that_the_cross_entropy_leaves_out_are_let_be():
    assert opened(nn.Linear(6, 3), normal(4, 6), torch.tensor([0, -100, 2, 1])).is_cross_entropy


REFUSED = {
    "a loss an example": ({"loss": nn.CrossEntropyLoss(reduction="none")}, "the loss gives a tensor of shape"),
    "a loss of others": ({"loss": lambda output, labels: output["a"]}, "the loss cannot take what the module gives"),
    "an optimizer of others": (
        {"optimizer": torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1)},
        "holds none of the module's parameters",
    ),
    "inputs without labels held out": ({"held_out": (torch.zeros(4, 6), None)}, "held_out takes inputs and labels"),
}


@pytest.mark.parametrize(("given", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_work_is_refused_in_one_line(given, message):
    with pytest.raises(BadSetting, match=message):
        opened(nn.Linear(6, 3), normal(4, 6), torch.tensor([0, 1, 2, 0]), **given)


def test_names_are_no_loss_and_no_optimizer():
    with pytest.raises(BadSetting, match="loss is 'mse'; give a function"):
        require_number("mse", torch.zeros(2, 3), torch.zeros(2))
    for given in ("adam", torch.optim.Adam):
        with pytest.raises(BadSetting, match="give one that is made"):
            require_own(given, nn.Linear(2, 2))


def test_a_module_of_shapes_alone_is_refused():
    with torch.device("meta"):
        module = nn.Linear(6, 3)
    with pytest.raises(BadNetwork, match="shapes and no values"):
        opened(module, normal(4, 6), torch.tensor([0, 1, 2, 0]))


def test_inputs_that_the_forward_writes_into_are_copies():
    images = -torch.ones(4, 6)
    network = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(6, 3))
    case = opened(network, images, torch.tensor([0, 1, 2, 0]))
    with undisturbed(case.module):
        trace(case.module, case.examples)
        case.loss_of(case.examples)
    assert (images == -1).all()


def test_the_random_states_of_python_and_numpy_come_back():
    before = random.getstate(), np.random.get_state(legacy=False)["state"]["key"].copy()
    with undisturbed(nn.Linear(2, 2)):
        reseed(torch.device("cpu"), 3)
        assert random.random() != np.random.rand()
    assert random.getstate() == before[0]
    assert (np.random.get_state(legacy=False)["state"]["key"] == before[1]).all()


def test_a_loss_of_ones_own_is_taken():
    case = opened(nn.Linear(6, 3), normal(4, 6), normal(4, 3), loss=functional.mse_loss)
    assert case.loss_name == "the loss that was given"
    assert torch.equal(case.loss_of(case.examples), functional.mse_loss(case.module(normal(4, 6)), normal(4, 3)))


def test_inputs_come_alone_by_place_or_by_name():
    x, beside, module = normal(4, 6), normal(4, 3), Summing()
    both = [opened(module, given) for given in ((x, beside), {"beside": beside, "x": x})]
    for case in both:
        assert torch.equal(run(module, case.examples), module(x, beside))
        assert len(case.examples) == 4
    assert torch.equal(run(module, opened(module, x).examples), module(x))


@pytest.mark.parametrize(
    ("inputs", "labels", "says"),
    [
        (normal(4, 6), torch.zeros(3), "inputs and labels have 3 and 4 examples; give the same, 2 at least"),
        (normal(1, 6), None, "inputs and labels have 1 examples; give the same, 2 at least"),
        ((normal(4, 6), normal(5, 3)), None, "inputs and labels have 4 and 5 examples"),
        (torch.tensor(3.0), None, "inputs must be tensors with the examples along their first axis"),
        ("images", None, "inputs must be tensors"),
        ({}, None, "inputs must be tensors"),
    ],
)
def test_examples_that_do_not_fit_are_refused(inputs, labels, says, monkeypatch):
    import jaxtyping

    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(BadData, match=re.escape(says)):
        opened(Summing(), inputs, labels)


def test_a_forward_that_fails_is_said_in_one_line():
    with pytest.raises(BadNetwork, match=r"^Summing cannot take these inputs: [^\n]+; give it what its forward takes"):
        opened(Summing(), normal(4, 7))


def test_batches_are_whole_and_at_least_one():
    examples = Examples(args=(torch.arange(10.0),), labels=torch.arange(10))
    assert [one.args[0].tolist() for one in examples.batches(4)] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert [len(one) for one in examples.batches(4, 1)] == [4]
    assert [len(one) for one in examples.batches(64)] == [10]
    assert examples.batches(4)[1].labels.tolist() == [4, 5, 6, 7]
    assert examples.take(torch.tensor([7, 2])).labels.tolist() == [7, 2]


def test_only_fractions_change_their_type():
    examples = Examples(args=(normal(2, 3), torch.tensor([1, 2])), labels=torch.tensor([0, 1]))
    moved = examples.to("cpu", torch.float64)
    assert [one.dtype for one in moved.args] == [torch.float64, torch.int64]
    assert moved.labels.dtype is torch.int64


def test_the_answer_is_the_logits_or_the_first_tensor():
    first, second = normal(2, 3), normal(2, 4)

    class Output:
        logits = second

    assert answer(first) is first
    assert answer((first, second)) is first
    assert answer({"loss": first, "logits": second}) is second
    assert answer(Output()) is second
    assert answer([None, {"a": first}]) is first
    with pytest.raises(BadNetwork, match="gives a int without a tensor in it"):
        answer(3)


def test_wrappers_are_looked_through():
    inside = nn.Linear(6, 3)
    compiled = torch.compile(nn.DataParallel(inside), backend="eager")
    assert unwrapped(compiled) is inside  # type: ignore[arg-type]
    case = opened(nn.DataParallel(inside), normal(4, 6))
    assert case.module is inside
    assert case.name == "Linear"
    assert case.remarks == ("The wrapper around the module was looked through.",)
    assert opened(inside, normal(4, 6)).remarks == ()


class Lived(nn.Module):
    """A module that is not as it was made: modes, gradients and needs differ from part to part."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm, self.drop = nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Dropout(0.5)
        self.norm.eval()
        self.layer.bias.requires_grad_(False)
        self.layer.weight.grad = torch.ones(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.norm(self.layer(x)))


def disturb(module: Lived) -> None:
    module.train()
    assert module.layer.weight.grad is None
    module.layer.bias.requires_grad_(True)
    module(normal(8, 6)).sum().backward()
    module.norm.running_mean.mul_(3)  # type: ignore[union-attr]
    torch.rand(3)


def disturbed(module: Lived, *, fails: bool) -> None:
    with undisturbed(module) as same:
        assert same is module
        disturb(module)
        if fails:
            raise ZeroDivisionError


@pytest.mark.parametrize("fails", [False, True])
def test_the_module_comes_back_as_it_was_also_from_a_failure(fails):
    module = Lived()
    buffers = {name: (tensor, tensor.data_ptr(), tensor.clone()) for name, tensor in module.named_buffers()}
    gradient, state = module.layer.weight.grad, torch.get_rng_state()
    modes = {name: one.training for name, one in module.named_modules()}
    with pytest.raises(ZeroDivisionError) if fails else contextlib.nullcontext():
        disturbed(module, fails=fails)
    assert {name: one.training for name, one in module.named_modules()} == modes
    assert modes["norm"] is False
    assert modes["drop"] is True
    for name, tensor in module.named_buffers():
        before, place, value = buffers[name]
        assert tensor is before
        assert tensor.data_ptr() == place
        assert torch.equal(tensor, value)
    assert module.layer.weight.grad is gradient
    assert gradient is not None
    assert torch.equal(gradient, torch.ones(6, 6))
    assert module.norm.weight.grad is None
    assert not module.layer.bias.requires_grad
    assert module.layer.weight.requires_grad
    assert torch.equal(torch.get_rng_state(), state)


def test_opening_and_counting_classes_leave_the_module_alone():
    module = nn.Sequential(Lived(), nn.Linear(6, 3)).train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    state = torch.get_rng_state()
    case = opened(module, normal(4, 6), torch.tensor([0, 1, 2, 0]))
    assert case.classes == 3
    assert module.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_buffer_that_the_forward_replaces_is_put_back():
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 2)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.calls = self.calls + 1
            return self.layer(x)

    module = Counting()
    before = module.calls
    with undisturbed(module):
        module(torch.zeros(2, 4))
    assert module.calls is before
    assert float(before) == 0


@pytest.mark.parametrize("labels", [[0, 1, 2, 0], np.array([0, 1, 2, 0])], ids=["list", "array"])
def test_labels_that_are_no_tensor_are_labels_all_the_same(labels):
    case = opened(nn.Linear(4, 3), torch.randn(4, 4), labels)
    assert case.is_cross_entropy
    assert case.examples.labels.tolist() == [0, 1, 2, 0]


def test_labels_of_several_tensors_are_cut_with_the_examples():
    labels = {"class": torch.arange(6), "boxes": (torch.arange(6), torch.arange(6))}
    some = Examples(args=(torch.zeros(6, 2),), labels=labels).take(slice(1, 3))
    assert some.labels["class"].tolist() == some.labels["boxes"][1].tolist() == [1, 2]
