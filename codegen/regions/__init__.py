"""Loops and conditionals in a program: what they become, and how their parts get into the plan of the whole.

To be read in this order; each module uses only those before it:

    region              the node that a loop or a conditional is: its arguments, results, and the programs of its parts
    inside              how the steps of a part see what is around them
    conditionals        lowering a conditional: one side, both, or a region
    loops               lowering a loop
    loop_kernel         a loop over a few numbers as one kernel
    tables              the rows of the parts' plans behind those of the whole
"""
