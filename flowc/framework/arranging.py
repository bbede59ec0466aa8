"""Loops and branches, found in a graph by its operations alone.

`arrange` turns operations into a tree: a list of steps, each an operation, a `Conditional` or a `Loop` with steps of
its own (`flowc.framework.regions`).

- Frames: an operation is in the frame of its inputs; `Enter` leads into the one that its `frame_name` names, and
  `Exit` out of it. What is in one frame, with all frames inside it, is a Loop.
- Guards: under which outcomes of which predicates an operation runs: `((p, True), (q, False))` is "p, and within that
  not q". An operation has the guards of its inputs; a Switch adds one, and a Merge removes the one in which its inputs
  differ. What has a guard of `p` is in a Conditional of `p`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from flowc.framework.errors import InvalidArgumentError, UnimplementedError
from flowc.framework.graph import Operation, Tensor
from flowc.framework.regions import (
    ENTERS,
    EXITS,
    MERGES,
    SWITCHES,
    Conditional,
    Frame,
    Loop,
    LoopVariable,
    Step,
    back_edge,
    has_control_flow,
    operations_of,
)
from flowc.framework.source import made_at

Guard = tuple[tuple[Tensor, bool], ...]


def arrange(ops: Sequence[Operation], fed: Collection[Tensor] = ()) -> list[Step]:
    """The operations, each after those that it depends on but for loops' back edges, as steps in an order to run them.

    fed: tensors that do not depend on their operations.
    """
    if not has_control_flow(ops):
        return list(ops)
    frames = _Frames(ops, fed)
    return _Level(frames, None, fed).steps()


def condition_of(merge: Operation) -> tuple[Tensor, list[bool | None]]:
    """The predicate that decides which input comes to a Merge, and the outcome for which each does: None for any.

    Raises LookupError if no condition decides.
    """
    known = merge._graph._conditions
    if merge not in known:
        for step in arrange(ancestors([merge])):
            known.update(_conditions(step))
    if merge not in known:
        raise LookupError(f"No condition decides which input comes to {merge._name!r}." + made_at(merge))
    pred, outcomes = known[merge]
    return pred, outcomes


def _conditions(step: Step) -> Iterator[tuple[Operation, tuple[Tensor, list[bool | None]]]]:
    if isinstance(step, Loop):
        for inner in (*step.cond, *step.body):
            yield from _conditions(inner)
    elif isinstance(step, Conditional):
        for merge, (if_false, if_true) in step.merges.items():
            numbers = range(len(merge._inputs))
            yield merge, (step.pred, [None if i in if_false and i in if_true else i in if_true for i in numbers])
        for inner in (*step.if_false, *step.if_true):
            yield from _conditions(inner)


def ancestors(ops: Iterable[Operation]) -> list[Operation]:
    """The operations and all that they depend on, by data or control, in the order in which they were made."""
    found = set(ops)
    pending = list(found)
    while pending:
        current = pending.pop()
        for source in (*(t._op for t in current._inputs), *current._control_inputs):
            if source not in found:
                found.add(source)
                pending.append(source)
    return sorted(found, key=lambda op: op._id)


class _Frames:
    """The frame of each operation. An Exit counts to the frame that it leaves."""

    def __init__(self, ops: Iterable[Operation], fed: Collection[Tensor]) -> None:
        self.root = Frame("", None, 0)
        self.frame: dict[Operation, Frame] = {}
        self.children: dict[Frame, list[Frame]] = {}
        self._named: dict[tuple[Frame, str], Frame] = {}
        self._fed = fed
        for op in ops:
            frame = self.frame[op] = self._of(op)
            frame.ops.append(op)

    def _of(self, op: Operation) -> Frame:
        sources = [t._op for t in op._inputs if t not in self._fed and not back_edge(op, t)]
        found = [self._after(source) for source in (*sources, *op._control_inputs)]
        frame = max(found, key=lambda f: f.depth, default=self.root)
        if op._type in ENTERS:
            outer = self._after(sources[0]) if sources else self.root
            return self._child(outer if outer.depth >= frame.depth else frame, op._attrs["frame_name"])
        return frame

    def _after(self, op: Operation) -> Frame:
        """The frame that the operation's outputs are in."""
        frame = self.frame.get(op, self.root)
        return frame.parent or frame if op._type in EXITS else frame

    def _child(self, outer: Frame, name: str) -> Frame:
        frame = self._named.get((outer, name))
        if frame is None:
            frame = self._named[outer, name] = Frame(name, outer, outer.depth + 1)
            self.children.setdefault(outer, []).append(frame)
        return frame


Item = Operation | Loop


class _Level:
    """The operations of one frame, with the loops in it as single items."""

    def __init__(self, frames: _Frames, frame: Frame | None, fed: Collection[Tensor]) -> None:
        self.frame, self.fed = frame or frames.root, fed
        self.items: dict[Item, None] = {}
        self.item_of: dict[Operation, Item] = {}
        for op in self.frame.ops:
            self._add(op, [op])
        for child in frames.children.get(self.frame, ()):
            loop = _Level(frames, child, fed).loop()
            self._add(loop, loop.ops)
        self.sources = {item: self._sources(item) for item in self.items}
        self.inside: dict[Item, Guard] = {}  # the guard under which it runs; of a Merge, its inputs' common one
        self.merged: dict[Operation, tuple[Tensor, list[bool | None]]] = {}  # Merge → predicate, outcome of each input

    def _add(self, item: Item, ops: Iterable[Operation]) -> None:
        self.items[item] = None
        self.item_of.update(dict.fromkeys(ops, item))

    def _sources(self, item: Item) -> dict[Item, None]:
        """The items that it depends on. Those of outer frames are there before."""
        found: dict[Item, None] = {}
        for op in operations_of(item):
            for tensor in op._inputs:
                if tensor not in self.fed and not back_edge(op, tensor):
                    found[self.item_of.get(tensor._op, item)] = None
            for control in op._control_inputs:
                found[self.item_of.get(control, item)] = None
        found.pop(item, None)
        return found

    def steps(self) -> list[Step]:
        """The frame's steps."""
        for item in _ordered(self.items, self.sources):
            self.inside[item] = self._guard(item)
        return self._arranged(list(self.items), 0)

    # -- guards --------------------------------------------------------------------------------------------------------

    def _guard(self, item: Item) -> Guard:
        if isinstance(item, Operation) and item._type in MERGES and not any(back_edge(item, t) for t in item._inputs):
            return self._merge_guard(item)
        guard: Guard = ()
        for op in operations_of(item):
            if op is item and op._type in MERGES:
                continue  # of a loop variable: the first thing in the frame
            for tensor in op._inputs:
                if tensor not in self.fed and self.item_of.get(tensor._op, item) is not item:
                    guard = _both(guard, self._guard_of(tensor))
            for control in op._control_inputs:
                if self.item_of.get(control, item) is not item:
                    guard = _both(guard, self._guard_after(control))
        return guard

    def _guard_after(self, op: Operation) -> Guard:
        return self.inside.get(self.item_of[op], ())

    def _guard_of(self, tensor: Tensor) -> Guard:
        op = tensor._op
        guard = self._guard_after(op)
        if op._type in SWITCHES and self.item_of[op] is op:
            return (*guard, (_told_apart(op._inputs[1], self.fed), tensor._value_index == 1))
        return guard

    def _merge_guard(self, merge: Operation) -> Guard:
        guards = [() if t in self.fed or t._op not in self.item_of else self._guard_of(t) for t in merge._inputs]
        common = guards[0]
        for guard in guards[1:]:
            common = _common(common, guard)
        rest = [guard[len(common) :] for guard in guards]
        preds = {guard[0][0] for guard in rest if guard}
        if len(preds) == 1:
            self.merged[merge] = preds.pop(), [guard[0][1] if guard else None for guard in rest]
        elif preds:
            message = f"The inputs of {merge._name!r} do not come from the two sides of one condition."
            raise UnimplementedError(None, merge, message)
        return common

    # -- steps ---------------------------------------------------------------------------------------------------------

    def _condition(self, item: Item, depth: int) -> Tensor | None:
        """The predicate on whose Conditional an item stands, or None if it runs at this depth without one."""
        guard = self.inside[item]
        if len(guard) > depth:
            return guard[depth][0]
        return self.merged[item][0] if isinstance(item, Operation) and item in self.merged else None

    def _arranged(self, items: Sequence[Item], depth: int) -> list[Step]:
        """Items in order; those on one predicate that can run together in one Conditional."""
        queue = _Queue(items, self.sources, lambda item: self._condition(item, depth))
        steps: list[Step] = []
        while queue:
            pred = queue.next_kind()
            taken = queue.take(pred)
            if pred is None:
                steps.extend(taken)
            else:
                steps.append(self._conditional(pred, taken, depth))
        return steps

    def _conditional(self, pred: Tensor, items: Sequence[Item], depth: int) -> Conditional:
        branches: tuple[list[Item], list[Item]] = ([], [])
        merges: dict[Operation, tuple[list[int], list[int]]] = {}
        for item in items:
            guard = self.inside[item]
            if len(guard) > depth:
                branches[guard[depth][1]].append(item)
            elif isinstance(item, Operation):
                outcomes = self.merged[item][1]
                merges[item] = (
                    [i for i, outcome in enumerate(outcomes) if outcome is not True],
                    [i for i, outcome in enumerate(outcomes) if outcome is not False],
                )
        steps = [self._arranged(branch, depth + 1) for branch in branches]
        ops = [op for item in items for op in operations_of(item)]
        return Conditional(pred, steps[0], steps[1], merges, ops)

    # -- loops ---------------------------------------------------------------------------------------------------------

    def loop(self) -> Loop:
        """The frame as a loop."""
        steps = self.steps()
        ops = [op for step in steps for op in operations_of(step)]
        own = self.frame.ops
        conditions = [op for op in own if op._type == "LoopCond"]
        exits = [op for op in own if op._type in EXITS]
        if not conditions:
            return Loop(self.frame, [], [op for op in own if op._type in ENTERS], exits, None, steps, [], ops)
        condition = conditions[0]._outputs[0]
        inside = [s for s in steps if isinstance(s, Conditional) and s.pred is condition]
        if len(conditions) > 1 or len(inside) > 1 or any(conditional.merges for conditional in inside):
            message = f"The loop {self.frame.name!r} is not of the form that tf.While makes."
            raise InvalidArgumentError(None, conditions[0], message)
        variables = self._variables(own, condition)
        started = {variable.enter for variable in variables}
        invariants = [op for op in own if op._type in ENTERS and op not in started]
        cond = [step for step in steps if step not in inside]
        body = inside[0].if_true if inside else []
        return Loop(self.frame, variables, invariants, exits, conditions[0]._inputs[0], cond, body, ops)

    def _variables(self, ops: Sequence[Operation], condition: Tensor) -> list[LoopVariable]:
        members = set(ops)
        switches = {op._inputs[0]: op for op in ops if op._type in SWITCHES and op._inputs[1] is condition}
        found = []
        for merge in ops:
            backs = [t for t in merge._inputs if back_edge(merge, t)]
            if not backs:
                continue
            enter = next(t._op for t in merge._inputs if t not in backs)
            switch = switches.get(merge._outputs[0])
            next_value = backs[0]._op._inputs[0] if backs[0]._op in members else None
            left = switch._outputs[0]._consumers if switch is not None else []
            exits = [op for op in left if op._type in EXITS and op in members]
            found.append(LoopVariable(enter, merge, switch, next_value, exits))
        return found


# -- order -------------------------------------------------------------------------------------------------------------


def _number(item: Item) -> int:
    return item._id if isinstance(item, Operation) else min(op._id for op in item.ops)


class _Queue:
    """Items that wait for others, by kind; those that are ready can be taken."""

    def __init__(
        self, items: Sequence[Item], sources: dict[Item, dict[Item, None]], kind: Callable[[Item], Tensor | None]
    ) -> None:
        self._kind = kind
        members = set(items)
        self._waiting = {item: sum(source in members for source in sources[item]) for item in items}
        self._users: dict[Item, list[Item]] = {item: [] for item in items}
        self._left = len(items)
        self._ready: dict[Tensor | None, list[tuple[int, Item]]] = {}
        for item in items:
            for source in sources[item]:
                if source in members:
                    self._users[source].append(item)
        for item in items:
            if not self._waiting[item]:
                self._push(item)

    def __bool__(self) -> bool:
        return self._left > 0

    def _push(self, item: Item) -> None:
        heapq.heappush(self._ready.setdefault(self._kind(item), []), (_number(item), item))

    def next_kind(self) -> Tensor | None:
        """None if an item of that kind is ready, else the kind of the first that is."""
        if self._ready.get(None):
            return None
        ready = [(queue[0][0], kind) for kind, queue in self._ready.items() if queue]
        if not ready:
            raise _circular(self._waiting)
        return min(ready, key=lambda pair: pair[0])[1]

    def take(self, kind: Tensor | None) -> list[Item]:
        """All items of the kind that are ready, and those that are when these are done."""
        taken = []
        queue = self._ready.setdefault(kind, [])
        while queue:
            item = heapq.heappop(queue)[1]
            taken.append(item)
            self._left -= 1
            del self._waiting[item]
            for user in self._users[item]:
                self._waiting[user] -= 1
                if not self._waiting[user]:
                    self._push(user)
        return taken


def _ordered(items: Iterable[Item], sources: dict[Item, dict[Item, None]]) -> list[Item]:
    queue = _Queue(list(items), sources, lambda item: None)
    taken = queue.take(None)
    if queue:
        raise _circular(queue._waiting)
    return taken


def _circular(waiting: Iterable[Item]) -> InvalidArgumentError:
    op = min((operations_of(item)[0] for item in waiting), key=lambda op: op._id)
    return InvalidArgumentError(None, op, f"{op._name!r} depends on itself, and not through a loop.")


# -- guards ------------------------------------------------------------------------------------------------------------


def _told_apart(pred: Tensor, fed: Collection[Tensor]) -> Tensor:
    """The tensor that stands for a predicate, which may come to several Switches by several names."""
    while pred._op._type == "Identity" and pred not in fed:
        pred = pred._op._inputs[0]
    return pred


def _both(a: Guard, b: Guard) -> Guard:
    """The guard of what needs two values."""
    if a[: len(b)] == b:
        return a
    return (*a, *(one for one in b if one not in a)) if b[: len(a)] != a else b


def _common(a: Guard, b: Guard) -> Guard:
    """The outcomes that two guards begin with."""
    length = 0
    while length < min(len(a), len(b)) and a[length] == b[length]:
        length += 1
    return a[:length]
