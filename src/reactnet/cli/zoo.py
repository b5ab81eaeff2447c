"""`reactnet zoo`: the packed models that come with the package."""

from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from reactnet.cli.screen import Json, percent, print_json, print_pairs, print_table, size


def zoo(
    name: Annotated[str | None, Parameter(help="Show the whole card of this one.")] = None, /, *, json: Json = False
) -> None:
    """List the packed models that come with the package, or show one's card: recipe, seed, data, accuracy, limits."""
    from reactnet.zoo import DEFAULT, find, list_zoo, read_card

    if name is not None:
        card = read_card(name)
        table = {**asdict(card), "file": str(find(name))}
        if json:
            print_json(table)
        else:
            shown = {**table, "options": ", ".join(f"{key}={value!r}" for key, value in card.options.items())}
            shown |= {"top1": percent(card.top1), "ops": f"{card.ops / 1e6:.2f} M", "bytes": size(card.bytes)}
            print_pairs([(key, value) for key, value in shown.items() if value != ""])
        return
    cards = [read_card(shipped) for shipped in list_zoo()]
    if json:
        print_json({"default": DEFAULT, "models": [asdict(card) for card in cards]})
        return
    rows = [
        (card.name, card.summary, card.data, percent(card.top1), size(card.bytes), f"{card.ops / 1e6:.2f} M")
        for card in cards
    ]
    print_table(("name", "what it is", "measured on", "top-1", "size", "OPs"), rows, left=3)
    print(f"\nreactnet predict IMAGE takes {DEFAULT}; a whole card: reactnet zoo NAME")
