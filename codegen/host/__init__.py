"""The ops of the host, one module a family; importing this package registers them.

Modules, in reading order: registry, linear_algebra, solvers, spectral, edit_distance, images; what a session keeps:
short_lock, queue_storage, blocking_queue, queues, files, readers; strings, csv, examples, parsing; python_functions,
debugging; variables, checkpoints, histograms, summaries.
"""

from flowc.codegen.host import (
    checkpoints as checkpoints,
    csv as csv,
    debugging as debugging,
    edit_distance as edit_distance,
    files as files,
    images as images,
    linear_algebra as linear_algebra,
    parsing as parsing,
    python_functions as python_functions,
    queues as queues,
    readers as readers,
    solvers as solvers,
    spectral as spectral,
    strings as strings,
    summaries as summaries,
    variables as variables,
)
