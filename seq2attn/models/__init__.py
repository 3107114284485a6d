"""The models, behind one contract (`seq2seq.py`): RNNs with and without attention, and a transformer."""

import os

# oneDNN, which runs the RNN layers on a CPU, keeps a kernel with its working memory for each of the last 1,024 shapes.
# Sentences come in that many shapes, and the process would grow to 3 GB; to make a kernel anew costs nothing that
# can be measured. It is read once, before the first layer runs.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16")
