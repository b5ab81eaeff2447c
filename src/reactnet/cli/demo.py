"""`reactnet demo`: the whole way once, on real images, in a minute or two."""

import json as json_module
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from reactnet.cli.draw import side_by_side
from reactnet.cli.eval import card
from reactnet.cli.progress import TrainingBars
from reactnet.cli.screen import percent, print_table, size
from reactnet.errors import ReactnetError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import nn

    from reactnet.data import ImageSet
    from reactnet.evaluate import Evaluation
    from reactnet.runtime import Session

RECIPE = "reactnet_digits.toml"
TIMED_RUNS, WARM_RUNS = 300, 30
SHOWN_IMAGES, SHOWN_IN_A_ROW = 8, 4


@dataclass(frozen=True)
class Summary:
    """What the demo found, as `summary.json` keeps it: fractions, bytes, milliseconds an image, seconds in all."""

    teacher_top1: float
    phase1_top1: float
    phase2_top1: float
    packed_top1: float
    changed_images: int
    float_bytes: int
    packed_bytes: int
    torch_ms: float
    runtime_ms: float
    seconds: float


def demo(*, out: Annotated[Path, Parameter(help="Where everything is kept.")] = Path("demo")) -> None:
    """Train a small ReActNet on handwritten digits, pack it, run it, and compare: no data needed, under two minutes."""
    from reactnet.data import load_digits_split
    from reactnet.graph import load
    from reactnet.runtime import Session
    from reactnet.train import load_model, load_recipe
    from reactnet.train import train as train_recipe

    start = time.perf_counter()
    recipe = load_recipe(recipe_path(RECIPE))
    held_out = load_digits_split().test
    run, file = out / "run", out / "digits.rnet"
    say("Training on scikit-learn's handwritten digits: a real teacher, then binary activations, then weights too.")
    with TrainingBars() as bars:
        train_recipe(recipe, run, progress=bars)
    models = {phase: load_model(run, phase=phase) for phase in ("teacher", "binary_activations", "binary_weights")}
    pack(models["binary_weights"], file)
    write_images(held_out, out / "images")
    with Session(file, 1) as session:
        agree(load(file), session, held_out.images)
        summary, packed = measure(models, session, held_out, file, start)
        show_images(held_out, packed)
        show_table(summary, models["binary_weights"])
    write_atomically(out / "summary.json", json_module.dumps(asdict(summary), indent=2) + "\n")
    say(f"\nKept in {out}: the run, digits.rnet, images, summary.json. Now try")
    say(f"  reactnet predict {file} {out / 'images' / '7'} --top 3\n  reactnet inspect {file}")


def recipe_path(name: str) -> Path:
    """A recipe that ships with the package: in a source tree the one in `recipes`, else the copy in the wheel."""
    package = Path(__file__).parent.parent
    source = package.parent.parent
    shipped = [source / "recipes" / name] if (source / "pyproject.toml").is_file() else []
    for path in [*shipped, package / "recipes" / name]:
        if path.is_file():
            return path
    raise ReactnetError(f"reactnet demo: {name} is not in {package / 'recipes'}", hint="install reactnet again")


def pack(model: "nn.Module", file: Path) -> None:
    """Compile the trained model, say what came of it, and verify the file against the model."""
    from reactnet.compiler import compile as compile_model
    from reactnet.verify import verify

    say(f"\n{compile_model(model, file)}\n")
    verification = verify(model, file)
    say(str(verification))
    if not verification.ok:
        raise ReactnetError(f"{file}: differs from the model", hint="report this as a bug, with the lines above")


def agree(graph: Any, session: "Session", images: "npt.NDArray[np.uint8]") -> None:
    """Say that the runtime gives the bits of the NumPy reference on every image, or raise."""
    import numpy as np

    from reactnet.graph import run_reference

    expected, found = run_reference(graph, images), session.run(images)
    same = (expected.view(np.uint32) == found.view(np.uint32)).all(axis=1)
    if not same.all():
        first = int(np.flatnonzero(~same)[0])
        raise ReactnetError(
            f"runtime: {int((~same).sum())} of {len(images)} images differ from the NumPy reference, first {first}",
            hint="report this as a bug, with the output of: reactnet doctor",
        )
    say(f"runtime and NumPy reference agree bit for bit on {len(images)} of {len(images)} held-out images")


def measure(
    models: dict[str, "nn.Module"], session: "Session", held_out: "ImageSet", file: Path, start: float
) -> tuple[Summary, "Evaluation"]:
    """Accuracy on the held-out images and time an image, of PyTorch and of the packed file, one thread each."""
    from reactnet.evaluate import evaluate, model_predictor, packed_predictor

    found = {phase: evaluate(model_predictor(model), held_out) for phase, model in models.items()}
    packed = evaluate(packed_predictor(session), held_out)
    last = models["binary_weights"]
    summary = Summary(
        teacher_top1=found["teacher"].top1,
        phase1_top1=found["binary_activations"].top1,
        phase2_top1=found["binary_weights"].top1,
        packed_top1=packed.top1,
        changed_images=int((packed.answers != found["binary_weights"].answers).sum()),
        float_bytes=sum(4 * value.numel() for value in last.state_dict().values() if value.is_floating_point()),
        packed_bytes=file.stat().st_size,
        torch_ms=torch_milliseconds(last, held_out.images),
        runtime_ms=milliseconds(lambda i: session.run(held_out.images[i : i + 1]), len(held_out)),
        seconds=time.perf_counter() - start,
    )
    return summary, packed


def torch_milliseconds(model: "nn.Module", images: "npt.NDArray[np.uint8]") -> float:
    """Median time of one image through PyTorch on one thread; normalisation is left out, in PyTorch's favour."""
    import torch

    from reactnet.data import normalize

    inputs = normalize(images, card(model).mean, card(model).std)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model.eval()
    try:
        with torch.inference_mode():
            return milliseconds(lambda i: model(inputs[i : i + 1]), len(images))
    finally:
        torch.set_num_threads(threads)


def milliseconds(run: Callable[[int], object], images: int) -> float:
    """The median of many runs, of one image each, after a few that do not count."""
    times = []
    for i in range(WARM_RUNS + TIMED_RUNS):
        begin = time.perf_counter()
        run(i % images)
        times.append(time.perf_counter() - begin)
    return 1000 * statistics.median(times[WARM_RUNS:])


def write_images(held_out: "ImageSet", folder: Path) -> None:
    """The held-out images as folder/<class>/<number>.png."""
    from PIL import Image

    for number, (image, label) in enumerate(zip(held_out.images, held_out.labels, strict=True)):
        home = folder / held_out.class_names[label]
        home.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(home / f"{number:03}.png")


def write_atomically(path: Path, text: str) -> None:
    """Write the whole file or nothing: a full disk leaves no half of it."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def show_images(held_out: "ImageSet", packed: "Evaluation") -> None:
    """A few images with answer and truth: the first of some classes, and a wrong one where there is one."""
    import numpy as np

    names = held_out.class_names
    wrong = np.flatnonzero(packed.answers != held_out.labels)
    first = [int(np.flatnonzero(held_out.labels == label)[0]) for label in range(len(names))]
    chosen = [*first[: SHOWN_IMAGES - min(len(wrong), 1)], *wrong[:1].tolist()]
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    say("\nheld-out images, and what the packed file says:\n")
    for begin in range(0, len(chosen), SHOWN_IN_A_ROW):
        row = chosen[begin : begin + SHOWN_IN_A_ROW]
        captions = []
        for i in row:
            answer, truth = packed.answers[i], held_out.labels[i]
            captions.append(f"a {names[answer]}" if answer == truth else f"a {names[answer]}? no: {names[truth]}")
        say("\n".join(side_by_side([held_out.images[i] for i in row], captions, scale=2, colour=colour)) + "\n")


def show_table(summary: Summary, model: "nn.Module") -> None:
    """The demo's result: accuracy, size, speed."""
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print_table(
        ("", "top-1", "size", "ms an image"),
        [
            ("teacher, real-valued", percent(summary.teacher_top1), size(summary.float_bytes), ""),
            ("phase one, binary activations", percent(summary.phase1_top1), size(summary.float_bytes), ""),
            (
                "phase two, binary weights too",
                percent(summary.phase2_top1),
                size(summary.float_bytes),
                f"{summary.torch_ms:.3f}",
            ),
            (
                "packed file in the runtime",
                percent(summary.packed_top1),
                size(summary.packed_bytes),
                f"{summary.runtime_ms:.3f}",
            ),
        ],
    )
    say(
        f"\n{parameters:,} parameters. Packed, {summary.float_bytes / summary.packed_bytes:.1f} times smaller and "
        f"{summary.torch_ms / summary.runtime_ms:.1f} times faster than PyTorch, one thread each; "
        f"{summary.changed_images} answers differ. {summary.seconds:.0f} seconds in all."
    )


def say(text: str) -> None:
    """Print now, so that words and progress bars keep their order."""
    print(text, flush=True)
