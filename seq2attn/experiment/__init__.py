"""Several runs to one result: presets, evaluation of runs, the reproduction of the curve."""
