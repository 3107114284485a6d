"""From a configuration to a run folder with trained weights."""
