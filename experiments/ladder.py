"""Train the arms of the paper's ladder, one run after another, and keep what each packed file answers.

    python experiments/ladder.py --data DIR --out runs/ladder [--budget gpu] [--device cuda] [--seeds 3] [--minutes 9]

Resumable: a run that is done is not done again, one that was stopped goes on. Each line of the results file is one run:
arm, seed, top-1 of the packed file on the 10,000 test images, top-1 on the 5,000 held out, bytes, seconds, commit. The
page and the plot are made from it by `experiments/ladder_page.py`.
"""

import argparse
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import tomli_w
from arms import ARMS, BUDGETS, LADDER, SCHEDULES, SIZES, arm_recipe, teacher_recipe
from results_file import answers, find, keep

from reactnet.train import train
from reactnet.train.recipe import parse_recipe

HERE = Path(__file__).parent


def main() -> None:
    """Whatever is not done yet, seed by seed, so that a ladder that is cut short has every arm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="holds cifar-10-batches-bin")
    parser.add_argument("--out", type=Path, required=True, help="run folders, one an arm and seed")
    parser.add_argument("--budget", choices=sorted(BUDGETS), default="cpu")
    parser.add_argument("--results", type=Path, help="a JSON file; default experiments/results/ladder_BUDGET.json")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=0, help="threads that augment images ahead of the steps")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), help="default: the ladder and its schedules")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no run after so long")
    parser.add_argument("--runs", type=int, default=10**6, help="train at most so many runs")
    given = parser.parse_args()
    results = given.results or HERE / "results" / f"ladder_{given.budget}.json"
    budget, begun = BUDGETS[given.budget], time.monotonic()
    run = partial(train, device=given.device, data_root=given.data, workers=given.workers)
    teacher = run(_parse(teacher_recipe(budget)), given.out / "teacher")
    arms = given.arms or list(dict.fromkeys([*LADDER, *SCHEDULES, *SIZES]))
    for seed in range(given.seeds):
        for name in arms:
            if find(results, arm=name, seed=seed) is not None:
                continue
            if given.runs == 0 or time.monotonic() - begun > 60 * given.minutes:
                return
            given.runs -= 1
            recipe = _parse(arm_recipe(ARMS[name], seed, budget, str(teacher)))
            started = time.perf_counter()
            folder = run(recipe, given.out / f"{name}_{seed}")
            line = {"arm": name, "seed": seed, **answers(folder, given.data, time.perf_counter() - started)}
            print(json.dumps(line), flush=True)
            keep(results, line, ("arm", "seed"))


def _parse(table: dict[str, Any]) -> Any:
    return parse_recipe(tomli_w.dumps(table), source="ladder")


if __name__ == "__main__":
    main()
