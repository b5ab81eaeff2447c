"""Write the seeds of the fuzz targets: the smallest file of each op and a few networks of several.

python native/fuzz/seeds.py FOLDER
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from conformance.graphs import CASES, random_graph
from reactnet.graph import OPS, dumps

MOST_BYTES = 6000  # mutations of small files go further


def main(folder: Path) -> None:
    """The seeds, a file each."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: dumps(make()) for name, make in CASES.items()}
    files |= {f"random-{seed}": dumps(random_graph(seed)) for seed in range(2 * len(OPS))}
    for name, data in files.items():
        if len(data) <= MOST_BYTES:
            (folder / f"{name.replace('/', '-').replace(' ', '-')}.rnet").write_bytes(data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
