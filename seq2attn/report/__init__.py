"""The report of an evaluation: content, tables, wording, Markdown, HTML"""
