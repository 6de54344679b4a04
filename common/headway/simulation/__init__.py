"""What a simulated run takes for granted, and what came of it: what `simulate` and `test` speak of.

Pure. The engine that moves a simulated run is the coordinator's, which nothing here may import: it
is found by its entry point (group `headway.simulation`). Called by the command line, by the reader
of definitions (for the words of `tests`) and by the coordinator.
"""
