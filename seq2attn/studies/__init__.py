"""One file or folder per study of attention: runs in, figure, table and verdict out"""
