"""Workers as pods of Kubernetes."""

from __future__ import annotations

from typing import Any

from lazymu.cluster.worker import BESIDE_WORKER, connected, package, variables, worker_of

MIB = 1 << 20
SCHEDULER = {"cpu": "1", "memory": "4Gi"}
"""What the scheduler's pod gets: it keeps the operands of a pass."""


def kubernetes(
    n_workers: int,
    *,
    image: str,
    name: str = "lazymu",
    namespace: str | None = None,
    threads: int = 4,
    memory: int | float | str = "8GB",
) -> Any:
    """Start a cluster of pods and return a client of it, once the first worker has joined.

    The operator of dask-kubernetes must be installed in the Kubernetes cluster. A pod is one worker
    with a nanny. Its limit of memory is 256 MiB beyond the worker's, which the nanny takes: a
    worker that exceeds its memory is started anew by its nanny before the kernel kills the pod.
    Requests are equal to limits, so that a node has the memory that passes plan with. BLAS has one
    thread in a worker, as each of its threads works on a block.

    Parameters
    ----------
    n_workers
        Pods, beside the scheduler's.
    image
        An image with the same versions of Python, lazymu and Dask as here.
    name
        Of the cluster, in Kubernetes.
    namespace
        Of Kubernetes; by default the current one.
    threads
        Threads of each worker, and processors of its pod.
    memory
        Memory of each worker, in bytes or as ``"8GB"``; passes plan with 60 % of it, and with
        ``lazymu.settings.memory_limit`` where that is less.

    Returns
    -------
    A ``distributed.Client``, which lazymu uses from now on. ``client.shutdown()`` ends the pods.

    Raises
    ------
    ArgumentError
        If a worker has no threads, or too little memory for them.
    MissingPackageError
        If dask-kubernetes is not installed.

    Examples
    --------
    >>> import lazymu
    >>> client = lazymu.cluster.kubernetes(16, image="registry/lazymu:1")  # doctest: +SKIP
    """
    worker = worker_of(threads, memory)
    operator = package("dask_kubernetes.operator", "kubernetes", "dask-kubernetes")
    command = ["dask", "worker", "--nthreads", str(worker.threads), "--nanny"]
    command += ["--memory-limit", str(worker.memory), "--local-directory", "/tmp"]
    size = {
        "cpu": str(worker.threads),
        "memory": f"{-(-(worker.memory + BESIDE_WORKER) // MIB)}Mi",
    }
    spec = operator.make_cluster_spec(
        name=name,
        image=image,
        n_workers=n_workers,
        resources={"requests": size, "limits": size},
        env=variables(),
        worker_command=command,
    )
    for container in spec["spec"]["scheduler"]["spec"]["containers"]:
        container["resources"] = {"requests": SCHEDULER, "limits": SCHEDULER}
    return connected(operator.KubeCluster(custom_cluster_spec=spec, namespace=namespace))
