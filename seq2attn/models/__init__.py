"""Three models behind one contract (`seq2seq.py`)."""
