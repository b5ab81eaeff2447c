"""Foreign checkpoints: recognised by their keys and shapes, converted to the last key. One file a layout."""

from reactnet.convert.conversion import Conversion as Conversion
from reactnet.convert.conversion import convert as convert
from reactnet.convert.recognition import LAYOUTS as LAYOUTS
from reactnet.convert.recognition import Recognised as Recognised
from reactnet.convert.recognition import recognise as recognise

__all__ = ["LAYOUTS", "Conversion", "Recognised", "convert", "recognise"]
