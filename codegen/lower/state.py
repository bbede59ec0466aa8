"""Ops that change variables: each returns the new values by the index of the input that is the variable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from flowc.codegen.ir import Node
from flowc.codegen.lower.common import checked, dense, index_token, refuse_strings, whole
from flowc.codegen.lower.registry import OUTPUT, LoweredOp, lowering, update
from flowc.codegen.program import Program

SCATTERS: Final = {"ScatterAdd": "scatter_add", "ScatterSub": "scatter_sub", "ScatterUpdate": "scatter_update"}


@update("Assign")
def assign(p: Program, op: LoweredOp, variable: Node | None, value: Node) -> Mapping[int, Node]:
    return {0: value}


@update("AssignAdd")
def assign_add(p: Program, op: LoweredOp, variable: Node, value: Node) -> Mapping[int, Node]:
    return {0: p.map("add", variable, value)}


@update("AssignSub")
def assign_sub(p: Program, op: LoweredOp, variable: Node, value: Node) -> Mapping[int, Node]:
    return {0: p.map("sub", variable, value)}


@update("CountUpTo")
def count_up_to(p: Program, op: LoweredOp, variable: Node) -> Mapping[int, Node]:
    """Gives the old value and adds 1, or fails at the limit."""
    limit = op.attrs["limit"]
    old = checked(p, "check_below", variable, f"Reached limit of {limit}", "OutOfRangeError", limit=limit)
    return {0: p.map("add", old, p.scalar(1, variable.dtype)), OUTPUT: old}


@lowering("AssertVariablesInitialized")
def assert_initialized(p: Program, op: LoweredOp, *variables: Node) -> Sequence[Node]:
    """No kernel: the run itself refuses to start without a value of a variable that it requires."""
    p.required.extend(variable for variable in variables if variable.op == "input")
    return []


@update(*SCATTERS)
def scatter(p: Program, op: LoweredOp, table: Node, indices: Node, rows: Node) -> Mapping[int, Node]:
    """Rows of the variable set, added to or subtracted from; an index out of range leaves it unchanged."""
    refuse_strings(table.dtype, op.type)
    return {0: scattered(p, SCATTERS[op.type], table, indices, rows)}


def scattered(p: Program, template: str, table: Node, indices: Node, rows: Node, name: str = "indices") -> Node:
    """`table` after a call of one of the scatter templates; `name` is that of the indices in messages."""
    args = [whole(p, table), dense(p, indices), dense(p, rows), index_token(p, indices, table.shape[0], name)]
    return p.call(template, args, table.shape, table.dtype)
