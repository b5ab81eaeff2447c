"""One HTML page of one or several runs, made from their logs alone: no PyTorch, no network, no server."""

from reactnet.report.page import make_page as make_page
from reactnet.report.read import Run as Run
from reactnet.report.read import read_runs as read_runs
