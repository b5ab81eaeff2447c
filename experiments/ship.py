"""Put a finished run into the zoo: packed file, card with what that file answers on the test part, golden logits.

    python experiments/ship.py NAME RUN --data DIR_OR_digits --summary TEXT --trained-on TEXT --limits TEXT

The test part is looked at here, once. Golden logits (tests/golden/zoo) are those of two photographs that come with
scikit-learn, by the NumPy reference.
"""

import argparse
import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from reactnet import Session, compile, create_model, load_model  # noqa: A004
from reactnet.compiler import lower
from reactnet.evaluate import evaluate, open_dataset, packed_predictor
from reactnet.graph import cost, load, run_reference
from reactnet.zoo import Card

ROOT = Path(__file__).parent.parent
ZOO = ROOT / "src" / "reactnet" / "zoo"
GOLDEN = ROOT / "tests" / "golden" / "zoo"
PHOTOGRAPHS = ("china.jpg", "flower.jpg")


def main() -> None:
    """Compile, measure, write the card and the golden logits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", required=True, help="as `reactnet eval --data` takes it")
    for text in ("summary", "recipe", "trained-on", "measured-on", "limits"):
        parser.add_argument(f"--{text}", required=True)
    parser.add_argument("--ends", choices=("float", "integer"), default="float", help="as compile takes them")
    given = parser.parse_args()
    path = ZOO / f"{given.name}.rnet"
    model = load_model(given.run)
    compile(model, path, ends=given.ends)
    with Session(path) as session:
        found = evaluate(packed_predictor(session), open_dataset(given.data, session.class_names))
    about = model.reactnet
    with torch.device("meta"):
        shapes = create_model(about.name, num_classes=about.num_classes, **about.options)
    card = Card(
        name=given.name, summary=given.summary, model=about.name, options=dict(about.options), ends=given.ends,
        classes=about.num_classes, recipe=given.recipe, seed=int(about.provenance["seed"]),
        commit=about.provenance["commit"], trained_on=given.trained_on, data=given.measured_on, top1=found.top1,
        images=found.images, ops=cost(lower(shapes, about.image_size)).ops, bytes=path.stat().st_size,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(), licence="Apache-2.0", limits=given.limits,
    )  # fmt: skip
    path.with_suffix(".json").write_text(json.dumps(asdict(card), indent=2) + "\n")
    _golden(given.name, path)
    print(json.dumps(asdict(card), indent=2))


def _golden(name: str, path: Path) -> None:
    """Pixels (hashed after decoding) and logits, as hexadecimal float32 words, of each photograph."""
    from sklearn.datasets import load_sample_image

    table = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "photographs": {}}
    with Session(path) as session:
        for photograph in PHOTOGRAPHS:
            image = Image.fromarray(load_sample_image(photograph))
            pixels = np.atleast_3d(np.asarray(image if session.input_shape[2] == 3 else image.convert("L")))
            prepared = session.preprocess(pixels)
            logits = run_reference(load(path), prepared[None])[0]
            table["photographs"][photograph] = {
                "pixels": hashlib.sha256(pixels.tobytes()).hexdigest(),
                "logits": [f"{word:08x}" for word in logits.view(np.uint32)],
            }
    GOLDEN.mkdir(parents=True, exist_ok=True)
    (GOLDEN / f"{name}.json").write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main()
