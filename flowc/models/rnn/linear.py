"""A layer over several inputs."""

from flowc.rnn.linear import linear

__all__ = ["linear"]
