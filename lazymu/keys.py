"""Every result key and column name, written once.

The names are scanpy's and muon's. Where a name depends on another (``log1p_total_counts``,
``rna:mod_weight``) a function makes it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

# --- modalities ----------------------------------------------------------------------------------
RNA: Final = "rna"
ATAC: Final = "atac"
PROT: Final = "prot"
PROT_ALIASES: Final = ("prot", "protein", "adt", "cite")
ATAC_ALIASES: Final = ("atac", "peaks", "chromatin")
RNA_ALIASES: Final = ("rna", "gex", "expression")
MODALITY_OF_FEATURE_TYPE: Final = {
    "Gene Expression": RNA,
    "Peaks": ATAC,
    "Antibody Capture": PROT,
}

MITOCHONDRIAL_PREFIX: Final = "MT-"

# --- obs and var columns -------------------------------------------------------------------------
TOTAL_COUNTS: Final = "total_counts"
MEAN_COUNTS: Final = "mean_counts"
N_GENES_BY_COUNTS: Final = "n_genes_by_counts"
N_CELLS_BY_COUNTS: Final = "n_cells_by_counts"
PCT_DROPOUT_BY_COUNTS: Final = "pct_dropout_by_counts"
N_GENES: Final = "n_genes"
N_COUNTS: Final = "n_counts"
N_CELLS: Final = "n_cells"
N_OBS_AGGREGATED: Final = "n_obs_aggregated"
HIGHLY_VARIABLE: Final = "highly_variable"
HIGHLY_VARIABLE_RANK: Final = "highly_variable_rank"
HIGHLY_VARIABLE_NBATCHES: Final = "highly_variable_nbatches"
HIGHLY_VARIABLE_INTERSECTION: Final = "highly_variable_intersection"
MEANS: Final = "means"
MEAN_BIN: Final = "mean_bin"
GENE_NAME: Final = "gene_name"
DISPERSIONS: Final = "dispersions"
DISPERSIONS_NORM: Final = "dispersions_norm"
VARIANCES: Final = "variances"
VARIANCES_NORM: Final = "variances_norm"
MEAN: Final = "mean"
STD: Final = "std"
IDF: Final = "idf"
FEATURE_TYPES: Final = "feature_types"
GENE_IDS: Final = "gene_ids"
GENOME: Final = "genome"
MODALITY: Final = "modality"
INTERVAL: Final = "interval"
MOD_WEIGHT: Final = "mod_weight"
TSS_SCORE: Final = "tss_score"
TSS_POSITION: Final = "TSS_position"
COVERAGE: Final = "coverage"
ENRICHMENT: Final = "enrichment"
NUCLEOSOME_SIGNAL: Final = "nucleosome_signal"
LEIDEN: Final = "leiden"
LOUVAIN: Final = "louvain"

# --- obsm, varm, obsp, layers --------------------------------------------------------------------
X_PCA: Final = "X_pca"
PCS: Final = "PCs"
X_LSI: Final = "X_lsi"
LSI: Final = "LSI"
X_UMAP: Final = "X_umap"
X_MOFA: Final = "X_mofa"
LFS: Final = "LFs"
COUNTS: Final = "counts"
DISTANCES: Final = "distances"
CONNECTIVITIES: Final = "connectivities"
DSB: Final = "dsb"

# --- uns -----------------------------------------------------------------------------------------
NEIGHBORS: Final = "neighbors"
PCA: Final = "pca"
UNS_LSI: Final = "lsi"
LOG1P: Final = "log1p"
HVG: Final = "hvg"
TFIDF: Final = "tfidf"
CLR: Final = "clr"
UMAP: Final = "umap"
MOFA: Final = "mofa"
RANK_GENES_GROUPS: Final = "rank_genes_groups"
LAZYMU: Final = "lazymu"
WHOLE: Final = "lazymu-whole"
"""Attribute of stored arrays of which every chunk was written."""
FILES: Final = "files"
PEAK_ANNOTATION: Final = "peak_annotation"
PEAK_GENE_LINKS: Final = "peak_gene_links"
PEAK: Final = "peak"
PEAK_TYPE: Final = "peak_type"
DISTANCE: Final = "distance"
GENES: Final = "genes"
FRAGMENTS: Final = "fragments"

# --- what `lazymu run` keeps in uns["lazymu"]["run"], and a report reads --------------------------
RUN: Final = "run"
HISTORY: Final = "history"
SOURCE: Final = "source"
PARAMS: Final = "params"
SIZES: Final = "sizes"
FILTERS: Final = "filters"
QUALITY: Final = "quality"
CLUSTERINGS: Final = "clusterings"
TRUTH: Final = "truth"
NOTES: Final = "notes"
STAGES: Final = "stages"
VERSIONS: Final = "versions"
MACHINE: Final = "machine"


def log1p_of(column: str) -> str:
    """Return scanpy's name for ``log1p`` of a column."""
    return f"log1p_{column}"


def total_counts_of(qc_var: str) -> str:
    """Return the column of counts in the features marked by ``qc_var``."""
    return f"{TOTAL_COUNTS}_{qc_var}"


def pct_counts_of(qc_var: str) -> str:
    """Return the column of the percentage of counts in the features marked by ``qc_var``."""
    return f"pct_counts_{qc_var}"


def pct_counts_in_top(n: int) -> str:
    """Return the column of the percentage of counts in a cell's ``n`` largest features."""
    return f"pct_counts_in_top_{n}_genes"


def of_modality(modality: str, column: str) -> str:
    """Return a modality's column name as muon prefixes it in the joint ``obs``."""
    return f"{modality}:{column}"


def snn_of(key_added: str) -> str:
    """Return the ``obsp`` key of the shared neighbours of a joint graph."""
    return f"{key_added}_snn"


def weights_of(key_added: str) -> str:
    """Return the ``obsm`` key of the modality weights of a joint graph."""
    return f"{key_added}_weights"


def graph_keys(key_added: str | None) -> tuple[str, str, str]:
    """Return scanpy's ``uns`` key and the two ``obsp`` keys of a neighbour graph."""
    if key_added is None or key_added == NEIGHBORS:
        return NEIGHBORS, DISTANCES, CONNECTIVITIES
    return key_added, f"{key_added}_{DISTANCES}", f"{key_added}_{CONNECTIVITIES}"


class QCNames(NamedTuple):
    """Names of quality columns: scanpy's, for a kind of values and a kind of features.

    Examples
    --------
    >>> QCNames().total_of("mt"), QCNames("umis", "peaks").n_features
    ('total_counts_mt', 'n_peaks_by_umis')
    """

    expr_type: str = "counts"
    var_type: str = "genes"

    @property
    def n_features(self) -> str:
        """Features of a cell that are not 0."""
        return f"n_{self.var_type}_by_{self.expr_type}"

    @property
    def n_cells(self) -> str:
        """Cells in which a feature is not 0."""
        return f"n_cells_by_{self.expr_type}"

    @property
    def total(self) -> str:
        """Sum of a cell or a feature."""
        return f"total_{self.expr_type}"

    @property
    def mean(self) -> str:
        """Mean of a feature over all cells."""
        return f"mean_{self.expr_type}"

    @property
    def pct_dropout(self) -> str:
        """Percentage of cells in which a feature is 0."""
        return f"pct_dropout_by_{self.expr_type}"

    def pct_in_top(self, n: int) -> str:
        """Percentage of a cell's sum in its ``n`` largest features."""
        return f"pct_{self.expr_type}_in_top_{n}_{self.var_type}"

    def total_of(self, qc_var: str) -> str:
        """Sum of a cell in the features marked by ``qc_var``."""
        return f"total_{self.expr_type}_{qc_var}"

    def pct_of(self, qc_var: str) -> str:
        """Percentage of a cell's sum in the features marked by ``qc_var``."""
        return f"pct_{self.expr_type}_{qc_var}"
