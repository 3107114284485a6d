"""The study of weights and effects: attention weights beside what forbidden looks and hidden words cost"""
