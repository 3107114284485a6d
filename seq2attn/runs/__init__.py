"""What a run folder holds: its paths and lock, checkpoints, scores, model card."""
