"""The study of scaling: what 1/√d_k does to the softmax, to gradients, and to training"""
