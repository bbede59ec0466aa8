"""The MNIST data under the name that later tutorials import it by."""
