"""What the tools do: each function does one task with one tool, and returns an embedding.

The same steps with the same parameters, spelt as a user of each tool would; packages are imported
inside, since every function runs in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import Data
from benchmarks.settings import (
    HVG,
    MEMORY,
    MIN_CELLS,
    MIN_GENES,
    N_COMPS,
    N_NEIGHBORS,
    TARGET,
    threads,
)
from benchmarks.stages import FIRST, IMPORT, Stages

FEW_CELLS = 5000
"""Cells of a first run, beyond 4,096 of which scanpy's neighbours are approximate."""
Result = dict[str, Any]
"""``scores`` (cells, components) with ``cells`` (their names), or a graph's ``indices``."""
Task = Callable[[Data, Stages, Path], Result]


def lazymu_rna(data: Data, stages: Stages, results: Path) -> Result:
    with stages(IMPORT):
        import lazymu as sc
    sc.settings.memory_limit, sc.settings.n_threads = MEMORY, threads()
    with stages("read"):
        rna = sc.read(data.store)["rna"]
    rna_quality(sc, rna, stages)
    rna_embedding(sc, rna, stages)
    return scores_of(rna, "X_pca")


def scanpy_rna(data: Data, stages: Stages, results: Path) -> Result:
    with stages(IMPORT):
        import mudata
        import scanpy as sc
    with stages("read"):
        rna = mudata.read_h5ad(data.file, mod="rna")
    rna_quality(sc, rna, stages)
    rna_embedding(sc, rna, stages)
    return scores_of(rna, "X_pca")


def scanpy_dask_rna(data: Data, stages: Stages, results: Path) -> Result:
    with stages(IMPORT):
        import dask
        import h5py
        import scanpy as sc
        from anndata import AnnData
        from anndata.experimental import read_elem_lazy
        from anndata.io import read_elem
    with dask.config.set(scheduler="threads", num_workers=threads()):
        with stages("read"):
            file = h5py.File(data.file)["mod/rna"]
            obs, var = read_elem(file["obs"]), read_elem(file["var"])
            rna = AnnData(read_elem_lazy(file["X"]), obs=obs, var=var)
        rna_quality(sc, rna, stages)
        rna_embedding(sc, rna, stages)
        return scores_of(rna, "X_pca")


def rna_quality(sc: Any, rna: Any, stages: Stages) -> None:
    """Quality metrics and filters: scanpy's functions, or lazymu's of the same names."""
    with stages("quality, filters"):
        rna.var["mt"] = rna.var_names.str.startswith("MT-")
        sc.pp.calculate_qc_metrics(rna, qc_vars=["mt"], percent_top=None, inplace=True)
        sc.pp.filter_cells(rna, min_genes=MIN_GENES)
        sc.pp.filter_genes(rna, min_cells=MIN_CELLS)


def rna_embedding(sc: Any, rna: Any, stages: Stages) -> None:
    """Normalisation to principal components: scanpy's functions, or lazymu's of the same names."""
    with stages("normalize, log1p"):
        sc.pp.normalize_total(rna, target_sum=TARGET)
        sc.pp.log1p(rna)
    with stages("variable genes"):
        sc.pp.highly_variable_genes(rna, n_top_genes=min(HVG, rna.n_vars))
    with stages("PCA"):
        sc.pp.pca(rna, n_comps=N_COMPS)
        rna.obsm["X_pca"] = np.asarray(rna.obsm["X_pca"])


def lazymu_atac(data: Data, stages: Stages, results: Path) -> Result:
    with stages(IMPORT):
        import lazymu as mu
    mu.settings.memory_limit, mu.settings.n_threads = MEMORY, threads()
    with stages("read"):
        atac = mu.read(data.store)["atac"]
    atac_embedding(mu, atac, stages)
    return scores_of(atac, "X_lsi")


def muon_atac(data: Data, stages: Stages, results: Path) -> Result:
    with stages(IMPORT):
        import muon as mu
    with stages("read"):
        atac = mu.read(f"{data.file}/mod/atac")
    atac_embedding(mu, atac, stages)
    return scores_of(atac, "X_lsi")


def atac_embedding(mu: Any, atac: Any, stages: Stages) -> None:
    """TF-IDF and LSI: muon's functions, or lazymu's of the same names."""
    with stages("TF-IDF"):
        mu.atac.pp.tfidf(atac)
    with stages("LSI"):
        mu.atac.tl.lsi(atac, n_comps=N_COMPS)


def snapatac2_atac(data: Data, stages: Stages, results: Path) -> Result:
    with stages(IMPORT):
        import snapatac2 as snap
    with stages("read"):
        atac = snap.read(data.atac_file, backed="r")
    with stages("spectral"):
        _, vectors = snap.tl.spectral(atac, n_comps=N_COMPS, features=None, inplace=False)
    return {"scores": vectors, "cells": np.array(atac.obs_names, dtype=str)}


def lazymu_joint(data: Data, stages: Stages, results: Path) -> Result:
    with stages(IMPORT):
        import lazymu as mu
    mu.settings.memory_limit, mu.settings.n_threads = MEMORY, threads()

    def connect(mdata: Any) -> None:
        mu.pp.neighbors(
            mdata,
            n_neighbors=N_NEIGHBORS,
            use_rep={"rna": "X", "atac": "X"},
            flavor="muon",
            key_added="wnn",
            # Few cells are searched as many are.
            knn="inverted",
        )

    mod = embedded(results)
    with stages(FIRST):
        connect(mu.MuData({name: modality[:FEW_CELLS].copy() for name, modality in mod.items()}))
    mdata = mu.MuData(mod)
    with stages("weighted neighbours"):
        connect(mdata)
    return graph_of(mdata)


def muon_joint(data: Data, stages: Stages, results: Path) -> Result:
    with stages(IMPORT):
        import muon as mu
        import scanpy as sc
    mod = embedded(results)
    with stages(FIRST):
        few = mu.MuData({name: modality[:FEW_CELLS].copy() for name, modality in mod.items()})
        for modality in few.mod.values():
            sc.pp.neighbors(modality, use_rep="X")
        mu.pp.neighbors(few, n_neighbors=N_NEIGHBORS, key_added="wnn")
    mdata = mu.MuData(mod)
    with stages("neighbours"):
        for modality in mdata.mod.values():
            sc.pp.neighbors(modality, use_rep="X")
    with stages("weighted neighbours"):
        mu.pp.neighbors(mdata, n_neighbors=N_NEIGHBORS, key_added="wnn")
    return graph_of(mdata)


def embedded(results: Path) -> dict[str, Any]:
    """Return lazymu's embeddings of cells of both modalities, as X: the input of both tools."""
    import pandas as pd
    from anndata import AnnData

    mod = {}
    for name in ("rna", "atac"):
        with np.load(results / f"{name}_lazymu.npz") as arrays:
            cells = pd.Index(arrays["cells"].astype(object))
            mod[name] = AnnData(arrays["scores"].astype(np.float32), obs=pd.DataFrame(index=cells))
    both = mod["rna"].obs_names.intersection(mod["atac"].obs_names)
    return {name: modality[both].copy() for name, modality in mod.items()}


def scores_of(modality: Any, key: str) -> Result:
    return {
        "scores": np.asarray(modality.obsm[key]),
        "cells": np.array(modality.obs_names, dtype=str),
    }


def graph_of(mdata: Any) -> Result:
    """Return the graph's distances as CSR arrays, the cells' names, and the weights of RNA."""
    graph = mdata.obsp["wnn_distances"].tocsr()
    cells = np.array(mdata.obs_names, dtype=str)
    weights = np.asarray(mdata.obs["rna:mod_weight"])
    return {"indices": graph.indices, "indptr": graph.indptr, "cells": cells, "weights": weights}


TASKS: dict[str, dict[str, Task]] = {
    "rna": {"lazymu": lazymu_rna, "scanpy": scanpy_rna, "scanpy+dask": scanpy_dask_rna},
    "atac": {"lazymu": lazymu_atac, "muon": muon_atac, "snapatac2": snapatac2_atac},
    "joint": {"lazymu": lazymu_joint, "muon": muon_joint},
}
