"""The study of alignment: error rates of every head against known links"""
