"""The texts of the kernels of `flowc.codegen.kernels.products`: copies of the factors, and the products by tiles.

Filled in in all: {T}, the element type, and {SIZE}, its bytes; {R} and {C}, a tile's rows and columns; {L}, the
rows of a square that is transposed; {SPAN}, the elements of k that are copied at once; {PITCH}, those from row to row
of the copy of a.
"""

from __future__ import annotations

from typing import Final

# -- copies of the factors ---------------------------------------------------------------------------------------------

# `rows` rows of a from `top` on, their elements `first` … `first + depth - 1`; rows that fill the last tile are zeros.
ROWS_OF_LEFT: Final = """
for r in range(tiles * {R}):
    x = advance(left, r * {PITCH})
    if r < rows:
        s = advance(a, (top + r) * a_step + first)
        for t in range(depth):
            x[t] = s[t]{SCALE}
    else:
        for t in range(depth):
            x[t] = 0
"""

# The same, of a matrix whose columns lie side by side: square tiles of it are transposed.
COLUMNS_OF_LEFT: Final = """
for r in range(0, tiles * {R}, {L}):
    kept = imax(imin({L}, rows - r), 0)
    squares = depth - imod(depth, {L})
    if kept < {L}:
        squares = 0
    s = advance(a, first * a_step + top + r)
    x = advance(left, r * {PITCH})
    for t in range(0, squares, {L}):
        square = tile_load(tile_{T}({L}, {L}), advance(s, t * a_step), a_step)
        tile_store(tile_transpose({SCALED_SQUARE}), advance(x, t), {PITCH})
    for t in range(squares, depth):
        for e in range(kept):
            x[e * {PITCH} + t] = s[t * a_step + e]{SCALE}
        for e in range(kept, imin({L}, tiles * {R} - r)):
            x[e * {PITCH} + t] = 0
"""

# `together` panels of b from number `panel` on, `panel_step` elements apart; columns beyond the matrix are zeros. It
# goes row by row, as memory is read fastest.
ROWS_OF_RIGHT: Final = """
for t in range(depth):
    u = advance(b, (first + t) * b_step + start + panel * {C})
    y = advance(right, t * {C})
    for p in range(together):
        columns = imin({C}, width - (panel + p) * {C})
        if columns == {C}:
            tile_store(tile_load(tile_{T}(1, {C}), u, 0), y, 0)
        else:
            memory_copy(address(y), address(u), columns * {SIZE})
            memory_fill(address(advance(y, columns)), 0, ({C} - columns) * {SIZE})
        u = advance(u, {C})
        y = advance(y, panel_step)
"""

COLUMNS_OF_RIGHT: Final = """
for p in range(together):
    for group in range(0, {C}, {L}):
        kept = imax(imin({L}, width - (panel + p) * {C} - group), 0)
        squares = depth - imod(depth, {L})
        if kept < {L}:
            squares = 0
        u = advance(b, (start + (panel + p) * {C} + group) * b_step + first)
        y = advance(right, p * panel_step + group)
        for t in range(0, squares, {L}):
            square = tile_load(tile_{T}({L}, {L}), advance(u, t), b_step)
            tile_store(tile_transpose(square), advance(y, t * {C}), {C})
        for t in range(squares, depth):
            for e in range(kept):
                y[t * {C} + e] = u[e * b_step + t]
            for e in range(kept, {L}):
                y[t * {C} + e] = 0
"""

# Unit: a span of a product's k, and of the second factor some of its panels. All of it is copied for all units of the
# product.
COPY: Final = """
def matmul_{SIDE}_{NAME}_{T}(args, lo, hi):
    w = ptr_i64(args, -1)
{NAMES}
    for unit in range(lo, hi):
        place = idiv(unit, pieces)
        batch = idiv(place, spans)
        first = (place - batch * spans) * {SPAN}
        depth = imin({SPAN}, k - first)
{BODY}
"""

# -- products ----------------------------------------------------------------------------------------------------------

# The tiles of `together` panels from number `panel` on, by the rows in `left`, over one span. Panel by panel, or, if b
# is so small that it stays near, row by row: as the result lies in memory.
TILES: Final = """
for number in range(together * tiles):
    p = idiv(number, tiles)
    tile = number - p * tiles
    if by_rows != 0:
        tile = idiv(number, together)
        p = number - tile * together
    columns = imin({C}, width - (panel + p) * {C})
    lines = imin({R}, rows - tile * {R})
    whole = lines * columns == {R} * {C}
    z = advance(result, tile * {R} * n + (panel + p) * {C})
    for r in range({R}):
        for e in range(0, {C}, {L}):
            prefetch_second(z, r * n + e)
    c = tile_{T}({R}, {C})
    if added + first > 0:
        if whole:
            c = tile_load(c, z, n)
        else:
            for r in range(lines):
                memory_copy(address(advance(edge, r * {C})), address(advance(z, r * n)), columns * {SIZE})
            c = tile_load(c, edge, {C})
    x = advance(left, tile * {R} * {PITCH})
    y = advance(right, p * panel_step)
{STEPS}
    if first + depth == k:
        if biased != 0:
            c = tile_add_row(c, advance(bias, start + (panel + p) * {C}))
        if positive != 0:
            c = tile_relu(c)
    if whole:
        tile_store(c, z, n)
    else:
        tile_store(c, edge, {C})
        for r in range(lines):
            memory_copy(address(advance(z, r * n)), address(advance(edge, r * {C})), columns * {SIZE})
"""

# The steps of a tile. Meanwhile the next panel, or the first one of the next span, comes from the third cache, of which
# processors look ahead within a page only: the tiles ask for it, `pace` elements a step.
STEPS: Final = """
soon = advance(right, tile * depth * pace + (p + 1) * panel_step)
if p + 1 == together:
    soon = advance(right, tile * depth * pace + {SPAN} * {C})
for t in range(depth):
    prefetch_second(soon, t * pace)
    c = tile_fma(c, advance(x, t), {PITCH}, advance(y, t * {C}))
"""

# The same, and meanwhile what the unit copies next comes from memory: {ASKED} steps ask for one of its `lines` lines.
STEPS_AHEAD: Final = """
soon = advance(next, number * idiv(depth, {ASKED}) * b_step)
pace = b_step
if number * idiv(depth, {ASKED}) >= {LINES}:
    soon = advance(b, 0)
    pace = 0
for group in range(0, depth, {ASKED}):
    for t in range(group, imin(group + {ASKED}, depth)):
        prefetch_second(soon, (t - group) * {APART})
        c = tile_fma(c, advance(x, t), {PITCH}, advance(y, t * {C}))
    soon = advance(soon, pace)
"""

# Where that lies: the next span of the same columns, or else the first one of the next.
NEXT: Final = """
next_first = first + {SPAN}
next_column = start + panel * {C}
if next_first >= k:
    next_first = 0
    next_column = next_column + {PANELS} * {C}
next = advance(b, {NEXT_AT})
"""

# Unit: some columns of a product of few rows, the rows of a copied before.
OF_FEW_ROWS: Final = """
def matmul_{NAME}_{T}(args, lo, hi):
    w = ptr_i64(args, -1)
    bias = ptr_{T}(w[3], 6)
    right = {RIGHT}
    edge = ptr_{T}(scratch({EDGE}), 5)
{NAMES}
    for unit in range(lo, hi):
        batch = idiv(unit, blocks)
        start = (unit - batch * blocks) * block
        width = imin(block, n - start)
        b = advance(ptr_{T}(w[1], 1), batch * b_batch)
        result = advance(ptr_{T}(w[2], 2), batch * m * n + start)
        panels = idiv(width + {C} - 1, {C})
        for panel in range(0, panels, {PANELS}):
            together = imin({PANELS}, panels - panel)
            for first in range(0, k, {SPAN}):
                depth = imin({SPAN}, k - first)
                left = advance(ptr_{T}(w[0], 3), (batch * spans + idiv(first, {SPAN})) * tiles * {R} * {PITCH})
{RIGHT_PANELS}
{TILES}
"""

# `right`: the panels that the unit copies, or those that were copied before.
COPIED_PANELS: Final = "panel_step = depth * {C}"
PANELS_OF_ALL: Final = """
panel_step = k * {C}
right = advance(ptr_{T}(w[1], 1), (idiv(start, {C}) + panel) * panel_step + first * {C})
"""

# Unit: some rows of a product, the panels of b copied before.
OF_MANY_ROWS: Final = """
def matmul_{NAME}_{T}(args, lo, hi):
    w = ptr_i64(args, -1)
    bias = ptr_{T}(w[3], 6)
    left = ptr_{T}(scratch({LEFT}), 3)
    edge = ptr_{T}(scratch({EDGE}), 5)
{NAMES}
    for unit in range(lo, hi):
        batch = idiv(unit, blocks)
        top = (unit - batch * blocks) * block
        rows = imin(block, m - top)
        start = 0
        width = n
        a = advance(ptr_{T}(w[0], 0), batch * a_batch)
        result = advance(ptr_{T}(w[2], 2), (batch * m + top) * n)
        tiles = idiv(rows + {R} - 1, {R})
        panel = 0
        together = idiv(n + {C} - 1, {C})
        panel_step = k * {C}
        for first in range(0, k, {SPAN}):
            depth = imin({SPAN}, k - first)
            right = advance(ptr_{T}(w[1], 1), batch * together * panel_step + first * {C})
{COPY_LEFT}
{TILES}
"""
