"""`flowc.models.image.mnist.input_data`, by the name that later tutorials import it by."""

from flowc.models.image.mnist.input_data import DataSet, read_data_sets

__all__ = ["DataSet", "read_data_sets"]
