"""The guide's chapter 2.5: a convolutional network for CIFAR-10, by the names of version 0.6 of the API.

    python -m flowc.models.image.cifar10.cifar10_train
    python -m flowc.models.image.cifar10.cifar10_eval
    python -m flowc.models.image.cifar10.cifar10_multi_gpu_train --num_gpus=2

Without a connection, `python -m flowc.models.image.cifar10.make_data` makes files of the same format to train on.
"""
