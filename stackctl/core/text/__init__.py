"""Text and what it holds, whoever wrote it: sizes, tables, YAML with lines, words for what failed. Pure."""
