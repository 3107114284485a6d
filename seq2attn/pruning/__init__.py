"""Which heads of a transformer matter, and smaller runs without the others"""
