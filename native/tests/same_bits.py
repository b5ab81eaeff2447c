"""The C program on other processors, emulated, against the Python session here: same instruction sets, same bits.

    python native/tests/same_bits.py PROGRAM --on "COMMAND=ISA,..." ...

COMMAND stands before PROGRAM, such as `qemu-x86_64-static -cpu Nehalem`; the ISAs are those that the runtime must find
there, no more and no fewer, and each runs every model: the golden files and a whole ReActNet-A with both kinds of ends.
An ISA that is built but must not be there has to be refused in words. Needs torch, for ReActNet-A.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
SIZE = (96, 96, 3)

Models = dict[Path, tuple[Path, np.ndarray]]


def main() -> int:
    """Try every processor; 1 if one of them answers otherwise."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=Path)
    parser.add_argument("--on", action="append", required=True, metavar="COMMAND=ISAS")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        models = make_models(Path(folder))

        def on(processor: str) -> tuple[bool, str]:
            command, _, isas = processor.rpartition("=")
            begin = time.monotonic()
            problem = difference([*shlex.split(command), str(given.program)], isas.split(","), models)
            good = f"{isas}: the same bits from {len(models)} models ({time.monotonic() - begin:.1f} s)"
            return problem is None, f"{command}: {good if problem is None else problem}"

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = list(pool.map(on, given.on))
    print(*(line for _, line in found), sep="\n")
    return 0 if all(good for good, _ in found) else 1


def make_models(folder: Path) -> Models:
    """Packed files, each with pixels for it and the logits that they get here."""
    sys.path.insert(0, str(ROOT / "tests"))
    from reactnet.compiler import compile as compile_model
    from reactnet.models import create_model
    from reactnet.runtime import Session
    from trained import trained

    network = trained(create_model("reactnet_a"), image_size=SIZE)
    for ends in ("float", "integer"):
        compile_model(network, folder / f"reactnet_a_{ends}.rnet", image_size=SIZE, ends=ends)
    random = np.random.default_rng(0)
    models = {}
    for path in [*sorted((ROOT / "tests/golden").glob("*/*.rnet")), *sorted(folder.glob("*.rnet"))]:
        with Session(path) as session:
            height, width, channels = session.input_shape
            pixels = random.integers(0, 256, (2 * height + 1, 3 * width + 2, channels), dtype=np.uint8)
            logits = session.run(session.preprocess(pixels)[None])[0]
        image = folder / f"{path.stem}.{pixels.shape[0]}x{pixels.shape[1]}"
        image.write_bytes(pixels.tobytes())
        assert np.isfinite(logits).all()
        models[path] = (image, logits)
    return models


def difference(command: list[str], isas: list[str], models: Models) -> str | None:
    """What is not as here, or None."""
    machine = json.loads(run(command, "--system").stdout)
    if machine["isas"] != isas:
        return f"finds {machine['isas']}, not {isas}"
    for isa in machine["compiled"]:
        for path, (image, logits) in models.items():
            words = (path, image, f"--size={image.suffix[1:]}", f"--top={len(logits)}", "--json")
            done = run(command, *words, isa=isa)
            if isa not in isas:
                if done.returncode != 2 or f"'{isa}'" not in done.stderr:
                    return f"REACTNET_ISA={isa} is not refused: {done.returncode} {done.stderr}"
                break
            if done.returncode != 0:
                return f"{path.name} with {isa}: exit code {done.returncode}: {done.stderr}"
            if found(done.stdout, len(logits)).tobytes() != logits.tobytes():
                return f"{path.name} with {isa}: other bits than here"
    return None


def found(text: str, classes: int) -> np.ndarray:
    """The logits in what the program prints, by class."""
    logits = np.full(classes, np.nan, np.float32)
    for entry in json.loads(text)["predictions"][0]["classes"]:
        logits[entry["index"]] = entry["logit"]
    return logits


def run(command: list[str], *words: object, isa: str | None = None) -> subprocess.CompletedProcess[str]:
    """The program with `words`, REACTNET_ISA being `isa`."""
    environment = {name: value for name, value in os.environ.items() if name != "REACTNET_ISA"}
    if isa is not None:
        environment["REACTNET_ISA"] = isa
    return subprocess.run(
        [*command, *map(str, words)], capture_output=True, text=True, check=False, env=environment, timeout=300
    )


if __name__ == "__main__":
    sys.exit(main())
