"""The study `cost`: time and memory of attention, in several forms, as the text grows"""
