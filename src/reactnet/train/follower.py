"""The run folder as the other processes of a run have it: read, never written."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from reactnet.train.folder import LOG, RunFolder


class FollowerFolder(RunFolder):
    """A run folder that another process writes to. What would be written is dropped: the first process writes it."""

    def write(self, name: str, text: str) -> None:
        pass

    def append_log(self, record: Mapping[str, Any], name: str = LOG) -> None:
        pass

    def cut_logs(self, sizes: Mapping[str, int]) -> None:
        pass

    def write_histograms(self, phase: str, found: Mapping[str, Any]) -> None:
        pass

    def save_state(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        pass

    def remove_states(self) -> None:
        pass
