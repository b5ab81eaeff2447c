"""`reactnet count`: what a model costs, before it is trained."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from reactnet.cli.screen import Json, print_json, print_pairs, print_table, side, size

if TYPE_CHECKING:
    from torch import nn


def count(
    model: Annotated[str, Parameter(help="A model's name, as `reactnet models` lists it.")],
    /,
    *,
    image_size: Annotated[int | None, Parameter(help="Side of the images in pixels; else the model's own.")] = None,
    ends: Annotated[Literal["float", "integer"], Parameter(help="Ends of the packed file, as compile takes it.")] = (
        "float"
    ),
    layers: Annotated[bool, Parameter(help="Print each layer too.")] = False,
    json: Json = False,
) -> None:
    """Count parameters, operations and packed bytes of a model."""
    found = costs(model, image_size, ends)
    if json:
        print_json(found)
    else:
        _print(found, layers=layers)


def costs(name: str, image_side: int | None, ends: Literal["float", "integer"] = "float") -> dict[str, Any]:
    """Everything that `count` shows, for programs. The model is made without weights: shapes alone decide.

    `packed_bytes` is the file of a trained model with such `ends`, without class names and provenance.
    """
    import torch

    from reactnet.compiler import compile_graph, lower, packed_bytes
    from reactnet.graph import cost
    from reactnet.models import check_image_size, create_model, model_info

    height, width, channels = model_info(name).image_size
    if image_side is not None:
        height = width = image_side
    check_image_size(name, (height, width, channels))
    with torch.device("meta"):
        model = create_model(name)
    total = cost(lower(model, (height, width, channels)))
    params = sum(parameter.numel() for parameter in model.parameters())
    binary = _binary_params(model)
    return {
        "model": name,
        "image_size": [height, width, channels],
        "params": params,
        "binary_params": binary,
        "real_params": params - binary,
        "bops": total.bops,
        "flops": total.flops,
        "ops": total.ops,
        "flops_full": total.flops_full,
        "packed_bytes": packed_bytes(compile_graph(model, image_size=(height, width, channels), ends=ends).graph),
        "layers": [
            {
                "name": layer.name,
                "op": layer.op,
                "output_shape": list(layer.output_shape),
                "binary": layer.binary,
                "bops": layer.bops,
                "flops": layer.flops,
                "flops_full": layer.flops_full,
            }
            for layer in total.layers
        ],
    }


def _binary_params(model: "nn.Module") -> int:
    from reactnet.nn import BinaryConv2d

    return sum(module.weight.numel() for module in model.modules() if isinstance(module, BinaryConv2d))


def _print(found: dict[str, Any], *, layers: bool) -> None:
    print_pairs(
        [
            ("model", f"{found['model']}, images {side(found['image_size'])}"),
            ("parameters", f"{found['params']:,}"),
            ("  binary", f"{found['binary_params']:,}"),
            ("  real", f"{found['real_params']:,}"),
            ("packed file", f"{size(found['packed_bytes'])} ({found['packed_bytes']:,} bytes)"),
            ("BOPs", f"{found['bops']:.3e}"),
            ("FLOPs", f"{found['flops']:.3e}"),
            ("OPs", f"{found['ops']:.3e}"),
            ("FLOPs, full", f"{found['flops_full']:.3e}"),
        ]
    )
    print(
        "\nBOPs: multiply-accumulates of binary convolutions, padding included. FLOPs: those of real convolutions and\n"
        "linear layers. OPs = FLOPs + BOPs / 64. Nothing else counts: the convention of the paper.\n"
        "FLOPs, full: as model zoos count, with one more an output for a bias, one an element for an activation or a\n"
        "learned shift, two for a batch norm or a weight scale, one an input element of a pool, and BOPs / 64."
    )
    if layers:
        print()
        rows = [
            (layer["name"], layer["op"], side(layer["output_shape"]), f"{layer['bops']:,}", f"{layer['flops']:,}",
             f"{layer['flops_full']:,.0f}")
            for layer in found["layers"]
        ]  # fmt: skip
        print_table(("layer", "op", "output", "BOPs", "FLOPs", "FLOPs, full"), rows, left=3)
