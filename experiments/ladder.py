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
import torch
from arms import ARMS, BUDGETS, LADDER, SCHEDULES, SIZES, arm_recipe, teacher_recipe

from reactnet import Session, compile, load_model  # noqa: A004
from reactnet.evaluate import evaluate, open_dataset, packed_predictor
from reactnet.train import train
from reactnet.train.recipe import parse_recipe

HERE = Path(__file__).parent
Result = dict[str, Any]


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
            if _done(results, name, seed):
                continue
            if given.runs == 0 or time.monotonic() - begun > 60 * given.minutes:
                return
            given.runs -= 1
            recipe = _parse(arm_recipe(ARMS[name], seed, budget, str(teacher)))
            started = time.perf_counter()
            folder = run(recipe, given.out / f"{name}_{seed}")
            _keep(results, _result(name, seed, folder, given.data, time.perf_counter() - started))


def _result(name: str, seed: int, folder: Path, data: Path, seconds: float) -> Result:
    """Pack one finished run, and let the packed file answer the test images, once."""
    packed = folder / "packed.rnet"
    report = compile(load_model(folder), packed)
    with Session(packed) as session:
        found = evaluate(packed_predictor(session), open_dataset(data, session.class_names))
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    run = json.loads((folder / "run.json").read_text())
    top1 = [line["validation_top1"] for line in log]
    result = {
        "arm": name, "seed": seed, "test_top1": found.top1, "test_images": found.images,
        "validation_top1": top1[-1], "epochs": top1, "bytes": report.file_bytes, "seconds": round(seconds, 1),
        "device": run["device"], "commit": run["commit"], "torch": torch.__version__,
    }  # fmt: skip
    print(json.dumps(result), flush=True)
    return result


def _parse(table: dict[str, Any]) -> Any:
    return parse_recipe(tomli_w.dumps(table), source="ladder")


def _read(results: Path) -> list[Result]:
    return json.loads(results.read_text()) if results.exists() else []


def _done(results: Path, name: str, seed: int) -> bool:
    return any(line["arm"] == name and line["seed"] == seed for line in _read(results))


def _keep(results: Path, result: Result) -> None:
    lines = [line for line in _read(results) if (line["arm"], line["seed"]) != (result["arm"], result["seed"])]
    text = "[\n" + ",\n".join(json.dumps(line) for line in [*lines, result]) + "\n]\n"
    results.parent.mkdir(parents=True, exist_ok=True)
    part = results.with_suffix(".part")
    part.write_text(text)
    part.replace(results)


if __name__ == "__main__":
    main()
