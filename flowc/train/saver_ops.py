"""The graph of a saver: operations that write variables to a file, and that assign them what a file holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flowc.framework import protos
from flowc.framework.convert import constant
from flowc.framework.default_graph import get_default_graph
from flowc.framework.graph import Operation, Tensor
from flowc.framework.scopes import op_scope
from flowc.framework.shapes import TensorShape
from flowc.ops import array_ops, checkpoint_ops, control_flow_ops, state_ops
from flowc.variables import Variable

__all__ = ["SaverBuilder"]

Named = tuple[str, Variable]


class SaverBuilder:
    """Adds to the graph what a `Saver` runs. `Saver` takes another one as `builder`, to save otherwise."""

    def build(
        self,
        names_to_variables: Any,
        reshape: bool = False,
        sharded: bool = False,
        max_to_keep: int | None = 5,
        keep_checkpoint_every_n_hours: float = 10000.0,
        name: str | None = None,
        restore_sequentially: bool = False,
    ) -> Any:
        """A SaverDef, which names the operations that were added. Arguments and errors as for `Saver`."""
        named = named_variables(names_to_variables)
        with op_scope([variable.ref() for _, variable in named], name, "save"):
            filename = constant("model")
            shards = _by_device(named) if sharded else [named]
            save = self._sharded_save(filename, shards) if sharded else self._save(filename, named)
            restored = [self._restore(filename, shard, reshape, restore_sequentially) for shard in shards]
            restore = control_flow_ops.group(*[op for ops in restored for op in ops], name="restore_all")
        return protos.SaverDef(
            filename_tensor_name=filename.name,
            save_tensor_name=save.name,
            restore_op_name=restore.name,
            max_to_keep=max_to_keep or 0,
            sharded=sharded,
            keep_checkpoint_every_n_hours=keep_checkpoint_every_n_hours,
        )

    def _save(self, filename: Tensor, named: Sequence[Named]) -> Tensor:
        """The file's name, once the variables are in it."""
        saved = checkpoint_ops.save(filename, [name for name, _ in named], [v.ref() for _, v in named], name="save")
        return _after([saved], filename)

    def _sharded_save(self, filename: Tensor, shards: Sequence[Sequence[Named]]) -> Tensor:
        """A pattern of the files' names, once each device's variables are in one of them."""
        count = constant(len(shards), name="num_shards")
        saved = []
        for index, shard in enumerate(shards):
            with get_default_graph().device(shard[0][1].device):
                saved.append(self._save(checkpoint_ops.sharded_filename(filename, index, count), shard))
        with get_default_graph().control_dependencies([tensor.op for tensor in saved]):
            return checkpoint_ops.sharded_filespec(filename, count)

    def _restore(self, filename: Tensor, named: Sequence[Named], reshape: bool, one_by_one: bool) -> list[Operation]:
        """Assigns the variables what the file holds: after all of it was read, or one variable after the other."""
        assigned: list[Operation] = []
        for group in [[pair] for pair in named] if one_by_one else [named]:
            with get_default_graph().control_dependencies(assigned[-1:]):
                values = _read(filename, group, reshape)
            pairs = zip(group, values, strict=True)
            assigned += [_assign(variable, value, reshape) for (_, variable), value in pairs]
        return assigned


def _after(operations: Sequence[Operation], tensor: Tensor) -> Tensor:
    result: Tensor = control_flow_ops.with_dependencies(operations, tensor)
    return result


def _read(filename: Tensor, named: Sequence[Named], reshape: bool) -> list[Tensor]:
    types = [variable.dtype.base_dtype for _, variable in named]
    shapes = [TensorShape(None) if reshape else variable.get_shape() for _, variable in named]
    return checkpoint_ops.restore(filename, [name for name, _ in named], types, shapes, name="restore")


def _assign(variable: Variable, value: Tensor, reshape: bool) -> Operation:
    shape = variable.get_shape()
    fixed = shape.is_fully_defined()
    with variable.graph.device(variable.device):
        if reshape and fixed:
            value = array_ops.reshape(value, shape.as_list())
        return state_ops.assign(variable.ref(), value, validate_shape=fixed, name="Assign").op


# -- what is to be saved -----------------------------------------------------------------------------------------------


def named_variables(given: Any) -> list[Named]:
    """Names and variables, sorted by name, of a dict from names to variables or of a list of variables.

    Raises TypeError for what is no variable or no name; ValueError if one variable has two names, two variables have
    one name, or there is none.
    """
    pairs = list(given.items()) if isinstance(given, Mapping) else [(None, item) for item in _listed(given)]
    named: dict[str, Variable] = {}
    for name, item in pairs:
        variable = _variable(item)
        name = variable.op.name if name is None else name
        if not isinstance(name, str):
            raise TypeError(f"names_to_variables must be a dict mapping string names to variables: {name!r}")
        if name in named:
            raise ValueError(f"At least two variables have the same name: {name}")
        named[name] = variable
    if not named:
        raise ValueError("No variables to save")
    _check_distinct(named)
    return sorted(named.items())


def _listed(given: Any) -> Iterable[Any]:
    if isinstance(given, Iterable) and not isinstance(given, str):
        return given
    raise TypeError(f"Variables to save are a list of them, or a dict from names to variables: {given!r}")


def _variable(item: Any) -> Variable:
    """The variable that is meant: itself, or what its reference tensor is of."""
    if isinstance(item, Variable):
        return item
    raise TypeError(f"Variable to save is not a Variable: {item!r}")


def _check_distinct(named: Mapping[str, Variable]) -> None:
    seen: set[Operation] = set()
    for variable in named.values():
        if variable.op in seen:
            raise ValueError(f"The same variable will be restored with two names: {variable.op.name}")
        seen.add(variable.op)


def _by_device(named: Sequence[Named]) -> list[list[Named]]:
    """The variables of each device, by the devices' names."""
    groups: dict[str, list[Named]] = {}
    for name, variable in named:
        groups.setdefault(variable.device, []).append((name, variable))
    return [groups[device] for device in sorted(groups)]
