"""The report of an evaluation: content, tables, wording, figures, Markdown, HTML"""
