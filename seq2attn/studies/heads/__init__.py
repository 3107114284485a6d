"""The study of heads: importance, removal, what each looks at"""
