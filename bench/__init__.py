"""flowc beside TensorFlow 2, JAX and PyTorch: the same works, in one run, in turn. `python -m bench.run --help`."""
