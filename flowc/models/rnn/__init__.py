"""Recurrent networks by the names of version 0.6 of the API: `from flowc.models.rnn import rnn, rnn_cell, seq2seq`.

The networks give the states of all steps, where those of `tf.nn` give the last one.
"""

from flowc.models.rnn import linear as linear, rnn as rnn, rnn_cell as rnn_cell, seq2seq as seq2seq
