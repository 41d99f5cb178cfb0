"""Rows of a dense matrix in the processor's vector registers: sums of them, comparisons.

A compiler that cannot know that two arrays are apart loads and stores a sum for every nonzero, and
does not compare many numbers at once where the loop may end early. These loops are therefore given
as LLVM code: a *panel* of ``width`` columns is one vector value (on x86 with AVX-512, 64 columns of
float32 are four registers), which LLVM splits into what the processor has. Matrices are
C-contiguous (others do not compile); indices are not checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from lazymu.kernels.jit import generated

PANEL = 16
"""Columns of the narrowest panel in use: dense matrices are padded to a multiple of these."""


class _Panel:
    """Columns ``column`` to ``column + width`` of a matrix, in code that is being made."""

    def __init__(
        self, context: Any, builder: Any, kind: Any, matrix: Any, column: Any, width: int
    ) -> None:
        array = context.make_array(kind)(context, builder, matrix)
        self._builder, self._column = builder, column
        self._first, self._n_cols = array.data, builder.extract_value(array.shape, 1)
        item = context.get_data_type(kind.dtype)
        self._alignment = context.get_abi_alignment(item)
        self.vector = ir.VectorType(item, width)

    def _place(self, row: Any) -> Any:
        offset = self._builder.add(self._builder.mul(row, self._n_cols), self._column)
        item = self._builder.gep(self._first, [offset])
        return self._builder.bitcast(item, self.vector.as_pointer())

    def load(self, row: Any) -> Any:
        """Return a row of the panel."""
        loaded = self._builder.load(self._place(row))
        loaded.align = self._alignment
        return loaded

    def scaled(self, row: Any, factor: Any) -> Any:
        """Return a row of the panel, in float64, times a number."""
        builder, doubles = self._builder, ir.VectorType(ir.DoubleType(), self.vector.count)
        loaded = self.load(row)
        if loaded.type != doubles:
            loaded = builder.fpext(loaded, doubles)
        return builder.fmul(loaded, self.spread(factor, doubles))

    def store(self, value: Any, row: Any) -> None:
        """Replace a row of the panel."""
        self._builder.store(value, self._place(row)).align = self._alignment

    def spread(self, value: Any, vector: Any = None) -> Any:
        """Return the vector of a number repeated, of the matrix's dtype if no other is given."""
        none = ir.Constant(vector or self.vector, ir.Undefined)
        first = self._builder.insert_element(none, value, ir.Constant(ir.IntType(32), 0))
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), self.vector.count), None)
        return self._builder.shuffle_vector(first, none, lanes)

    def plus(self, total: Any, value: Any, row: Any) -> Any:
        """Return ``total + value * row`` of a row's vector and a number."""
        product = self._builder.fmul(self.spread(value), row, flags=("contract",))
        return self._builder.fadd(total, product, flags=("contract",))


def _item(context: Any, builder: Any, kind: Any, array: Any, at: Any, wanted: Any) -> Any:
    """Return ``array[at]`` as a number of another type."""
    first = context.make_array(kind)(context, builder, array).data
    return context.cast(builder, builder.load(builder.gep(first, [at])), kind.dtype, wanted)


def _signature(result: Any, kinds: Sequence[Any], width: Any = None) -> Any:
    """Return the signature for contiguous arrays and a width known beforehand, else None."""
    contiguous = all(kind.layout == "C" for kind in kinds if isinstance(kind, types.Array))
    known = width is None or isinstance(width, types.IntegerLiteral)
    return result(*kinds) if contiguous and known else None


@generated
def gather_rows(
    _: Any, out: Any, i: Any, data: Any, indices: Any, k: Any, end: Any, Q: Any, c: Any, width: Any
) -> Any:
    """Add ``sum_t data[t] Q[indices[t], c:c+width]``, ``k <= t < end``, to ``out[i, c:c+width]``.

    ``out`` and ``Q`` are of one dtype.
    """
    at = types.intp
    signature = _signature(types.void, (out, at, data, indices, at, at, Q, at, width), width)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        target, row, values, columns, start, stop, source, column, _ = args
        sums = _Panel(context, builder, out, target, column, width.literal_value)
        rows = _Panel(context, builder, Q, source, column, width.literal_value)
        total = cgutils.alloca_once_value(builder, sums.load(row))
        one = ir.Constant(start.type, 1)
        with cgutils.for_range_slice(builder, start, stop, one) as (t, _):
            value = _item(context, builder, data, values, t, out.dtype)
            j = _item(context, builder, indices, columns, t, at)
            builder.store(sums.plus(builder.load(total), value, rows.load(j)), total)
        sums.store(builder.load(total), row)
        return context.get_dummy_value()

    return signature and (signature, generate)


@generated
def scatter_row(
    _: Any,
    out: Any,
    first: Any,
    data: Any,
    indices: Any,
    k: Any,
    end: Any,
    Y: Any,
    i: Any,
    c: Any,
    width: Any,
) -> Any:
    """Add ``data[t] Y[i, c:c+width]`` to ``out[indices[t] - first, c:c+width]``, ``k <= t < end``.

    ``out`` and ``Y`` are of one dtype.
    """
    at = types.intp
    signature = _signature(types.void, (out, at, data, indices, at, at, Y, at, at, width), width)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        target, offset, values, columns, start, stop, source, row, column, _ = args
        sums = _Panel(context, builder, out, target, column, width.literal_value)
        added = _Panel(context, builder, Y, source, column, width.literal_value).load(row)
        one = ir.Constant(start.type, 1)
        with cgutils.for_range_slice(builder, start, stop, one) as (t, _):
            value = _item(context, builder, data, values, t, out.dtype)
            j = builder.sub(_item(context, builder, indices, columns, t, at), offset)
            sums.store(sums.plus(sums.load(j), value, added), j)
        return context.get_dummy_value()

    return signature and (signature, generate)


@generated
def any_above(_: Any, matrix: Any, i: Any, c: Any, width: Any, bar: Any) -> Any:
    """Return whether any of ``matrix[i, c:c+width]`` is above ``bar``, of the matrix's dtype."""
    at = types.intp
    signature = _signature(types.boolean, (matrix, at, at, width, matrix.dtype), width)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values, row, column, _, least = args
        panel = _Panel(context, builder, matrix, values, column, width.literal_value)
        above = builder.fcmp_ordered(">", panel.load(row), panel.spread(least))
        bits = builder.bitcast(above, ir.IntType(width.literal_value))
        return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    return signature and (signature, generate)


LANES = 8
"""Doubles that differences of two rows are summed in, side by side."""


@generated
def squares_apart(_: Any, X: Any, i: Any, a: Any, Y: Any, j: Any, b: Any, stop: Any) -> Any:
    """Return ``sum_c (a X[i, c] - b Y[j, c])^2``, ``c < stop``, in float64.

    ``stop`` is a multiple of `LANES`; terms are added in the same order on every processor.
    """
    at, double = types.intp, types.float64
    signature = _signature(double, (X, at, double, Y, at, double, at))

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        here, row, scale, there, other_row, other_scale, end = args
        sums = ir.VectorType(ir.DoubleType(), LANES)
        total = cgutils.alloca_once_value(builder, ir.Constant(sums, [0.0] * LANES))
        first, step = ir.Constant(end.type, 0), ir.Constant(end.type, LANES)
        with cgutils.for_range_slice(builder, first, end, step) as (column, _):
            one = _Panel(context, builder, X, here, column, LANES).scaled(row, scale)
            other = _Panel(context, builder, Y, there, column, LANES)
            apart = builder.fsub(one, other.scaled(other_row, other_scale))
            builder.store(builder.fadd(builder.load(total), builder.fmul(apart, apart)), total)
        return _folded(builder, builder.load(total))

    return signature and (signature, generate)


def _folded(builder: Any, vector: Any) -> Any:
    """Return the sum of a vector's numbers, halves added to halves."""
    none = ir.Constant(vector.type, ir.Undefined)
    count = vector.type.count
    while count > 1:
        count //= 2
        lower, upper = (
            builder.shuffle_vector(
                *(vector, none),
                ir.Constant(ir.VectorType(ir.IntType(32), count), list(range(k, k + count))),
            )
            for k in (0, count)
        )
        vector = builder.fadd(lower, upper)
        none = ir.Constant(vector.type, ir.Undefined)
    return builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))
