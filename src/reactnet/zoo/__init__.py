"""The packed models that come with the package: each a file, `NAME.rnet`, and a card, `NAME.json`.

`docs/zoo.md` says what they are. Nothing here loads torch but `pretrained`.
"""

from reactnet.zoo.cards import DEFAULT as DEFAULT
from reactnet.zoo.cards import Card as Card
from reactnet.zoo.cards import find as find
from reactnet.zoo.cards import list_zoo as list_zoo
from reactnet.zoo.cards import locate as locate
from reactnet.zoo.cards import read_card as read_card

__all__ = ["DEFAULT", "Card", "find", "list_zoo", "locate", "read_card"]
