"""The process of one tool for one task: `python -m benchmarks.worker rna lazymu DATA OUT`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from benchmarks.data import Data
from benchmarks.stages import Stages

EXACT_TOOL = "exact"


def main(task: str, tool: str, data: str, out: str) -> None:
    """Write the stages as they end, and the result, into the folder ``out``."""
    target = Path(out) / f"{task}_{tool}"
    if tool == EXACT_TOOL:
        from benchmarks.exact import EXACT

        result = EXACT[task](Data(Path(data)))
    else:
        from benchmarks.tasks import TASKS

        stages = Stages(target.with_suffix(".jsonl"))
        result = TASKS[task][tool](Data(Path(data)), stages, Path(out))
    np.savez(target.with_suffix(".npz"), **result)


if __name__ == "__main__":
    main(*sys.argv[1:])
