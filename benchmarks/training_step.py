"""A training step against the published layers written plainly, and against the real-valued twin, in one run.

    python benchmarks/training_step.py reactnet_a --size 128 --batch 8 --machine zen3 --json benchmarks/results/out.json

Three networks with the same weights take steps in turn (forward, cross-entropy, backward, Adam): `ours`; `plain`, in
which each sign, RPReLU and binary convolution is written as the published formulas read, the gradient of a sign through
float masks and "detach"; `twin`, ours with nothing binary. Everything on one thread. Times are processor time, which is
what the wall clock shows on an idle machine and hardly moves on a busy one. Reported: the median step and images/s of
each, the medians over the rounds of the ratios within a round, the bytes that a forward keeps for its backward (each
storage once, parameters and buffers left out), and how far the resident memory of a process that does nothing else
rises in two steps without the optimizer.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reactnet.models import create_model
from reactnet.nn import BinaryConv2d, RPReLU, RSign

VARIANTS = ("ours", "plain", "twin")
TARGETS = {"speed against plain": 1.3, "memory against plain": 0.7, "time against twin": 1.25}


class PlainRSign(nn.Module):
    """sign(x + b); its gradient is that of the piecewise quadratic, in float masks, put under the sign by detaching."""

    def __init__(self, layer: RSign) -> None:
        super().__init__()
        self.shift = nn.Parameter(layer.shift.detach().clone().view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.shift.expand_as(x)
        below, left, under = ((x < edge).type(torch.float32) for edge in (-1, 0, 1))
        curve = -1 * below + (x * x + 2 * x) * (1 - below)
        curve = curve * left + (-x * x + 2 * x) * (1 - left)
        curve = curve * under + 1 * (1 - under)
        return torch.sign(x).detach() - curve.detach() + curve


class PlainRPReLU(nn.Module):
    """A shift, torch's PReLU and a shift."""

    def __init__(self, layer: RPReLU) -> None:
        super().__init__()
        self.before, self.after = (
            nn.Parameter(value.detach().clone().view(1, -1, 1, 1)) for value in (layer.shift_in, layer.shift_out)
        )
        self.prelu = nn.PReLU(layer.slope.numel())
        self.prelu.weight.data.copy_(layer.slope.detach())

    def forward(self, x: Tensor) -> Tensor:
        x = self.prelu(x + self.before.expand_as(x))
        return x + self.after.expand_as(x)


class PlainBinaryConv(nn.Module):
    """conv(x, mean|w| * sign(w)), whose weight gradient is that of clamp(w, -1, 1), put under it by detaching."""

    def __init__(self, layer: BinaryConv2d) -> None:
        super().__init__()
        self.weight = nn.Parameter(layer.weight.detach().clone())
        self.stride, self.padding, self.groups = layer.stride, layer.padding, layer.groups

    def forward(self, x: Tensor) -> Tensor:
        w = self.weight
        scale = w.abs().mean(3, keepdim=True).mean(2, keepdim=True).mean(1, keepdim=True).detach()
        binary, clipped = scale * torch.sign(w), torch.clamp(w, -1.0, 1.0)
        weight = binary.detach() - clipped.detach() + clipped
        return F.conv2d(x, weight, stride=self.stride, padding=self.padding, groups=self.groups)


PLAIN: dict[type[nn.Module], Callable[..., nn.Module]] = {
    RSign: PlainRSign,
    RPReLU: PlainRPReLU,
    BinaryConv2d: PlainBinaryConv,
}


def written_plainly(module: nn.Module) -> nn.Module:
    """Exchange the layers of `module` for the plain ones, in place."""
    for name, child in module.named_children():
        plain = PLAIN.get(type(child))
        setattr(module, name, written_plainly(child) if plain is None else plain(child))
    return module


def make(variant: str, model: str) -> nn.Module:
    """One of the three networks, ready to train."""
    torch.manual_seed(0)
    network = create_model(model, binarize=() if variant == "twin" else ("activations", "weights"))
    return (written_plainly(network) if variant == "plain" else network).train()


def kept_bytes(network: nn.Module, images: Tensor, labels: Tensor) -> int:
    """What a forward keeps for its backward, besides parameters, buffers and the images."""
    known = {tensor.untyped_storage().data_ptr() for tensor in [*network.parameters(), *network.buffers(), images]}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = F.cross_entropy(network(images), labels)
    del loss
    return sum(kept.values())


def resident(field: str) -> int:
    """VmRSS or VmHWM of this process, in bytes."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def rise(variant: str, options: argparse.Namespace) -> int:
    """The rise of a fresh process's peak memory over what it holds before its first step."""
    command = [sys.executable, __file__, options.model, "--rise", variant]
    for name in ("size", "batch"):
        command += [f"--{name}", str(getattr(options, name))]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def print_rise(options: argparse.Namespace, images: Tensor, labels: Tensor) -> None:
    """The child's side of `rise`."""
    network = make(options.rise, options.model)
    before = resident("VmRSS")
    for _ in range(2):
        network.zero_grad(set_to_none=False)
        F.cross_entropy(network(images), labels).backward()
    print(resident("VmHWM") - before)


def step_times(options: argparse.Namespace, images: Tensor, labels: Tensor) -> dict[str, list[float]]:
    """Processor seconds of each step, the variants in turn, the order turned each round; the first is thrown away."""
    networks = {variant: make(variant, options.model) for variant in VARIANTS}
    optimizers = {variant: torch.optim.Adam(network.parameters(), lr=1e-4) for variant, network in networks.items()}
    times: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for turn in range(options.rounds + 1):
        for variant in VARIANTS[turn % 3 :] + VARIANTS[: turn % 3]:
            begin = time.process_time()
            optimizers[variant].zero_grad()
            F.cross_entropy(networks[variant](images), labels).backward()
            optimizers[variant].step()
            if turn > 0:
                times[variant].append(time.process_time() - begin)
    return times


def ratios(times: dict[str, list[float]]) -> dict[str, float]:
    """How long a step of each other variant takes in ours: the median over rounds, each with its own two times."""
    return {
        variant: statistics.median(other / mine for other, mine in zip(times[variant], times["ours"], strict=True))
        for variant in VARIANTS
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="append the result to the list in this file")
    parser.add_argument("--machine", default=platform.machine())
    parser.add_argument("--rise", choices=VARIANTS, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    images = torch.randn(options.batch, 3, options.size, options.size, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(options.batch)
    if options.rise is not None:
        print_rise(options, images, labels)
        return
    kept = {variant: kept_bytes(make(variant, options.model), images, labels) for variant in VARIANTS}
    rises = {variant: rise(variant, options) for variant in VARIANTS}
    times = step_times(options, images, labels)
    ratio = ratios(times)
    row: dict[str, str | int | float] = {
        "date": date.today().isoformat(),
        "commit": commit(),
        "machine": options.machine,
    }
    row |= {"torch": torch.__version__, "command": " ".join(["python", "benchmarks/training_step.py", *sys.argv[1:]])}
    for variant in VARIANTS:
        median = statistics.median(times[variant])
        row[f"{variant}_s"], row[f"{variant}_images_per_s"] = round(median, 4), round(options.batch / median, 2)
        row[f"{variant}_kept_mb"], row[f"{variant}_rise_mb"] = (
            round(kept[variant] / 1e6, 1),
            round(rises[variant] / 1e6),
        )
    row["speed_against_plain"] = round(ratio["plain"], 3)
    row["memory_against_plain"] = round(kept["ours"] / kept["plain"], 3)
    row["time_against_twin"] = round(1 / ratio["twin"], 3)
    for name, value in row.items():
        print(f"{name:24} {value}")
    print("targets:", ", ".join(f"{name} {value:g}" for name, value in TARGETS.items()))
    if options.json is not None:
        there = json.loads(options.json.read_text()) if options.json.exists() else []
        options.json.write_text(json.dumps([*there, row], indent=2) + "\n")


def commit() -> str:
    """The commit that is measured, "-dirty" if the sources were edited since."""
    words = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--match="]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
