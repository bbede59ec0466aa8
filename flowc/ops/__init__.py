"""The ops: in each module one family, in each family one block an op: its definition, constructor and gradient."""

from flowc.ops import operators as operators  # so that tensors have their operators wherever an op is imported
