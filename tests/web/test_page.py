"""The page in headless Chromium: a real packed model, a real picture, the bits of the native runtime."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import browser

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not browser.installed(), reason=f"no Chromium: {browser.INSTALL}")


@pytest.fixture
def site(wasm: Path, tmp_path: Path) -> Path:
    """The page, a model as if trained, a colour picture larger than the model's input, and a broken model."""
    torch = pytest.importorskip("torch")
    import reactnet
    from trained import trained

    folder = tmp_path / "site"
    shutil.copytree(ROOT / "web", folder)
    shutil.copy(wasm, folder / "reactnet.wasm")
    torch.manual_seed(0)
    model = trained(reactnet.create_model("reactnet20_cifar"), image_size=(32, 32, 3))
    reactnet.compile(model, folder / "model.rnet", image_size=32, class_names=[f"class {k}" for k in range(10)])
    (folder / "bad.rnet").write_bytes((folder / "model.rnet").read_bytes()[:-1])
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "picture.png")
    return folder


def test_page_classifies_a_picture_with_the_bits_of_the_native_runtime(site: Path, tmp_path: Path) -> None:
    from reactnet.images import load_image
    from reactnet.runtime import Session

    session = Session(site / "model.rnet")
    pixels = load_image(site / "picture.png", 3)
    wanted = session.run(session.preprocess(pixels)[None])[0]
    with browser.serve(site) as address, browser.open_browser(tmp_path) as page:
        page.visit(f"{address}/?image=picture.png")
        found = page.wait("return document.getElementById('top').dataset.logits")
        assert found == wanted.astype("<f4").tobytes().hex()
        first = page.run("return document.querySelector('#top li span').textContent")
        assert first == f"class {int(wanted.argmax())}"
        steps = page.run("return document.querySelectorAll('#steps tr').length")
        assert steps == page.run("return document.querySelectorAll('#bar span').length") > 10
        assert "ms" in page.run("return document.getElementById('ms').textContent")
        assert page.errors() == []


def test_page_runs_the_camera_and_says_what_is_wrong_with_a_model(site: Path, tmp_path: Path) -> None:
    with browser.serve(site) as address, browser.open_browser(tmp_path, width=400, height=800) as page:
        page.visit(address)
        page.wait("return document.getElementById('status').textContent.startsWith('Ready')")
        page.run("document.getElementById('camera').click()")  # Chromium's own test pattern
        page.wait("return document.getElementById('top').dataset.logits")
        assert page.run("return document.documentElement.scrollWidth <= innerWidth")
        page.visit(f"{address}/?model=bad.rnet")
        said = page.wait("const s = document.getElementById('status'); return s.className === 'error' && s.textContent")
        assert said.startswith("packed bytes: ")
