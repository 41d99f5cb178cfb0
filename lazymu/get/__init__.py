"""Results and values as tables."""

from lazymu.get.aggregate import aggregate
from lazymu.get.obs_df import obs_df
from lazymu.get.rank_genes_groups_df import rank_genes_groups_df

__all__ = ["aggregate", "obs_df", "rank_genes_groups_df"]
