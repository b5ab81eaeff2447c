"""From PyTorch models to packed files: lowering, folding, packing, and a report of what became of each layer."""

from reactnet.compiler.lower import lower as lower
from reactnet.compiler.pack import Compiled as Compiled
from reactnet.compiler.pack import compile as compile  # noqa: A004  # the verb of the command line, and of peers
from reactnet.compiler.pack import compile_graph as compile_graph
from reactnet.compiler.pack import packed_bytes as packed_bytes
from reactnet.compiler.report import Report as Report
from reactnet.compiler.report import Row as Row

__all__ = ["Compiled", "Report", "Row", "compile", "compile_graph", "lower", "packed_bytes"]
