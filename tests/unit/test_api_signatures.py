"""Every documented symbol is there, with the documented arguments, and `docs/api.md` says so."""

from __future__ import annotations

import re

import pytest

from docs import api_table
from docs.api_listing import Symbol, difference, documented, found

SYMBOLS = list(documented())

# Documented symbols that flowc does not have yet. Names leave this set, none joins it.
MISSING: frozenset[str] = frozenset()


@pytest.mark.parametrize("area", dict.fromkeys(symbol.area for symbol in SYMBOLS))
def test_signatures_are_the_documented_ones(area: str) -> None:
    own = [symbol for symbol in SYMBOLS if symbol.area == area]
    assert not {s.path: difference(s) for s in own if s.path not in MISSING and difference(s) is not None}


def test_what_is_there_is_not_called_missing() -> None:
    assert not [s.path for s in SYMBOLS if s.path in MISSING and difference(s) is None]
    assert {symbol.path for symbol in SYMBOLS} >= MISSING


def test_the_page_is_up_to_date() -> None:
    """As far as symbols and signatures go; `make docs` writes all of it."""
    text = api_table.TARGET.read_text(encoding="utf-8")
    written = re.findall(r"^\| `([\w.]+)` \| (yes|no) \| ([^|]*) \|", text, re.MULTILINE)
    assert written == [_cells(symbol) for symbol in SYMBOLS]


def _cells(symbol: Symbol) -> tuple[str, ...]:
    if found(symbol) is None:
        return symbol.path, "no", ""
    return symbol.path, "yes", difference(symbol) or "="


def test_a_difference_is_told() -> None:
    def told(path: str, arguments: str) -> str | None:
        return difference(Symbol("", "", path, arguments))

    assert told("add", "x, y, name=None") is None
    assert told("add", "x, z, name=None") == "argument y where z is documented"
    assert told("add", "x, y, name='add'") == "default None of name where 'add' is documented"
    assert told("add", "x, y, name=None, more=1") == "no argument more"
    assert told("matmul", "a") == "required argument b is not documented"
    assert told("Session.run", "fetches, feed_dict=None") is None
    assert told("nothing", "") == "missing"
    assert told("group", "*inputs, **kwargs") is None


def test_the_table_finds_a_functions_op_types() -> None:
    import flowc as tf

    assert api_table.op_types_of(tf.reduce_sum) == ["Sum"]
    assert api_table.op_types_of(tf.scatter_add) == ["ScatterAdd"]
    assert "Mean" in api_table.op_types_of(tf.nn.moments)
