"""The models, behind one contract (`seq2seq.py`): RNNs with and without attention, and a transformer."""
