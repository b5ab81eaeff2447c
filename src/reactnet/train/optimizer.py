"""The optimizer of a phase, with weight decay by role.

A parameter's role follows from the module that owns it, never from its number of dimensions or its name: a shift
stored as (1, C, 1, 1) is still a shift.

| role | parameters |
|---|---|
| `binary_convolutions` | `BinaryConv2d.weight` |
| `convolutions` | `Conv2d.weight` |
| `linear` | `Linear.weight` |
| `biases` | `Conv2d.bias`, `Linear.bias` |
| `norms` | scale and shift of batch norms |
| `shifts` | `RSign.shift`, `RPReLU.shift_in` and `.shift_out` |
| `slopes` | `RPReLU.slope`, `PReLU.weight` |
| `ratios` | `Blend.ratio` |

`as_released` stands for what ReActNet's released scripts decay: they choose four-dimensional parameters and those with
"conv" in their names, which are both kinds of convolution weight and, since their shifts are (1, C, 1, 1), all shifts.
"""

from collections.abc import Iterable, Iterator

from torch import nn, optim

from reactnet.errors import ReactnetError
from reactnet.nn import BinaryConv2d, Blend, RPReLU, RSign
from reactnet.train.recipe import Phase

ROLES: dict[tuple[type[nn.Module], str], str] = {
    (BinaryConv2d, "weight"): "binary_convolutions",
    (nn.Conv2d, "weight"): "convolutions",
    (nn.Conv2d, "bias"): "biases",
    (nn.Linear, "weight"): "linear",
    (nn.Linear, "bias"): "biases",
    (nn.BatchNorm1d, "weight"): "norms",
    (nn.BatchNorm1d, "bias"): "norms",
    (nn.BatchNorm2d, "weight"): "norms",
    (nn.BatchNorm2d, "bias"): "norms",
    (RSign, "shift"): "shifts",
    (RPReLU, "shift_in"): "shifts",
    (RPReLU, "shift_out"): "shifts",
    (RPReLU, "slope"): "slopes",
    (nn.PReLU, "weight"): "slopes",
    (Blend, "ratio"): "ratios",
}
AS_RELEASED = ("convolutions", "binary_convolutions", "shifts")


def parameter_roles(model: nn.Module) -> dict[str, str]:
    """The role of each parameter of `model`, by the parameter's name, in the model's order.

    Raises ReactnetError for a parameter of a module that is not in the table: a new kind of layer must be given roles
    before it can be trained, or its decay would be decided by accident.
    """
    roles: dict[str, str] = {}
    for path, module in model.named_modules():
        for name, _ in module.named_parameters(recurse=False):
            role = ROLES.get((type(module), name))
            full = f"{path}.{name}" if path else name
            if role is None:
                raise ReactnetError(
                    f"optimizer: {full}: no role for {name!r} of {type(module).__name__}",
                    hint="add the layer to ROLES in reactnet/train/optimizer.py",
                )
            roles[full] = role
    # A shared parameter appears once, under its first name, as in named_parameters.
    return {name: roles[name] for name, _ in model.named_parameters()}


def decayed(model: nn.Module, weight_decay_on: Iterable[str]) -> list[str]:
    """The names of the parameters that decay, in the model's order."""
    chosen = set(_expand(weight_decay_on))
    return [name for name, role in parameter_roles(model).items() if role in chosen]


def make_optimizer(model: nn.Module, phase: Phase) -> optim.Optimizer:
    """Adam or SGD over all parameters, in two groups: decayed (L2, as torch's Adam and SGD have it) and not."""
    chosen = set(decayed(model, phase.weight_decay_on))
    groups = [
        {"params": [p for name, p in model.named_parameters() if name in chosen], "weight_decay": phase.weight_decay},
        {"params": [p for name, p in model.named_parameters() if name not in chosen], "weight_decay": 0.0},
    ]
    if phase.optimizer == "adam":
        assert phase.betas is not None
        return optim.Adam(groups, lr=phase.learning_rate, betas=phase.betas)
    assert phase.momentum is not None
    return optim.SGD(groups, lr=phase.learning_rate, momentum=phase.momentum)


def _expand(roles: Iterable[str]) -> Iterator[str]:
    for role in roles:
        if role == "as_released":
            yield from AS_RELEASED
        else:
            yield role
