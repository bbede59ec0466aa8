"""Lets the guide's programs say `import input_data`; the module itself is part of flowc."""

from flowc.models.image.mnist.input_data import DataSet, DataSets, read_data_sets

__all__ = ["DataSet", "DataSets", "read_data_sets"]
