"""What ReActNet-18 is measured against, trained on one budget: accuracy, OPs, packed bytes and milliseconds.

    python experiments/neighbours.py --data DIR --out runs/neighbours [--budget gpu] [--device cuda] [--minutes 9]
    python experiments/neighbours.py --data DIR --out runs/neighbours --time

The teacher first, as the recipe of the budget says: resnet8_cifar10_cpu.toml or resnet18_cifar10.toml, into runs/. One
recipe for all binary networks, two phases with the distributional loss, that of ReActNet; the real ResNet-18 has the
same epochs in one phase, from labels. 45,000 images train; what the 5,000 held out give is optimistic on the GPU's
budget, whose teacher has seen them. Resumable like the ladder. `--time` times the packed files of what is done, in
turns in one process on one thread: give it an idle machine. The tables are made by `experiments/neighbours_page.py`.
"""

import argparse
import json
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tomli_w
from results_file import answers, find, keep, read

from reactnet import Session
from reactnet.graph import cost, load
from reactnet.train import Recipe, train
from reactnet.train.recipe import parse_recipe

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 300


@dataclass(frozen=True)
class Budget:
    """The recipes of the binary networks and of the real one, and what changes in them."""

    binary: str
    real: str
    epochs: tuple[int, int]
    options: Mapping[str, int]


BUDGETS = {
    # Half an hour on one core: a quarter of the width, maps of 16x16 and less.
    "cpu": Budget("reactnet20_cifar10_cpu", "resnet8_cifar10_cpu", (1, 1), {"width": 16, "stem_stride": 2}),
    # A tenth of reactnet18_cifar10.toml's epochs.
    "gpu": Budget("reactnet18_cifar10", "resnet18_cifar10", (22, 34), {"width": 64, "stem_stride": 1}),
}
BINARY = ("reactnet18_cifar", "birealnet18_cifar", "xnornet18_cifar", "quicknet", "meliusnet22")
REAL = "resnet18_cifar"


def recipe(budget: Budget, model: str) -> Recipe:
    """What `reactnet train` would read for one of the networks: a recipe's page, the model and its epochs exchanged."""
    page = budget.real if model == REAL else budget.binary
    table = tomllib.loads((ROOT / "recipes" / f"{page}.toml").read_text())
    table |= {"model": model, "model_options": dict(budget.options)}
    table["data"] |= {"evaluate_on": "validation", "validation_images": 5000}
    epochs = [sum(budget.epochs)] if model == REAL else budget.epochs
    for phase, count in zip(table["phases"].values(), epochs, strict=True):
        phase["epochs"] = count
    return parse_recipe(tomli_w.dumps(table), source=model)


def main() -> None:
    """Whatever is not done yet, or the times of what is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="holds cifar-10-batches-bin")
    parser.add_argument("--out", type=Path, required=True, help="run folders, one a network")
    parser.add_argument("--budget", choices=sorted(BUDGETS), default="cpu")
    parser.add_argument("--results", type=Path, help="a JSON file; default experiments/results/neighbours_BUDGET.json")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=0, help="threads that augment images ahead of the steps")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no run after so long")
    parser.add_argument("--time", action="store_true", help="time the packed files instead of training")
    given = parser.parse_args()
    results = given.results or ROOT / "experiments" / "results" / f"neighbours_{given.budget}.json"
    if given.time:
        time_all(given.out, results)
        return
    begun = time.monotonic()
    for model in (*BINARY, REAL):
        if find(results, model=model) is not None:
            continue
        if time.monotonic() - begun > 60 * given.minutes:
            return
        started = time.perf_counter()
        wanted = recipe(BUDGETS[given.budget], model)
        folder = train(wanted, given.out / model, device=given.device, data_root=given.data, workers=given.workers)
        line = {"model": model, "seed": wanted.seed, **answers(folder, given.data, time.perf_counter() - started)}
        total = cost(load(folder / "packed.rnet"))
        line |= {"bops": total.bops, "flops": total.flops, "ops": total.ops}
        print(json.dumps(line), flush=True)
        keep(results, line, ("model",))


def time_all(out: Path, results: Path) -> None:
    """The least and the median processor time of one image for each packed file, all in turns, on one thread."""
    lines = read(results)
    sessions = [Session(out / line["model"] / "packed.rnet", threads=1) for line in lines]
    image = np.random.default_rng(0).integers(0, 256, (1, *sessions[0].input_shape), dtype=np.uint8)
    seen = np.zeros((ROUNDS, len(lines)))
    for turn in seen:
        for index, session in enumerate(sessions):
            session.run(image)  # whatever the others left in the caches is gone
            begin = time.process_time_ns()
            session.run(image)
            turn[index] = time.process_time_ns() - begin
    for index, line in enumerate(lines):
        times = seen[:, index] / 1e6
        keep(
            results,
            line | {"ms_min": round(times.min(), 4), "ms_median": round(float(np.median(times)), 4)},
            ("model",),
        )


if __name__ == "__main__":
    main()
