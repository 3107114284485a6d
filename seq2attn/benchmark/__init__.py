"""Speed and memory of training and translation on this machine"""
