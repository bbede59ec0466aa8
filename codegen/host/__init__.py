"""The ops of the host, one module a family; importing this package registers them.

Modules, in reading order: registry, linear_algebra.
"""
