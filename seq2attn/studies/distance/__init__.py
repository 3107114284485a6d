"""The study of distance: which source tokens each target token's gradient reaches"""
