"""The arms of the ladder: what each network and its training have, as recipes that `reactnet train` would read.

One network, one budget, all arms: ReActNet's plan with 8 layers at a quarter of CIFAR-10's resolution (`BUDGETS`). What
is not named below is the same for every arm. All arms of the ladder are trained in two phases from the same teacher, as
the paper's are; `released` and `one_phase` change the training of `all`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Arm:
    """One line of the table. `paper` is the paper's top-1 on ImageNet for the like change, where it has one."""

    title: str
    options: Mapping[str, str | int]
    distributional: bool = True
    carry: str = "all"
    phases: int = 2
    sizes: Mapping[str, int] = field(default_factory=dict)


PLAIN = {"sign": "sign", "activation": "none"}

ARMS: dict[str, Arm] = {
    "baseline": Arm("baseline, labels only", PLAIN, distributional=False),
    "loss": Arm("+ distributional loss", PLAIN),
    "prelu": Arm("+ distributional loss + PReLU", {"sign": "sign", "activation": "prelu"}),
    "rsign": Arm("+ distributional loss + RSign", {"sign": "rsign", "activation": "none"}),
    "rprelu": Arm("+ distributional loss + RPReLU", {"sign": "sign", "activation": "rprelu"}),
    "all": Arm("all: loss, RSign, RPReLU", {}),
    "labels": Arm("all but the loss: labels only", {}, distributional=False),
    "released": Arm("all, binary weights restarted between phases", {}, carry="all_but_binary_weights"),
    "one_phase": Arm("all, in one phase", {}, phases=1),
    "width8": Arm("8 channels, 8 layers", {}, sizes={"width": 8}),
    "width32": Arm("32 channels, 8 layers", {}, sizes={"width": 32}),
    "layers20": Arm("16 channels, 20 layers", {}, sizes={"units": 6}),
}
LADDER = ("baseline", "loss", "prelu", "rsign", "rprelu", "all", "labels")
SCHEDULES = ("all", "released", "one_phase")
SIZES = ("width8", "all", "width32", "layers20")


@dataclass(frozen=True)
class Budget:
    """What every arm may cost: the network, its epochs, and what computes it."""

    network: Mapping[str, int]
    teacher: Mapping[str, int]
    teacher_epochs: int
    epochs: tuple[int, int]
    learning_rate: float
    batch_size: int
    computing: Mapping[str, str | bool]


BUDGETS: dict[str, Budget] = {
    # Minutes on one core: 8 layers, maps of 8x8, each training image seen twice.
    "cpu": Budget(
        network={"width": 16, "units": 2, "stem_stride": 4},
        teacher={"width": 32, "blocks": 1, "stem_stride": 4},
        teacher_epochs=4,
        epochs=(1, 1),
        learning_rate=2e-3,
        batch_size=128,
        computing={"channels_last": True},
    ),
    # About a minute an arm on a large GPU: 20 layers at full resolution.
    "gpu": Budget(
        network={},
        teacher={},
        teacher_epochs=30,
        epochs=(20, 40),
        learning_rate=2e-3,
        batch_size=256,
        computing={"precision": "bfloat16", "channels_last": True, "compile": True},
    ),
}
DATA = {"name": "cifar10", "evaluate_on": "validation", "validation_images": 5000}
AUGMENT = {"random_shift": 4, "random_shift_fill": "reflect", "random_flip": True}


def teacher_recipe(budget: Budget) -> dict[str, Any]:
    """The real-valued ResNet that teaches every arm; it sees the same 45,000 images."""
    phase = {
        "binarize": [], "carry": "nothing", "teacher": "none", "loss": "cross_entropy",
        "epochs": budget.teacher_epochs, "batch_size": budget.batch_size, "optimizer": "sgd", "momentum": 0.9,
        "nesterov": True, "learning_rate": 0.1, "schedule": "cosine", "warmup_epochs": 1, "weight_decay": 5e-4,
        "weight_decay_on": ["convolutions", "linear"], "augment": AUGMENT,
    }  # fmt: skip
    return _recipe("resnet20_cifar", 0, budget.teacher, budget, {"real": phase})


def arm_recipe(arm: Arm, seed: int, budget: Budget, teacher: str) -> dict[str, Any]:
    """One arm with one seed; `teacher` is the run folder of the teacher."""
    first, second = budget.epochs
    phases = {
        "binary_activations": _phase(arm, budget, teacher, ["activations"], first, "nothing"),
        "binary_weights": _phase(arm, budget, teacher, ["activations", "weights"], second, arm.carry),
    }
    if arm.phases == 1:
        phases = {"binary_weights": _phase(arm, budget, teacher, ["activations", "weights"], first + second, "nothing")}
    return _recipe("reactnet20_cifar", seed, {**budget.network, **arm.sizes, **arm.options}, budget, phases)


def _phase(arm: Arm, budget: Budget, teacher: str, binarize: list[str], epochs: int, carry: str) -> dict[str, Any]:
    return {
        "binarize": binarize, "carry": carry,
        "teacher": f"file:{teacher}" if arm.distributional else "none",
        "loss": "distributional" if arm.distributional else "cross_entropy",
        "epochs": epochs, "batch_size": budget.batch_size, "optimizer": "adam", "betas": [0.9, 0.999],
        "learning_rate": budget.learning_rate, "schedule": "linear_step", "weight_decay": 0.0, "weight_decay_on": [],
        "augment": AUGMENT,
    }  # fmt: skip


def _recipe(
    model: str, seed: int, options: Mapping[str, str | int], budget: Budget, phases: Mapping[str, Any]
) -> dict[str, Any]:
    named = {"model_options": dict(options)} if options else {}
    return {
        "model": model, "seed": seed, "threads": 1, **named, "computing": dict(budget.computing), "data": DATA,
        "phases": dict(phases),
    }  # fmt: skip
