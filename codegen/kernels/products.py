"""Products of matrices of floats by tiles that stay in registers: `matmul` and `matmul_add`.

`matmul`(a, b) multiplies a [m, k] by b [k, n], or stacks of them: [batch, m, k] by [batch, k, n]. With param `bias` its
last argument is added to each row (of as many values as whole panels have columns), and with `relu` what is below 0
becomes 0. `matmul_add`(base, a, b) adds `alpha` times the product to what is in the memory of its first argument.

A tile reads rows of a and a panel of b: as many columns as a tile has, in order. So both factors are copied, in spans
of k. A product of few rows is divided along its columns: each unit of work copies its columns of b once; all read the
same rows of a, which were copied before (`matmul_left`). A product of many rows is divided along its rows: each unit
copies its rows of a, and all read the same panels of b (`matmul_right`). Products of few rows that have b in common, as
the steps of a recurrent network, read panels of it that are copied once, too (param `panels`). A factor may be a view
whose rows or columns lie side by side.

Source: Goto and van de Geijn 2008, "Anatomy of high-performance matrix multiplication".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from flowc.codegen.cpu.target import host_target
from flowc.codegen.ir import Node, access
from flowc.codegen.kernels.matmul import bits_of, matrix_layout, sizes_of
from flowc.codegen.kernels.product_texts import (
    COLUMNS_OF_LEFT,
    COLUMNS_OF_RIGHT,
    COPIED_PANELS,
    COPY,
    NEXT,
    OF_FEW_ROWS,
    OF_MANY_ROWS,
    PANELS_OF_ALL,
    ROWS_OF_LEFT,
    ROWS_OF_RIGHT,
    STEPS,
    STEPS_AHEAD,
    TILES,
)
from flowc.codegen.kernels.source import element_type, kernel
from flowc.codegen.kernels.strips import CACHE_LINE, indented, named_words
from flowc.codegen.kernels.tiling import Tile, padded, product_tile
from flowc.codegen.plan import Kernel
from flowc.codegen.templates import EVERY_ARGUMENT, Launch, Pointer, params_of, template
from flowc.framework.dtypes import DType

SPAN_BYTES: Final = 1 << 10  # of a row of a; a panel of so many rows fits in the first cache
FEW_ROWS: Final = 192  # rows of a, at most, that a unit of work has; their span fits in the second cache
_SOME_ROWS: Final = 512  # the same of a product with many more columns than rows
_WIDE: Final = 8  # times as many
_COLUMNS: Final = 128  # of b that are copied at once
_ASKED: Final = 16  # steps that ask for a line of b
_UNITS: Final = 16  # so that all threads have work to the end
_LEAST_UNITS: Final = 8
_NEAR_BYTES: Final = 1 << 20  # of b, that the second cache holds
_ROWS: Final = 64  # of a, for which it is worth to read b
_LEAST_ROWS: Final = 32  # of a, for which it may be
_CHUNK_PRODUCTS: Final = 1 << 19  # multiplications that are worth a thread of their own
_CHUNK_COPIED: Final = 1 << 14  # elements copied that are


def has_few_rows(m: int, n: int) -> bool:
    """Whether a product of m rows and n columns is divided along its columns."""
    return m <= FEW_ROWS or (m <= _SOME_ROWS and n >= _WIDE * m)


def copied_shape(a: Node, b: Node) -> tuple[int, ...]:
    """The shape of what `matmul_left` makes of a, or for many rows `matmul_right` of b."""
    m, k = a.shape[-2:]
    if has_few_rows(m, b.shape[-1]):
        tile = product_tile(m, b.shape[-1], a.dtype)
        return (*a.shape[:-2], -(-k // _span(a.dtype)), padded(m, tile.rows), _pitch(a.dtype))
    return panels_shape(m, b)


def panels_shape(m: int, b: Node) -> tuple[int, ...]:
    """The shape of what `matmul_right` makes of b for a product of m rows."""
    k, n = b.shape[-2:]
    columns = product_tile(m, n, b.dtype).columns
    return (*b.shape[:-2], padded(n, columns) // columns, k, columns)


def _span(dtype: DType) -> int:
    return SPAN_BYTES // dtype.size


def _pitch(dtype: DType) -> int:
    """Elements from row to row of a: not a power of two, as those compete for a few places in the cache."""
    return (SPAN_BYTES + CACHE_LINE) // dtype.size


@template("matmul_left", strided=EVERY_ARGUMENT)
def matmul_left(call: Node) -> Sequence[Launch]:
    """A factor of a product of few rows, in spans. Params: `columns` of the product; `alpha`, which it is multiplied
    by, if that is given."""
    m, k = call.args[0].shape[-2:]
    tile = product_tile(m, params_of(call)["columns"], call.dtype)
    copy = COLUMNS_OF_LEFT if _layout(call.args[0])[0] else ROWS_OF_LEFT
    return [_copy(call, tile, {"k": k, "rows": m, "tiles": -(-m // tile.rows), "top": 0}, copy)]


@template("matmul_right", strided=EVERY_ARGUMENT)
def matmul_right(call: Node) -> Sequence[Launch]:
    """A factor of a product of many rows, in panels. Params: `rows` of the product."""
    k, n = call.args[0].shape[-2:]
    tile = product_tile(params_of(call)["rows"], n, call.dtype)
    panels = -(-n // tile.columns)
    places = _batches(call.args[0]) * -(-k // _span(call.dtype))
    each = -(-panels // max(1, min(panels, _UNITS // places)))
    words = {"k": k, "panels": panels, "each": each, "panel_step": k * tile.columns, "start": 0, "width": n}
    return [_copy(call, tile, words, COLUMNS_OF_RIGHT if _layout(call.args[0])[0] else ROWS_OF_RIGHT)]


def _copy(call: Node, tile: Tile, words: dict[str, int], copy: str) -> Launch:
    """The launch that copies a factor."""
    (factor,) = call.args
    turned, step = _layout(factor)
    batch, spans = _batches(factor), -(-words["k"] // _span(call.dtype))
    side, is_left = ("left", True) if copy in (ROWS_OF_LEFT, COLUMNS_OF_LEFT) else ("right", False)
    alpha = params_of(call).get("alpha")
    pieces = 1 if is_left else -(-words["panels"] // words["each"])
    words = {**words, "spans": spans, "pieces": pieces, "step": step, "source_batch": _batch_step(factor)}
    names = _names(call.dtype, tile, alpha is not None)
    pointers = [f"{'a' if is_left else 'b'} = advance(ptr_{{T}}(w[0], 0), batch * source_batch)"]
    if is_left:
        pointers += ["a_step = step", "left = advance(ptr_{T}(w[1], 3), place * tiles * {R} * {PITCH})"]
    else:
        pointers += ["b_step = step", "panel = (unit - place * pieces) * each", "together = imin(each, panels - panel)"]
        pointers += ["right = advance(ptr_{T}(w[1], 4), (batch * panels + panel) * panel_step + first * {C})"]
    code = kernel(
        COPY,
        SIDE=side,
        NAME=f"{tile.rows}x{tile.columns}" + "_turned" * turned + "_scaled" * (alpha is not None),
        NAMES=_named(words, 2, alpha is not None, names),
        BODY=_filled("\n".join(pointers) + copy, 2, names),
        **names,
    )
    scale = (bits_of(alpha, call.dtype),) if alpha is not None else ()
    all_words = (Pointer(0), Pointer(-1), *words.values(), *scale)
    units = batch * spans * pieces
    grain = max(1, _CHUNK_COPIED * units // max(factor.size, 1))
    return Launch(code, all_words, units, grain, 2 * factor.size * call.dtype.size)


@template("matmul", strided=EVERY_ARGUMENT)
def matmul(call: Node) -> Sequence[Launch]:
    """One launch. Param `panels`: b was copied by `matmul_right`, though there are few rows; not for stacks."""
    bias = 2 if params_of(call).get("bias") else 1
    return [_product(call, (Pointer(0), Pointer(1), Pointer(-1), Pointer(bias)), call.args[:2])]


@template("matmul_add", in_place=0, strided=frozenset({1, 2}))
def matmul_add(call: Node) -> Sequence[Launch]:
    """One launch. Param `alpha`: for a product of many rows; that of few rows has it in its factor."""
    return [_product(call, (Pointer(1), Pointer(2), Pointer(-1), Pointer(1)), call.args[1:])]


def padded_columns(call: Node) -> int:
    """How many values a bias of the product has."""
    _, m, n = sizes_of(call)
    return padded(n, product_tile(m, n, call.dtype).columns)


def _product(call: Node, pointers: tuple[Pointer, ...], factors: Sequence[Node]) -> Launch:
    batch, m, n = sizes_of(call)
    params = params_of(call)
    few = has_few_rows(m, n)
    tile = product_tile(m, n, call.dtype)
    source = factors[1] if few else factors[0]
    k = source.shape[-2] if few else source.shape[-1]
    block = _columns_of_block(batch, n, tile) if few else _rows_of_block(batch, m, tile)
    words = {"m": m, "n": n, "k": k, "block": block, "blocks": -(-(n if few else m) // block)}
    turned, step = _layout(source)
    if few:
        more = {"rows": m, "tiles": -(-m // tile.rows), "spans": -(-k // _span(call.dtype)), "b_step": step}
        words |= {**more, "b_batch": 0 if params.get("panels") else _batch_step(source)}
    else:
        words |= {"a_step": step, "a_batch": _batch_step(source)}
    near = k <= _span(call.dtype) and factors[1].size * call.dtype.size <= _NEAR_BYTES * batch
    words["by_rows"] = int(not few and near)
    words["added"] = int(len(factors) < len(call.args) and call.attr[0] == "matmul_add")
    words["pace"] = 0 if near else -(-tile.columns // -(-(m if few else block) // tile.rows))
    words |= {"biased": int(bool(params.get("bias"))), "positive": int(bool(params.get("relu")))}
    alpha = params.get("alpha")
    scale = (bits_of(alpha, call.dtype),) if alpha is not None else ()
    units = batch * words["blocks"]
    moved = (call.size + sum(factor.size for factor in factors)) * call.dtype.size
    grain = max(1, _CHUNK_PRODUCTS * units // max(call.size * k, 1))
    return Launch(_code(call, tile, few, turned, words), (*pointers, *words.values(), *scale), units, grain, moved)


def _columns_of_block(batch: int, n: int, tile: Tile) -> int:
    """Columns a unit of a product of few rows: some hundred, of which memory is read fastest, if there are so many."""
    panels = -(-n // tile.columns)
    units = max(_LEAST_UNITS, min(_UNITS, n // _COLUMNS))
    return -(-panels // max(1, min(panels, units // batch))) * tile.columns


def _rows_of_block(batch: int, m: int, tile: Tile) -> int:
    """Rows a unit of a product of many rows: as many as make it worth to read all of b."""
    most = FEW_ROWS // tile.rows * tile.rows
    units = max(_LEAST_UNITS, min(_UNITS, m // _ROWS))
    blocks = max(-(-m // most), min(units // batch, m // _LEAST_ROWS), 1)
    return min(padded(-(-m // blocks), tile.rows), most)


def _layout(matrix: Node) -> tuple[bool, int]:
    """(whether columns lie side by side, elements from row to row or column to column)."""
    layout = matrix_layout(matrix)
    assert layout is not None, f"matmul cannot read {matrix}: its lowering must copy it"
    return layout.transposed, layout.stride


def _batches(factor: Node) -> int:
    return factor.shape[0] if len(factor.shape) == 3 else 1


def _batch_step(factor: Node) -> int:
    return access(factor)[2][0] if len(factor.shape) == 3 else 0


# -- code --------------------------------------------------------------------------------------------------------------


def _names(dtype: DType, tile: Tile, scaled: bool) -> dict[str, str]:
    """What is filled in in all texts."""
    return {
        "T": element_type(dtype, "MatMul"),
        "R": str(tile.rows),
        "C": str(tile.columns),
        "L": str(host_target().vector_registers[1] // dtype.size),
        "SPAN": str(_span(dtype)),
        "PITCH": str(_pitch(dtype)),
        "SIZE": str(dtype.size),
        "SCALE": " * alpha" * scaled,
        "SCALED_SQUARE": "tile_scale(square, alpha)" if scaled else "square",
    }


def _code(call: Node, tile: Tile, few: bool, turned: bool, words: dict[str, int]) -> Kernel:
    params = params_of(call)
    size = call.dtype.size
    scaled = "alpha" in params
    names = _names(call.dtype, tile, scaled)
    shared = few and bool(params.get("panels"))
    columns = _together(tile)
    names["PANELS"] = str(columns)
    steps = STEPS
    if few and not shared:
        steps = STEPS_AHEAD
        names |= _lines_ahead(call.dtype, tile, turned)
    tiles = TILES.format(**names, STEPS=_filled(steps, 1, names))
    slack = int(names["L"])  # rows of a square that is transposed
    right = f"ptr_{names['T']}(scratch({SPAN_BYTES * columns * tile.columns}), 4)"
    if shared:
        right = f"ptr_{names['T']}(w[1], 1)"
        places = {"RIGHT_PANELS": _filled(PANELS_OF_ALL, 4, names), "TILES": indented(tiles, 4)}
    elif few:
        copy = COPIED_PANELS + NEXT + (COLUMNS_OF_RIGHT if turned else ROWS_OF_RIGHT)
        places = {"RIGHT_PANELS": _filled(copy, 4, names), "TILES": indented(tiles, 4)}
    else:
        copy = COLUMNS_OF_LEFT if turned else ROWS_OF_LEFT
        places = {"COPY_LEFT": _filled(copy, 3, names), "TILES": indented(tiles, 3)}
    return kernel(
        OF_FEW_ROWS if few else OF_MANY_ROWS,
        NAME=f"{'few' if few else 'many'}_{tile.rows}x{tile.columns}" + "_turned" * turned + "_panels" * shared,
        NAMES=_named(words, 4, scaled, names),
        LEFT=str((FEW_ROWS + slack) * _pitch(call.dtype) * size),
        RIGHT=right,
        EDGE=str(tile.rows * tile.columns * size),
        **places,
        **names,
    )


def _lines_ahead(dtype: DType, tile: Tile, turned: bool) -> dict[str, str]:
    """What is filled in in `STEPS_AHEAD` and `NEXT`: a line of b is a row's part in some panels, or a column's span."""
    columns = _together(tile) * tile.columns
    return {
        "ASKED": str(_ASKED),
        "LINES": str(columns if turned else _span(dtype)),
        "APART": str((_span(dtype) if turned else columns) // _ASKED),
        "NEXT_AT": "next_column * b_step + next_first" if turned else "next_first * b_step + next_column",
    }


def _together(tile: Tile) -> int:
    """Panels of b that are copied at once."""
    return max(_COLUMNS // tile.columns, 1)


def _filled(text: str, levels: int, names: dict[str, str]) -> str:
    return indented(text.format(**names), levels)


def _named(words: dict[str, int], first: int, scaled: bool, names: dict[str, str]) -> str:
    lines = named_words(words, first)
    address = f"args + {8 * (first + len(words))}"
    return f"{lines}\n    alpha = ptr_{names['T']}({address}, -1)[0]" if scaled else lines
