"""One block in, arrays out: compiled loops over the pieces of a CSR matrix.

A kernel takes ``data``, ``indices`` and ``indptr`` of a block (or what it needs of them), any
numeric ``data`` and either index dtype. It allocates nothing for each cell and holds no lock.
"""
