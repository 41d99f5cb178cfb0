"""Results and values as tables."""

from lazymu.get.obs_df import obs_df
from lazymu.get.rank_genes_groups_df import rank_genes_groups_df

__all__ = ["obs_df", "rank_genes_groups_df"]
