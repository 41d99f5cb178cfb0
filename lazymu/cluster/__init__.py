"""Clients of Dask clusters whose workers are set up for passes."""

from lazymu.cluster.kubernetes import kubernetes
from lazymu.cluster.local import local
from lazymu.cluster.slurm import slurm
from lazymu.cluster.ssh import ssh

__all__ = ["kubernetes", "local", "slurm", "ssh"]
