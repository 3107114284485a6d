"""One file per study of attention: runs in, figure, table and verdict out"""
