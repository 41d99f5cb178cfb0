"""The simulated cells: type, batch, depth and share of mitochondrial counts.

Cells are drawn in chunks of a fixed number, each from its own random stream, so that the first
cells of a larger simulation are those of a smaller one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtr

from lazymu.datasets.celltypes import cell_types, proportions
from lazymu.errors import ArgumentError, explain
from lazymu.typing import Float64s, Int64s

CHUNK_CELLS = 256
CELL_TYPE = "cell_type"
BATCH = "batch"

# Depths of a cell in RNA and in another modality go together (correlation of their normal scores).
_DEPTH_CORRELATION = 0.5
# The mitochondrial share is log-normal; damaged cells have a multiple of it.
_MITOCHONDRIAL_SPREAD = 0.35
_DAMAGED_SHARE, _DAMAGED_FACTOR = 0.03, 3.5
# First entry of the seed of the stream that draws the cells themselves; assays follow.
CELL_STREAM = 0


@dataclass(frozen=True)
class Cells:
    """Simulated cells; every array has length ``n_cells``."""

    labels: Int64s
    """Position of the cell type."""
    batches: Int64s
    depth_levels: Float64s
    """Level of the library size in its distribution, (n_cells, 3): RNA, peaks, proteins."""
    mitochondrial: Float64s
    """Factor on the share of mitochondrial counts, near 1."""
    n_clusters: int
    n_batches: int

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self.labels.size

    def obs(self) -> pd.DataFrame:
        """Return the table of the cells: barcodes, the true type and the batch."""
        names = [cell_type.name for cell_type in cell_types(self.n_clusters)]
        batches = [f"batch{b + 1}" for b in range(self.n_batches)]
        return pd.DataFrame(
            {
                CELL_TYPE: pd.Categorical.from_codes(self.labels, pd.Index(names)),
                BATCH: pd.Categorical.from_codes(self.batches, pd.Index(batches)),
            },
            index=pd.Index(barcodes(self.batches)),
        )


def simulate_cells(n_cells: int, n_clusters: int, n_batches: int, seed: int) -> Cells:
    """Draw ``n_cells`` cells of ``n_clusters`` types in ``n_batches`` batches."""
    for argument, value in (("n_cells", n_cells), ("n_batches", n_batches)):
        if value < 1:
            raise ArgumentError(explain(argument, value, "it must be 1 or more", "pass e.g. 5000"))
    shares = np.cumsum(proportions(n_clusters))
    uniforms, scores, more_scores = [], [], []
    for chunk in range(-(-n_cells // CHUNK_CELLS)):
        generator = np.random.default_rng([seed, CELL_STREAM, chunk])
        uniforms.append(generator.random((CHUNK_CELLS, 3)))
        scores.append(generator.standard_normal((CHUNK_CELLS, 3)))
        more_scores.append(generator.standard_normal(CHUNK_CELLS))
    u, z = np.concatenate(uniforms)[:n_cells], np.concatenate(scores)[:n_cells]
    rho = _DEPTH_CORRELATION
    own = np.stack([z[:, 1], np.concatenate(more_scores)[:n_cells]], axis=1)
    others = rho * z[:, :1] + np.sqrt(1 - rho**2) * own
    damaged = np.where(u[:, 2] < _DAMAGED_SHARE, _DAMAGED_FACTOR, 1.0)
    return Cells(
        labels=np.minimum(np.searchsorted(shares, u[:, 0]), n_clusters - 1).astype(np.int64),
        batches=(u[:, 1] * n_batches).astype(np.int64),
        depth_levels=ndtr(np.concatenate([z[:, :1], others], axis=1)),
        mitochondrial=damaged * np.exp(_MITOCHONDRIAL_SPREAD * z[:, 2]),
        n_clusters=n_clusters,
        n_batches=n_batches,
    )


def barcodes(batches: Int64s) -> list[str]:
    """Return distinct 16-base barcodes; as 10x numbers its runs, the batch ends them: ``-1``."""
    # An odd factor permutes the 4**16 barcodes, so no two cells share one.
    codes = (np.arange(batches.size, dtype=np.uint64) * 2_654_435_761 + 362_437) % 4**16
    ends = np.array([f"-{b + 1}" for b in range(int(batches.max(initial=0)) + 1)])
    suffixes = ends.view(np.uint32).reshape(len(ends), -1)
    letters = np.array([ord(base) for base in "ACGT"], dtype=np.uint32)
    text = np.empty((batches.size, 16 + suffixes.shape[1]), dtype=np.uint32)
    for place in range(16):
        text[:, place] = letters[((codes >> np.uint64(2 * place)) & np.uint64(3)).astype(np.int64)]
    text[:, 16:] = suffixes[batches]
    names: list[str] = text.view(f"U{text.shape[1]}").ravel().tolist()
    return names
