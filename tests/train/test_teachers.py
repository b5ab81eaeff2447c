"""Teachers: where they come from, what they see, that they stand still, and which are refused."""

import importlib
import sys
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from reactnet.errors import ReactnetError
from reactnet.train import Recipe, load_model, save_model, train
from reactnet.train.feed import Feed
from reactnet.train.recipe import parse_recipe
from reactnet.train.teachers import Teacher, load_teachers
from train.small_run import CLASSES, TEXT, small_feed

Make = Callable[..., Recipe]
RECIPE = parse_recipe(TEXT, source="small.toml")
STUDENT = RECIPE.phases["student"]


def feed() -> Feed:
    return small_feed(RECIPE.data, None)


def load(teacher: str, given: Feed | None = None) -> Teacher:
    return load_teachers(replace(STUDENT, teacher=teacher), feed() if given is None else given, Path)[0]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reactnet.train.run.open_feed", small_feed)
        return train(RECIPE, tmp_path_factory.mktemp("runs") / "teacher")


@pytest.mark.parametrize("where", ["", "checkpoints/teacher.safetensors"])
def test_a_run_folder_and_a_checkpoint_teach_as_they_are(trained: Path, where: str) -> None:
    teacher = load(f"file:{trained / where}")
    images = torch.randn(3, 1, 8, 8)
    expected = load_model(trained / where if where else trained)(images)
    assert torch.equal(teacher(images), expected.detach())


def test_a_teacher_is_frozen_in_eval_mode_and_gives_no_gradient(trained: Path) -> None:
    teacher = load(f"file:{trained}")
    before = {key: value.clone() for key, value in teacher.model.state_dict().items()}
    logits = teacher(torch.randn(3, 1, 8, 8, requires_grad=True))
    assert not logits.requires_grad
    assert not any(module.training for module in teacher.model.modules())
    assert not any(parameter.requires_grad for parameter in teacher.model.parameters())
    assert all(torch.equal(value, before[key]) for key, value in teacher.model.state_dict().items())


def test_a_teacher_with_its_own_normalisation_sees_the_image_normalised_its_way() -> None:
    pixels = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    ours, theirs = ([0.4, 0.5, 0.6], [0.2, 0.3, 0.4]), ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])

    def normalised(pair: tuple[list[float], list[float]]) -> torch.Tensor:
        mean, std = (torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1) for values in pair)
        return ((pixels - mean) / std).float()

    teacher = Teacher("x", nn.Identity(), ours=ours, theirs=theirs)
    torch.testing.assert_close(teacher(normalised(ours)), normalised(theirs), rtol=1e-5, atol=1e-5)
    alike = Teacher("x", nn.Identity(), ours=ours, theirs=ours)
    assert torch.equal(alike(normalised(ours)), normalised(ours))


def test_several_teachers_teach_by_their_weights(trained: Path, make_recipe: Make, tmp_path: Path) -> None:
    both = {
        "phases.student.teacher": ["phase:teacher", f"file:{trained}"],
        "phases.student.teacher_weights": [0.25, 0.75],
    }
    mixed = load_model(train(make_recipe(both), tmp_path / "both"))
    alone = load_model(train(make_recipe(), tmp_path / "one"))
    assert any(not torch.equal(a, b) for a, b in zip(mixed.parameters(), alone.parameters(), strict=True))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"num_classes": 5, "class_names": ("a", "b", "c", "d", "e")}, "gives 4 classes, the data has 5"),
        ({"image_size": (16, 16, 1)}, "was trained on 16x16x1 images, the data has 8x8x1"),
        ({"class_names": ("class 1", "class 0", "class 2", "class 3")}, "in another order"),
    ],
)
def test_a_teacher_that_does_not_fit_the_data_is_refused_with_a_cure(
    trained: Path, tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    given = feed()
    if "num_classes" in change:
        given = replace(given, train=replace(given.train, class_names=change["class_names"]))
    else:
        model = load_model(trained)
        model.reactnet = replace(model.reactnet, **change)
        save_model(model, tmp_path / "teacher.safetensors")
        trained = tmp_path / "teacher.safetensors"
    with pytest.raises(ReactnetError, match=problem) as caught:
        load(f"file:{trained}", given)
    assert caught.value.hint


class Small(nn.Module):
    """What a library's model looks like: images of its size to logits."""

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        self.head = nn.Linear(64, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x.flatten(1))


def fake_torchvision(made: list[Any], *, crop: int = 8, fails: Exception | None = None) -> types.ModuleType:
    preset = types.SimpleNamespace(crop_size=[crop], mean=[0.1], std=[0.2])
    one = types.SimpleNamespace(name="V1", transforms=lambda: preset)

    class Weights(dict[str, Any]):
        DEFAULT = one

    def get_model_weights(name: str) -> Weights:
        if name != "resnet34":
            raise ValueError(f"Unknown model {name}")
        return Weights(V1=one)

    def get_model(name: str, weights: Any) -> nn.Module:
        if fails is not None:
            raise fails
        made.append((name, weights.name))
        return Small()

    module = types.ModuleType("torchvision.models")
    module.get_model_weights, module.get_model = get_model_weights, get_model  # type: ignore[attr-defined]
    return module


def use(monkeypatch: pytest.MonkeyPatch, name: str, module: types.ModuleType | None) -> None:
    real = importlib.import_module
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(
        "reactnet.train.teachers.importlib.import_module", lambda n: module if n == name and module else real(n)
    )


@pytest.mark.parametrize("name", ["torchvision/resnet34", "torchvision/resnet34/V1"])
def test_torchvision_teaches_by_name_under_its_own_normalisation(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    use(monkeypatch, "torchvision.models", fake_torchvision(made))
    teacher = load(name)
    assert made == [("resnet34", "V1")]
    images = torch.randn(2, 1, 8, 8)
    seen = (images * feed().std[0] + feed().mean[0] - 0.1) / 0.2
    torch.testing.assert_close(teacher(images), teacher.model(seen), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("module", "name", "problem"),
    [
        (fake_torchvision([]), "torchvision/resnet3", "no such model with weights"),
        (fake_torchvision([]), "torchvision/resnet34/V9", "no such model with weights"),
        (fake_torchvision([], crop=224), "torchvision/resnet34", "was trained on 224x224x1 images"),
        (fake_torchvision([], fails=OSError("no route")), "torchvision/resnet34", "cannot be fetched: no route"),
    ],
)
def test_what_torchvision_cannot_give_is_refused_with_a_cure(
    module: types.ModuleType, name: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, "torchvision.models", module)
    with pytest.raises(ReactnetError, match=problem) as caught:
        load(name)
    assert caught.value.hint


def fake_timm(classes: int) -> types.ModuleType:
    def create_model(name: str, pretrained: bool) -> nn.Module:
        assert pretrained
        model = Small(classes)
        model.pretrained_cfg = {"input_size": (1, 8, 8), "mean": (0.1,), "std": (0.2,)}  # type: ignore[assignment]
        return model

    module = types.ModuleType("timm")
    module.create_model = create_model  # type: ignore[attr-defined]
    # As timm does: names are listed with their tags, and without one stand for the default weights.
    module.list_models = lambda pretrained: ["small.a1_in1k"]  # type: ignore[attr-defined]
    module.is_model_pretrained = lambda name: name in ("small", "small.a1_in1k")  # type: ignore[attr-defined]
    return module


def test_timm_teaches_by_name_with_and_without_a_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, "timm", fake_timm(CLASSES))
    for name in ("timm/small", "timm/small.a1_in1k"):
        assert load(name)(torch.randn(2, 1, 8, 8)).shape == (2, CLASSES)
    with pytest.raises(ReactnetError, match="no such model"):
        load("timm/large")
    use(monkeypatch, "timm", fake_timm(CLASSES + 1))
    with pytest.raises(ReactnetError, match="gives 5 classes, the data has 4"):
        load("timm/small")


def test_a_library_that_is_not_installed_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)  # makes its import fail
    with pytest.raises(ReactnetError, match="timm is not installed") as caught:
        load("timm/small")
    assert caught.value.hint == "pip install timm"


def test_a_library_that_does_not_fit_torch_is_said_and_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> types.ModuleType:
        raise RuntimeError("operator torchvision::nms does not exist\nmore")

    monkeypatch.setattr("reactnet.train.teachers.importlib.import_module", broken)
    with pytest.raises(ReactnetError, match="torchvision cannot be imported: operator torchvision::nms") as caught:
        load("torchvision/resnet34")
    assert torch.__version__ in caught.value.hint


def test_a_detector_of_torchvision_is_refused_before_it_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    module = fake_torchvision(made)
    module.get_model_weights("resnet34").DEFAULT.transforms = types.SimpleNamespace  # as a detector's: no crop
    use(monkeypatch, "torchvision.models", module)
    with pytest.raises(ReactnetError, match="no classifier of images"):
        load("torchvision/resnet34")
    use(monkeypatch, "torchvision.models", fake_torchvision(made, crop=224))
    with pytest.raises(ReactnetError, match="was trained on 224x224"):
        load("torchvision/resnet34")
    assert made == []


def test_loading_a_teacher_leaves_the_generator_alone(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, "timm", fake_timm(CLASSES))
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    load(f"file:{trained}")
    load("timm/small")
    assert torch.equal(torch.rand(2), expected)
