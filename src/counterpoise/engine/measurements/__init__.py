"""Measurements on the weights of a finished run, one file each, found by their names.

A measurement is a class declared with :func:`counterpoise.declare.measurement`. Its settings are declared in a
paper's ``figures.yaml``. ``measure(network, data, batch_size, seed)`` yields the rows of a CSV file beside the run
and leaves the network as it was.
"""
