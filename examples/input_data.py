"""Lets the guide's programs say `import input_data`; the module itself is part of flowc.

However flowc is installed, MNIST is then read from this folder's `data/mnist`.
"""

import os
from pathlib import Path

from flowc.models.image.mnist.input_data import DataSet, DataSets, read_data_sets

os.environ.setdefault("FLOWC_DATA_DIR", str(Path(__file__).parent / "data"))

__all__ = ["DataSet", "DataSets", "read_data_sets"]
