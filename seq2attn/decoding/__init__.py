"""From source sentences to translations, for any model with the contract of `models/seq2seq.py`."""
