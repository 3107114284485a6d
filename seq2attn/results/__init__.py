"""The results of an evaluation: the summary, its file, and the claims about the curves"""
