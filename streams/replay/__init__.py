"""Reading the log again: rejected events through the worker once more, or whole profiles anew.

``dead_letters`` sends what was rejected back to the topics it came from. ``rebuild`` makes profiles from the log
beside the live ones, compares and exchanges them; ``log`` is its Kafka side, ``reading`` turns records into
observations as the worker does, ``pace`` keeps it out of the worker's way.
"""
