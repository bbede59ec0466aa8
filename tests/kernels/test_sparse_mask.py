"""sparse_mask: slices without those of some indices."""

from __future__ import annotations

import numpy as np
import pytest

import flowc as tf


@pytest.mark.parametrize("index_type", [np.int32, np.int64])
def test_masked_slices(index_type: type) -> None:
    values = np.arange(12, dtype=np.float32).reshape(4, 3)
    indices = np.array([12, 26, 37, 45], index_type)
    with tf.Graph().as_default(), tf.Session() as session:
        slices = tf.IndexedSlices(tf.constant(values), tf.constant(indices), tf.constant([50, 3]))
        for mask, kept in (([12, 45], [1, 2]), ([], [0, 1, 2, 3]), ([12, 26, 37, 45, 7], [])):
            masked = tf.sparse_mask(slices, tf.constant(np.array(mask, index_type)))
            got_values, got_indices = session.run([masked.values, masked.indices])
            np.testing.assert_array_equal(got_values, values[kept])
            np.testing.assert_array_equal(got_indices, indices[kept])
            assert masked.dense_shape is slices.dense_shape
        with pytest.raises(TypeError, match="IndexedSlices"):
            tf.sparse_mask(tf.constant(values), [1])
