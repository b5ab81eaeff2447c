"""The graph between training and deployment: a closed op set, its checker, file, reference arithmetic and cost.

`docs/format.md` is the law of everything here.
"""

from reactnet.graph.builder import GraphBuilder as GraphBuilder
from reactnet.graph.check import accepts_f32 as accepts_f32
from reactnet.graph.check import check as check
from reactnet.graph.cost import Cost as Cost
from reactnet.graph.cost import LayerCost as LayerCost
from reactnet.graph.cost import cost as cost
from reactnet.graph.file import dumps as dumps
from reactnet.graph.file import load as load
from reactnet.graph.file import loads as loads
from reactnet.graph.file import packed_size as packed_size
from reactnet.graph.file import save as save
from reactnet.graph.graph import Graph as Graph
from reactnet.graph.graph import Node as Node
from reactnet.graph.graph import Preprocessing as Preprocessing
from reactnet.graph.graph import Value as Value
from reactnet.graph.ops import OPS as OPS
from reactnet.graph.reference import run_reference as run_reference
from reactnet.graph.reference import run_values as run_values
from reactnet.graph.reference_map import Quantized as Quantized
from reactnet.graph.tensor import distinct as distinct
from reactnet.graph.tensor import pack_bits as pack_bits
from reactnet.graph.tensor import unpack_bits as unpack_bits

__all__ = [
    "OPS",
    "Cost",
    "Graph",
    "GraphBuilder",
    "LayerCost",
    "Node",
    "Preprocessing",
    "Quantized",
    "Value",
    "accepts_f32",
    "check",
    "cost",
    "distinct",
    "dumps",
    "load",
    "loads",
    "pack_bits",
    "packed_size",
    "run_reference",
    "run_values",
    "save",
    "unpack_bits",
]
