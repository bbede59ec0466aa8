"""Which operations a run needs, in an order in which each comes after what it depends on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from flowc.framework.graph import Operation, Tensor


def needed_ops(fetches: Iterable[Tensor], targets: Iterable[Operation], fed: Collection[Tensor]) -> list[Operation]:
    """The operations that compute `fetches` and run `targets`, when the tensors of `fed` are given.

    Operations were made after what they depend on, so that order will do, unless control inputs were added later.
    """
    seen: set[Operation] = set()
    pending = [t._op for t in fetches if t not in fed]
    pending.extend(targets)
    while pending:
        op = pending.pop()
        if op in seen:
            continue
        seen.add(op)
        for tensor in op._inputs:
            if tensor._op not in seen and tensor not in fed:
                pending.append(tensor._op)
        pending.extend(op._control_inputs)
    order = sorted(seen, key=lambda op: op._id)
    return order if _is_ordered(order) else _topological(order, fed)


def _is_ordered(order: Sequence[Operation]) -> bool:
    return all(control._id < op._id for op in order for control in op._control_inputs)


def _topological(ops: Sequence[Operation], fed: Collection[Tensor]) -> list[Operation]:
    done: set[Operation] = set()
    result: list[Operation] = []
    members = set(ops)
    for root in ops:
        pending = [(root, False)]
        while pending:
            op, ready = pending.pop()
            if ready:
                result.append(op)
                continue
            if op in done:
                continue
            done.add(op)
            pending.append((op, True))
            before = [t._op for t in op._inputs if t not in fed] + list(op._control_inputs)
            pending.extend((b, False) for b in before if b in members and b not in done)
    return result
