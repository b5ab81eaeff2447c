"""Files in every published layout become models that compute what the published network computes."""

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from convert.published import BinaryConv, Form, MobileNet, ResNet, randomise
from reactnet.convert import convert
from reactnet.errors import ReactnetError
from reactnet.models import create_model
from reactnet.nn import binarized
from reactnet.train import ModelCard, load_model

# Both sides do the same float32 operations, but for the order of a sum or two.
CLOSE = {"rtol": 1e-4, "atol": 1e-4}

FORMS = {
    "weight 4-D": Form(),
    "weights (N, 1)": Form("weights", flat=True),
    "weights 4-D": Form("weights"),
    "weight (N, 1)": Form(flat=True),
}


def mobilenet(form: Form = FORMS["weights (N, 1)"]) -> tuple[nn.Module, Tensor]:
    # The digits' ReActNet has a width plan of our own, which may change: it is read off the model.
    with torch.device("meta"):
        blocks = list(create_model("reactnet_digits").get_submodule("blocks").children())
    widths = [blocks[0].get_parameter("spatial.conv.weight").shape[1]]
    widths += [block.get_parameter("pointwise.conv.weight").shape[0] for block in blocks]
    strides = [1] + [int(block.get_submodule("spatial.conv").stride[0]) for block in blocks]  # type: ignore[index]
    assert len(set(widths)) > 1
    assert len(set(strides)) > 1
    return MobileNet(widths, strides, 5, form, in_channels=1), torch.randn(2, 1, 8, 8)


def resnet(form: Form | None = FORMS["weight 4-D"]) -> tuple[nn.Module, Tensor]:
    depths = (3, 3, 3) if form is None else (6, 6, 6)
    return ResNet(depths, 16, 5, form, small=True), torch.randn(2, 3, 16, 16)


FAMILIES = {"mobilenet": mobilenet, "resnet": resnet}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)


def write(path: Path, network: nn.Module, *, prefix: str = "module.", **beside: object) -> Path:
    """As the authors' train.py does it; bare, without `beside`."""
    state = {prefix + key: value for key, value in network.state_dict().items()}
    torch.save({"state_dict": state, **beside} if beside else state, path)
    return path


def same(network: nn.Module, x: Tensor, output: Path) -> None:
    with torch.no_grad():
        torch.testing.assert_close(load_model(output)(x), network.eval()(x), **CLOSE)


def card(output: Path) -> ModelCard:
    found: Any = load_model(output).reactnet
    assert isinstance(found, ModelCard)
    return found


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("prefix", ["module.", ""])
@pytest.mark.parametrize("exact", [False, True], ids=["latent", "+-1"])
def test_a_phase_two_file_computes_what_it_did(
    tmp_path: Path, family: str, form: str, prefix: str, exact: bool
) -> None:
    network, x = FAMILIES[family](FORMS[form])
    randomise(network, exact=exact)
    beside = {"epoch": 3, "best_top1_acc": torch.tensor(65.0)} if prefix else {}
    file = write(tmp_path / "best.pth.tar", network, prefix=prefix, **beside)
    found = convert(file, tmp_path / "out.safetensors")
    same(network, x, tmp_path / "out.safetensors")
    assert (found.phase, found.deployment_weights, found.zeros) == ("two", exact, 0)
    assert (found.wrapped, found.prefixed, found.ignored) == (bool(beside), bool(prefix), tuple(sorted(beside)))
    assert found.keys == len(network.state_dict())
    assert found.num_classes == 5
    assert found.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert binarized(load_model(tmp_path / "out.safetensors")) == ("activations", "weights")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("family", FAMILIES)
def test_a_phase_one_file_computes_what_it_did(tmp_path: Path, family: str) -> None:
    network, x = FAMILIES[family](Form(real=True))
    randomise(network)
    optimizer = torch.optim.Adam([{"params": list(network.parameters()), "weight_decay": 1e-5}, {"params": []}])
    file = write(tmp_path / "a.pth.tar", network, epoch=1, optimizer=optimizer.state_dict())
    found = convert(file, tmp_path / "out.safetensors")
    same(network, x, tmp_path / "out.safetensors")
    assert found.phase == "one"
    assert "weight decay of its optimizer is 1e-05" in found.phase_because
    assert card(tmp_path / "out.safetensors").binarize == ("activations",)


@pytest.mark.usefixtures("small")
def test_a_file_that_does_not_tell_its_phase_says_so_and_can_be_told(tmp_path: Path) -> None:
    network, x = resnet(Form(real=True))
    randomise(network)
    file = write(tmp_path / "a.pth", network)
    assumed = convert(file, tmp_path / "out.safetensors")
    assert assumed.phase == "two"
    assert assumed.phase_because.startswith("assumed")
    told = convert(file, tmp_path / "out.safetensors", phase="one")
    assert (told.phase, told.phase_because) == ("one", "as you say")
    same(network, x, tmp_path / "out.safetensors")


@pytest.mark.usefixtures("small")
def test_an_optimizer_without_weight_decay_is_step_two(tmp_path: Path) -> None:
    network, _ = resnet()
    randomise(network)
    groups = [{"weight_decay": 0, "params": [0]}]
    file = write(tmp_path / "a.pth", network, optimizer={"state": {}, "param_groups": groups})
    found = convert(file, tmp_path / "out.safetensors")
    assert found.phase == "two"
    assert "weight decay of its optimizer is 0" in found.phase_because


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("form", "exact"), [(Form("weights"), False), (Form(), True)])
def test_a_phase_that_the_file_contradicts_is_refused(tmp_path: Path, form: Form, exact: bool) -> None:
    network, _ = resnet(form)
    randomise(network, exact=exact)
    with pytest.raises(ReactnetError, match="phase two, not one"):
        convert(write(tmp_path / "a.pth", network), tmp_path / "out.safetensors", phase="one")


@pytest.mark.usefixtures("small")
def test_exact_weights_are_marked_as_deployment_weights(tmp_path: Path) -> None:
    network, _ = mobilenet()
    randomise(network, exact=True)
    found = convert(write(tmp_path / "a.pth", network), tmp_path / "out.safetensors")
    assert "deployment weights, not a starting point for fine-tuning" in str(found)
    assert card(tmp_path / "out.safetensors").provenance["weights"].startswith("deployment weights, not a starting")
    randomise(network)
    latent = convert(write(tmp_path / "a.pth", network), tmp_path / "out.safetensors")
    assert "deployment" not in str(latent)
    assert card(tmp_path / "out.safetensors").provenance["weights"] == "latent"


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("exact", [False, True])
def test_zeros_are_counted_kept_and_count_as_plus_one(tmp_path: Path, exact: bool) -> None:
    network, x = resnet()
    randomise(network, exact=exact)
    conv = next(module for module in network.modules() if isinstance(module, BinaryConv))
    conv.get_parameter("weight").data.view(-1)[:3] = torch.tensor([0.0, -0.0, 0.0])
    found = convert(write(tmp_path / "a.pth", network), tmp_path / "out.safetensors")
    assert found.zeros == 3
    assert found.deployment_weights == exact
    assert "3 binary weights are exactly 0, kept: the sign of 0 is +1 here" in str(found)
    weight = load_model(tmp_path / "out.safetensors").get_parameter("stages.0.0.conv.weight")
    assert weight.view(-1)[:3].tolist() == [0, 0, 0]
    same(network, x, tmp_path / "out.safetensors")  # `published.sign` of 0 is +1


@pytest.mark.usefixtures("small")
def test_torchvisions_resnet_computes_what_it_did(tmp_path: Path) -> None:
    network, x = resnet(None)
    randomise(network)
    found = convert(write(tmp_path / "a.pth", network, prefix=""), tmp_path / "out.safetensors")
    same(network, x, tmp_path / "out.safetensors")
    assert (found.model, found.phase, found.binary_weights) == ("resnet20_cifar", None, 0)
    assert not found.deployment_weights
    assert "phase" not in str(found)
    with pytest.raises(ReactnetError, match="no binary layer"):
        convert(tmp_path / "a.pth", tmp_path / "out.safetensors", phase="one")


@pytest.mark.usefixtures("small")
def test_files_from_before_norms_counted_get_counters_of_zero(tmp_path: Path) -> None:
    network, x = resnet(None)
    randomise(network)
    state = {key: value for key, value in network.state_dict().items() if "num_batches" not in key}
    torch.save(state, tmp_path / "a.pth")
    found = convert(tmp_path / "a.pth", tmp_path / "out.safetensors")
    assert found.counters_added
    assert "batch counters" in str(found)
    same(network, x, tmp_path / "out.safetensors")
    assert int(load_model(tmp_path / "out.safetensors").state_dict()["stem.1.num_batches_tracked"]) == 0


@pytest.mark.usefixtures("small")
def test_half_precision_becomes_float32(tmp_path: Path) -> None:
    network, x = resnet()
    randomise(network)
    network.half().float()  # values that half precision holds
    state = {key: value.half() if value.is_floating_point() else value for key, value in network.state_dict().items()}
    torch.save(state, tmp_path / "a.pth")
    convert(tmp_path / "a.pth", tmp_path / "out.safetensors")
    same(network, x, tmp_path / "out.safetensors")
    assert load_model(tmp_path / "out.safetensors").get_parameter("head.weight").dtype == torch.float32


@pytest.mark.usefixtures("small")
def test_the_name_must_tell_the_files_hash(tmp_path: Path) -> None:
    network, _ = resnet(None)
    randomise(network)
    plain = write(tmp_path / "resnet.pth", network, prefix="")
    digest = hashlib.sha256(plain.read_bytes()).hexdigest()
    assert convert(plain, tmp_path / "out.safetensors").sha256_in_name is None
    right = plain.rename(tmp_path / f"resnet_20210208-{digest[:8]}.pth")
    assert convert(right, tmp_path / "right.safetensors").sha256_in_name == digest[:8]
    wrong = right.rename(tmp_path / "resnet_20210208-4271cd6c.pth")
    with pytest.raises(ReactnetError, match=f"its name says 4271cd6c, its SHA-256 begins with {digest[:8]}"):
        convert(wrong, tmp_path / "wrong.safetensors")
    assert not (tmp_path / "wrong.safetensors").exists()


@pytest.mark.usefixtures("small")
def test_a_date_in_the_name_of_an_official_file_is_no_hash(tmp_path: Path) -> None:
    network, _ = resnet()
    assert convert(write(tmp_path / "r18-20210302.pth", network), tmp_path / "out.safetensors").sha256_in_name is None


@pytest.mark.usefixtures("small")
def test_the_card_says_how_images_are_to_be_prepared_and_where_it_comes_from(tmp_path: Path) -> None:
    network, _ = resnet()
    randomise(network)
    names = ["a", "b", "c", "d", "e"]
    found = convert(write(tmp_path / "a.pth", network), tmp_path / "out.safetensors", class_names=names)
    about = card(tmp_path / "out.safetensors")
    assert (about.name, about.num_classes, about.class_names) == ("reactnet20_cifar", 5, tuple(names))
    assert (about.mean, about.std, about.resize) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 256)
    assert about.provenance["sha256"] == found.sha256
    assert about.provenance["converted_from"] == "a.pth"
    for wrong in (names[:4], [*names[:4], "a"]):
        with pytest.raises(ReactnetError, match=f"class names: {len(wrong)}"):
            convert(tmp_path / "a.pth", tmp_path / "out.safetensors", class_names=wrong)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("family", FAMILIES)
def test_missing_extra_and_misshapen_keys_are_listed_and_nothing_is_written(tmp_path: Path, family: str) -> None:
    network, _ = FAMILIES[family](Form())
    whole = network.state_dict()
    some = next(key for key in whole if "move" in key)
    gone = {key: value for key, value in whole.items() if key != some}
    cases = [
        (gone, f"1 missing: {re.escape(some)}"),
        ({**whole, "fc.scale": torch.ones(1)}, "1 extra: fc.scale"),
        ({**whole, some: whole[some].reshape(-1)}, rf"1 misshapen: {re.escape(some)} \((\d+),\), not \(1, \1, 1, 1\)"),
        ({**whole, some: whole[some].int()}, f"1 misshapen: {re.escape(some)} of int32"),
        ({**gone, "fc.scale": whole[some], "fc.bias": whole["fc.bias"][:2]}, "1 missing: .*; 1 extra: .*; 1 misshapen"),
        ({key: value for key, value in whole.items() if key != "bn1.num_batches_tracked"
          and key != "feature.1.bn1.num_batches_tracked"}, r"1 missing: .*bn1\.num_batches_tracked"),
    ]  # fmt: skip
    for state, message in cases:
        torch.save(state, tmp_path / "a.pth")
        with pytest.raises(ReactnetError, match=message) as caught:
            convert(tmp_path / "a.pth", tmp_path / "out.safetensors")
        assert str(tmp_path / "a.pth") in caught.value.problem
        assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.usefixtures("small")
def test_many_misfits_are_counted_and_the_first_few_listed(tmp_path: Path) -> None:
    network, _ = resnet()
    state = {key: value for key, value in network.state_dict().items() if ".move2." not in key}
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(ReactnetError, match=r"18 missing: (layer\d\.\d\.move2\.bias, ){4}\.\.\.") as caught:
        convert(tmp_path / "a.pth", tmp_path / "out.safetensors")
    assert len(caught.value.problem) < 600 + len(str(tmp_path))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    network, _ = resnet()
    network.state_dict()["layer1.0.bn1.running_var"][3] = value
    with pytest.raises(ReactnetError, match=r"1 tensors hold values that are not finite: layer1\.0\.bn1\.running_var"):
        convert(write(tmp_path / "a.pth", network), tmp_path / "out.safetensors")


@pytest.mark.usefixtures("small")
def test_the_output_must_be_a_checkpoints_name(tmp_path: Path) -> None:
    network, _ = resnet()
    file = write(tmp_path / "a.pth", network)
    with pytest.raises(ReactnetError, match="a folder"):
        convert(file, tmp_path)
    with pytest.raises(ReactnetError, match=r"ends in \.safetensors"):
        convert(file, tmp_path / "model.rnet")
