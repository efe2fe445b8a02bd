"""The fields that a client may send, format by format, each with a word why. Data only.

What stands in no table is refused. The page docs/reference/fields.md is written from here.
"""
