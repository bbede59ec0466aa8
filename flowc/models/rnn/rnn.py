"""Cells over sequences. The networks give their outputs and states, one of each a step."""

from flowc.rnn.unrolled import bidirectional_rnn, rnn, state_saving_rnn

__all__ = ["bidirectional_rnn", "rnn", "state_saving_rnn"]
