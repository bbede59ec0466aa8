"""Recurrent neural networks, unrolled: cells, sequences of them, encoders and decoders.

To be read in this order; each module uses only those before it:

    linear          a layer over several inputs, with variables shared by name
    cells           one step of a network
    wrappers        cells around cells
    rnn_cell        both by the names of `tf.nn.rnn_cell`
    unrolled        a cell over a sequence, forwards and both ways
    decoders        sequences from sequences
    attention       decoders that look back at what was encoded
    losses          of sequences, and models for buckets of lengths
    seq2seq         all of these by the names of `tf.nn.seq2seq`

A network gives its outputs and its states, one a step, as version 0.6 of the API had it (`flowc.models.rnn`). The
functions of `tf.nn`, which later versions brought, give the last state only.
"""
