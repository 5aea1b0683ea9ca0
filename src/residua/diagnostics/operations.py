"""The operations of one forward pass, as torch's functions are called."""

from dataclasses import dataclass
from typing import Literal, final

from torch.autograd.graph import GradientEdge

Kind = Literal["input", "layer", "norm", "activation", "addition", "other"]
NORMS = frozenset({"batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "local_response_norm"})
ACTIVATIONS = frozenset(
    {
        *("relu", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus", "relu6"),
        *("sigmoid", "tanh", "hardtanh", "hardswish", "hardsigmoid", "softsign", "logsigmoid", "tanhshrink"),
    }
)
"""By the name of the function, without the underscore of its form in place."""
_MULTIPLIES = frozenset({"matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "addmm", "baddbmm", "einsum", "tensordot"})
_LAYERS = frozenset(
    {
        *("linear", "bilinear", "embedding", "embedding_bag", "multi_head_attention_forward", "lstm", "gru"),
        *(f"conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3)),
        *_MULTIPLIES,
    }
)
SAME_VALUES = frozenset({"clone", "contiguous", "view", "reshape", "to", "flatten", "transpose", "permute", "identity"})


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Operation:
    """One operation on tensors that come from the inputs."""

    index: int
    """Its place in the forward pass, from 0; inputs come first."""
    op: str
    """The function's name: ``conv2d``, ``relu``, ``add``, …; ``input``; or ``unseen``, for what Python did not call."""
    kind: Kind
    module: str
    """Path of the innermost module that called it; empty for the network itself."""
    parents: tuple[int, ...]
    """The operations whose outputs it reads."""
    above: int
    """All operations that it depends on, as bits by index."""
    weighted: bool
    """Whether a parameter enters here."""
    shape: tuple[int, ...]
    edge: GradientEdge | None
    """Where the gradient of its output arrives, as the output was then, whatever was written into it later; None
    where no gradient passes."""

    def comes_from(self, index: int) -> bool:
        """Says whether the output depends on an operation."""
        return bool(self.above >> index & 1)


def kind_of(name: str, *, weighted: bool) -> Kind:
    """Returns what kind of operation a function is; ``weighted``: whether a parameter enters."""
    plain = name.rstrip("_") if not name.startswith("__") else name
    if plain in NORMS:
        return "norm"
    if plain in ACTIVATIONS:
        return "activation"
    return "layer" if weighted and plain in _LAYERS else "other"
