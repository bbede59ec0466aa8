"""Guide, chapter 1.2.6: does the installation work? Under Python 3 a string tensor's value prints as b'…'."""

import flowc as tf

hello = tf.constant("Hello, TensorFlow!")
sess = tf.Session()
print(sess.run(hello))
a = tf.constant(10)
b = tf.constant(32)
print(sess.run(a + b))
