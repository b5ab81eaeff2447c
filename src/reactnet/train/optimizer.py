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


def latent_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """The latent weight of every binary convolution, by name, in the model's order."""
    return {
        f"{path}.weight" if path else "weight": module.weight
        for path, module in model.named_modules()
        if isinstance(module, BinaryConv2d)
    }


def make_optimizer(model: nn.Module, phase: Phase) -> optim.Optimizer:
    """Adam or SGD over all parameters, in groups: decayed (L2, as torch's Adam and SGD have it) and not.

    With `binary_learning_rate` the latent weights have two groups of their own. Each group knows its rate before any
    schedule, as `base`.
    """
    chosen, latent = set(decayed(model, phase.weight_decay_on)), set(latent_weights(model))
    own_rate = phase.binary_learning_rate
    groups: list[dict[str, object]] = []
    for binary in (False,) if own_rate is None else (False, True):
        mine = [
            (name, parameter)
            for name, parameter in model.named_parameters()
            if own_rate is None or (name in latent) == binary
        ]
        base = phase.learning_rate if own_rate is None or not binary else own_rate
        for decays in (True, False):
            members = [parameter for name, parameter in mine if (name in chosen) == decays]
            decay = phase.weight_decay if decays else 0.0
            groups.append({"params": members, "weight_decay": decay, "base": base})
    if phase.optimizer == "adam":
        assert phase.betas is not None
        return optim.Adam(groups, lr=phase.learning_rate, betas=phase.betas)
    assert phase.momentum is not None
    return optim.SGD(groups, lr=phase.learning_rate, momentum=phase.momentum, nesterov=phase.nesterov)


def _expand(roles: Iterable[str]) -> Iterator[str]:
    for role in roles:
        if role == "as_released":
            yield from AS_RELEASED
        else:
            yield role
