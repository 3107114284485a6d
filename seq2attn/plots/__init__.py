"""The curve over sentence length: prepared once, drawn as a picture and in the terminal"""
