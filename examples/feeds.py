"""Guide, chapter 1.3.7: feed values into a run."""

import flowc as tf

input1 = tf.placeholder(tf.float32)
input2 = tf.placeholder(tf.float32)
output = tf.mul(input1, input2)

with tf.Session() as sess:
    # The guide's line lacks the last bracket.
    print(sess.run([output], feed_dict={input1: [7.0], input2: [2.0]}))

# output:
# [array([ 14.], dtype=float32)]
