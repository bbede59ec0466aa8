"""The weights of classes that a fixed unigram sampler draws by, from its operation's attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from flowc.framework.errors import InvalidArgumentError


def class_weights(attrs: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    """One float64 a class, of shape [range_max].

    The first `num_reserved_ids` classes have the weight 0, the next ones those of `unigrams`, to the power
    `distortion`; then all but each `num_shards`-th, from `shard` on, get 0.

    Raises InvalidArgumentError if there are more or fewer weights than classes, or none is positive.
    """
    given = np.asarray(attrs["unigrams"], np.float64)
    if given.size and given.min() < 0:
        raise InvalidArgumentError(None, None, "unigrams must not be negative.")
    reserved = np.zeros(int(attrs["num_reserved_ids"]))
    weights = np.concatenate([reserved, given ** float(attrs["distortion"])])
    if len(weights) != attrs["range_max"]:
        raise InvalidArgumentError(
            None, None, f"range_max is {attrs['range_max']}, but there are {len(weights)} weights and reserved ids."
        )
    elsewhere = np.arange(len(weights)) % int(attrs["num_shards"]) != int(attrs["shard"])
    weights[elsewhere] = 0
    if not weights.sum() > 0:
        raise InvalidArgumentError(None, None, "No class has a positive weight.")
    return weights
