"""The run folder: paths, lock, checkpoints, scores, model card, listing"""
